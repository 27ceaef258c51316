"""What runs in a soak: the servers, both bridges, the two ends; and watching them."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.feed import Feed, Reader
from benchmarks.processes import ROOT
from benchmarks.soak_ends import CommitLag, sample
from benchmarks.soak_figures import Sample, percentile
from pipelines.environment import environment
from pipelines.local.stack import EmbeddedStack
from transforms.errors import TransferError
from transforms.kafka.client import KafkaConfig
from transforms.kafka.clients import open_admin
from transforms.pubsub import client as pubsub

SIZE_BYTES = 250
PARTITIONS = 4
SAMPLE_S = 5.0
LINE_S = 30.0
START_S = 60.0
DRAIN_S = 120.0
STOP_S = 60.0
LATE_S = 2.0
"""What comes twice would have come so long after the end."""

HEAP_MESSAGE_BYTES = 3_000
"""Of the emulator's heap, for one message in both topics (measured: 0.7 kB, and 1.9 kB with eight
attributes)."""
HEAP_SPARE_BYTES = 512_000_000
JAVA_OPTIONS = "JDK_JAVA_OPTIONS"

PROJECT = "projects/soak"
TOPIC_IN, TOPIC_OUT = f"{PROJECT}/topics/begin", f"{PROJECT}/topics/end"
SUBSCRIPTION_IN, SUBSCRIPTION_OUT = f"{PROJECT}/subscriptions/begin", f"{PROJECT}/subscriptions/end"
KAFKA_TOPIC = GROUP_ID = "soak"


@dataclass
class Bridge:
    """A bridge process with what was seen of it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    report_file: Path
    samples: list[Sample] = field(default_factory=list)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def report(self) -> dict[str, Any]:
        """What it reported; empty if it did not."""
        return json.loads(self.report_file.read_text()) if self.report_file.exists() else {}

    def warnings(self) -> list[str]:
        """Log lines of WARNING and above."""
        levels = ("WARNING", "ERROR", "CRITICAL")
        return [
            text
            for text in self.output().splitlines()
            if any(f" {level} " in text for level in levels)
        ]


@dataclass
class Soak:
    """What runs, and what was seen of the chain as a whole.

    Attributes:
      began_s: when the feed began.
      stages: one for each sample of the bridges.
    """

    minutes: float
    rate: float
    bridges: list[Bridge]
    feed: Feed
    reader: Reader
    lag: CommitLag
    began_s: float = 0.0
    stages: list[dict[str, float]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.reader.seen)


@contextlib.contextmanager
def emulator(heap_mb: int) -> Iterator[EmbeddedStack]:
    """The emulator alone, with all of its heap from the beginning and a small young generation.

    A heap that grows to gigabytes of live messages is compacted each time, for up to 8 s in which
    the emulator answers nobody: a lag that says nothing of the bridge.
    """
    heap = f"-Xms{heap_mb}m -XX:NewSize=128m -XX:MaxNewSize=128m"
    with environment({JAVA_OPTIONS: heap}):
        stack = EmbeddedStack(kafka=False, emulator_heap=f"{heap_mb}m")
        stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def make_places(stack: EmbeddedStack) -> None:
    """Makes the topics and subscriptions of the chain."""
    with contextlib.closing(pubsub.open_admin(10)) as admin:
        for topic, subscription in ((TOPIC_IN, SUBSCRIPTION_IN), (TOPIC_OUT, SUBSCRIPTION_OUT)):
            admin.create_topic(topic)
            admin.create_subscription(subscription, topic)
    with contextlib.closing(open_admin(KafkaConfig(stack.bootstrap_servers), 20)) as kafka:
        kafka.create_topic(KAFKA_TOPIC, PARTITIONS, 1)


@contextlib.contextmanager
def bridges(folder: Path, feed_s: float) -> Iterator[list[Bridge]]:
    """Both bridges, ready to read; what still runs at the end is killed."""
    max_seconds = feed_s + START_S + DRAIN_S + STOP_S
    flags = {
        "ps_to_kafka": [f"--subscription={SUBSCRIPTION_IN}", f"--kafka_topic={KAFKA_TOPIC}"],
        "kafka_to_ps": [
            f"--kafka_topics={KAFKA_TOPIC}",
            f"--group_id={GROUP_ID}",
            f"--pubsub_topic={TOPIC_OUT}",
        ],
    }
    with contextlib.ExitStack() as running:
        both = []
        for name, its_flags in flags.items():
            report, log = folder / f"{name}.json", folder / f"{name}.log"
            command = [sys.executable, "-m", f"pipelines.{name}", *its_flags]
            command += [f"--report={report}", f"--max_seconds={max_seconds:.0f}"]
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
            running.callback(process.wait, 10)
            running.callback(process.kill)  # does nothing to one that has ended
            both.append(Bridge(name, process, log, report))
        deadline_s = time.monotonic() + START_S
        # Each says so in its own way: what it is assigned, or its first progress line.
        for bridge, sign in zip(both, ("ps_to_kafka running", "assigned"), strict=True):
            while sign not in bridge.output():
                check(bridge)
                if time.monotonic() > deadline_s:
                    raise TransferError(f"start {bridge.name}: it does not run after {START_S} s")
                time.sleep(0.1)
        yield both


def check(bridge: Bridge) -> None:
    """Raises TransferError if a bridge has ended by itself."""
    if bridge.process.poll() is not None:
        tail = " | ".join(bridge.output().splitlines()[-3:])
        raise TransferError(
            f"run {bridge.name}: it ended with status {bridge.process.returncode}: {tail}"
        )


def watch(run: Soak, commit_s: float, line: Callable[[Soak, float], str]) -> None:
    """Feeds, samples and reads until all has come and both bridges have ended; gives up some time
    after that should have been.

    Args:
      commit_s: within this the last record is committed.
      line: how it gets on.
    """
    with run.reader, run.lag:
        with run.feed:
            _watch_feed(run, line)
        run.lag.ended.wait(commit_s)
        stop(run.bridges)
        run.reader.ended.wait(LATE_S)


def _watch_feed(run: Soak, line: Callable[[Soak, float], str]) -> None:
    run.began_s = time.monotonic()
    next_line_s, give_up_s = LINE_S, run.minutes * 60 + DRAIN_S
    while (at_s := time.monotonic() - run.began_s) < give_up_s:
        for bridge in run.bridges:
            check(bridge)
        for worker in (run.feed, run.reader, run.lag):
            worker.check()
        if run.feed.sent == run.reader.distinct == run.count:
            return
        if run.feed.alive:  # an idle bridge is no part of the figures
            take_samples(run, at_s)
            if at_s >= next_line_s:
                next_line_s += LINE_S
                print(line(run, at_s), flush=True)
        run.feed.ended.wait(max(0.0, SAMPLE_S - (time.monotonic() - run.began_s - at_s)))


def take_samples(run: Soak, at_s: float) -> None:
    """One sample of each bridge, and of the chain as a whole."""
    for bridge in run.bridges:
        taken = sample(bridge.process.pid, at_s)
        if taken is not None:
            bridge.samples.append(taken)
    delays_s = run.reader.take_delays_s()
    run.stages.append(
        {
            "at_s": round(at_s, 1),
            "sent": run.feed.sent,
            "in_kafka": run.lag.written,
            "committed": run.lag.committed,
            "received": run.reader.received,
            "commit_lag_s": round(max(run.lag.lags_s[-10:], default=0.0), 2),
            "delay_p50_s": round(percentile(delays_s, 50), 3),
            "delay_p99_s": round(percentile(delays_s, 99), 3),
        }
    )


def stop(both: list[Bridge]) -> None:
    """SIGTERM to both; what has not ended after a while is killed by the context it runs in."""
    for bridge in both:
        bridge.process.send_signal(signal.SIGTERM)
    for bridge in both:
        with contextlib.suppress(subprocess.TimeoutExpired):
            bridge.process.wait(STOP_S)
