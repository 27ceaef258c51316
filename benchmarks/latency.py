"""Latency: from when a message was due to be published until it is delivered, at steady rates.

    python -m benchmarks.latency [--quick] [--runs N] [--only PATTERN]

A feed publishes numbered messages of 1 kB, each at its time by the clock; a reader at the other
side notes when each has come. Both are threads of this process, so that there is one clock; a late
feed counts, too. What they and the services add by themselves has a row for each service, without a
bridge. The first seconds are warm-up.

Pub/Sub is `benchmarks.relay`, which hands on at once: the emulator adds 25 ms at the median
wherever a pull waits.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import relay, sampling, streams, turns
from benchmarks.ends import Outlet
from benchmarks.feed import Feed, Reader
from benchmarks.soak_figures import percentile
from benchmarks.stack import Kafka
from benchmarks.streams import DIRECTIONS, wait
from benchmarks.systems.bridge import Bridge
from benchmarks.systems.jobs import Direction, Job, System
from benchmarks.turns import Case
from pipelines.local.stack import EmbeddedStack

RATES = (10, 500, 5_000)

ENDS = "ends alone"
"""The system of rows without one."""

SIZE_BYTES = 1_000
_TICK_S = 0.002
_START_S = 60.0
_LATE_S = 30.0
_FIRST = b"9999999999"
"""The number of a message that is sent ahead of a feed, to see that all is running."""


class Fed(NamedTuple):
    """How long each run is fed."""

    warm_up_s: float = 2.0
    measured_s: float = 8.0


LONG, QUICK = Fed(), Fed(1.0, 4.0)


def cases(kafka: Kafka, pubsub: str, systems: Sequence[System], fed: Fed = LONG) -> list[Case]:
    """All that is measured.

    Args:
      pubsub: `HOST:PORT`.
    """
    found = []
    for direction, service in zip(DIRECTIONS, ("Kafka", "Pub-Sub"), strict=True):
        for rate in RATES:
            alone = partial(measure, None, direction, kafka, pubsub, rate, "librdkafka", fed)
            found.append(Case(f"latency/{service}/{rate}", ENDS, alone))
    for direction in DIRECTIONS:
        for rate, client in (*((rate, "librdkafka") for rate in RATES), (500, "kafka-python")):
            name = f"latency/{direction}/{rate}" + ("/kafka-python" if "-" in client else "")
            for system in systems:
                run = partial(measure, system, direction, kafka, pubsub, rate, client, fed)
                found.append(Case(name, system.name, run))
    return found


def figures(delays_s: Sequence[float]) -> dict[str, float]:
    """What the delays of one run say, by unit."""
    return {
        "p50 ms": percentile(delays_s, 50) * 1e3,
        "p99 ms": percentile(delays_s, 99) * 1e3,
        "max ms": max(delays_s) * 1e3,
    }


def measure(
    system: System | None,
    direction: Direction,
    kafka: Kafka,
    pubsub: str,
    rate: int,
    client: str,
    fed: Fed,
    folder: Path,
    **topics: int,
) -> dict[str, float]:
    """One run.

    Args:
      system: None where nothing stands between the ends, which are at the source's service then.
      topics: as `streams.new` takes them.
    Raises:
      TransferError: not all has come in time, or the system has ended.
    """
    first, count = (int(seconds * rate) for seconds in (fed.warm_up_s, sum(fed)))
    with contextlib.ExitStack() as opened:
        new = streams.new(direction, kafka, pubsub, folder, client=client, **topics)
        job = opened.enter_context(new)
        feed = Feed(streams.inlet(job), rate, count, SIZE_BYTES, _TICK_S)
        at_end = streams.outlet(job) if system is not None else _outlet_of_source(job)
        reader = opened.enter_context(Reader(at_end, feed, count, first))
        running = [opened.enter_context(streams.running(system, job))] if system else []
        with contextlib.closing(streams.inlet(job)()) as ahead:
            ahead.send([_FIRST])
        wait("start", lambda: reader.foreign > 0, _START_S, job, running, [reader])
        began_s, used_s = time.monotonic(), _cpu_s(running)
        opened.enter_context(feed)
        ends_s = count / rate + _LATE_S
        wait("feed", lambda: reader.distinct == count, ends_s, job, running, [feed, reader])
        found = figures(reader.take_delays_s())
        if running:
            used_s = _cpu_s(running) - used_s
            found["% of a core"] = used_s / (time.monotonic() - began_s) * 100
        return found


def _cpu_s(running: Sequence[subprocess.Popen[bytes]]) -> float:
    return sampling.cpu_s(sampling.trees(running))


def _outlet_of_source(job: Job) -> Callable[[], Outlet]:
    is_kafka = job.direction == "kafka_to_ps"
    return streams.outlet(replace(job, direction="ps_to_kafka" if is_kafka else "kafka_to_ps"))


def main() -> None:
    """Measures the bridge."""
    options = turns.options(__doc__)
    with EmbeddedStack(pubsub=False) as stack, relay.process() as pubsub:
        fed = QUICK if options.quick else LONG
        turns.show(cases(Kafka(stack.bootstrap_servers), pubsub, [Bridge()], fed), options)


if __name__ == "__main__":
    main()
