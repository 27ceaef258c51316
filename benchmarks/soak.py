"""A soak: both bridges for half an hour at a steady rate; do memory, files, threads or lag grow?

    python -m benchmarks.soak [--minutes=30] [--rate=1000] [--json FILE]

On an embedded stack of its own, as a chain: numbered messages of 250 bytes go to a Pub/Sub topic at
`--rate` by the clock -> ps_to_kafka -> Kafka -> kafka_to_ps -> a second Pub/Sub topic, where each
number is checked off. Both bridges are processes as their users run them, with default flags but
for `--report` and, should this process be killed, `--max_seconds`. At the end both get SIGTERM.

What must hold (exit status 1 if something does not):

* The feed held its rate, both bridges ended with status 0, nothing was lost, nothing was duplicated
  (redelivered messages would be), no commit failed, no ack came after its lease.
* Resident memory (VmRSS, every 5 s) of the second half grows by less than 2%. The first half is
  warm-up. Beam's in-process runner keeps about 22 kB of each bundle until its round ends, so that
  memory is a sawtooth; growth is told from that by comparing whole rounds (`soak_figures.growth`).
  A short soak says little of memory.
* Open files and threads: no more in the last third than there were in the second.
* Commit lag: the oldest record of the Kafka topic without a commit never waits for 2 x
  `--commit_interval_s` or longer, from the first record on.

Needs Linux (/proc), and memory for the emulator, which keeps every message in its heap.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import soak_figures as figures
from benchmarks import soak_run, soak_show
from benchmarks.ends import PubsubInlet, PubsubOutlet
from benchmarks.feed import Feed, Reader
from benchmarks.soak_ends import CommitLag, memory_available_bytes
from benchmarks.soak_figures import Verdict
from benchmarks.soak_run import Soak
from benchmarks.turns import say
from pipelines.flags import KAFKA_TO_PS, Runner
from pipelines.local.child import Stopped, stop_signals
from pipelines.local.stack import EmbeddedStack
from pipelines.options import FLAGS
from transforms.errors import BridgeError, PreflightError
from transforms.kafka.client import KafkaConfig

(COMMIT_INTERVAL_S,) = (
    f.default_for(KAFKA_TO_PS, Runner.IN_PROCESS) for f in FLAGS if f.dest == "commit_interval_s"
)

MAX_BEHIND_S = 5.0
"""The last message may be so late; a feed that ends later did not hold its rate."""

REST_BYTES = 2_000_000_000
"""Memory for all but the emulator's heap."""

CLEAN = ("dead_lettered", "redelivered", "redelivery_expected", "released", "commit_failures")
"""What a report counts and a soak must not have."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], prog="python -m benchmarks.soak"
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=1_000, help="messages a second")
    parser.add_argument("--json", type=Path, help="write all samples, figures and verdicts here")
    options = parser.parse_args(argv)
    count = int(options.minutes * 60 * options.rate)
    if count < options.rate * 30:
        parser.error("--minutes: half a minute is the least")
    try:
        with stop_signals():
            return soak(options.minutes, options.rate, count, options.json)
    except BridgeError as error:
        print(f"soak: {error}", file=sys.stderr)
        return error.exit_status
    except Stopped as stopped:
        return 128 + stopped.number


def soak(minutes: float, rate: float, count: int, json_file: Path | None) -> int:
    """Starts everything, watches it, stops it, judges it."""
    heap_bytes = soak_run.HEAP_SPARE_BYTES + count * soak_run.HEAP_MESSAGE_BYTES
    if not Path("/proc/self/status").exists():
        raise PreflightError("read /proc: it is not there; run the soak on Linux")
    if heap_bytes + REST_BYTES > memory_available_bytes():
        raise PreflightError(
            f"start the emulator: {heap_bytes / 1e9:.1f} GB of heap and {REST_BYTES / 1e9:.0f} GB "
            "for the rest are not free; use a lower --rate or fewer --minutes"
        )
    with (
        soak_run.emulator(heap_bytes // 1_000_000) as pubsub_side,
        EmbeddedStack(pubsub=False) as stack,
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
    ):
        os.environ.update(pubsub_side.env() | stack.env())
        soak_run.make_places(stack)
        machine = soak_show.machine(stack, pubsub_side)
        say(f"{machine}; emulator's heap {heap_bytes / 1e9:.1f} GB")
        begin, end = partial(PubsubInlet, soak_run.TOPIC_IN), soak_run.SUBSCRIPTION_OUT
        feed = Feed(begin, rate, count, soak_run.SIZE_BYTES)
        reader = Reader(partial(PubsubOutlet, end), feed, count)
        kafka = KafkaConfig(stack.bootstrap_servers)
        lag = CommitLag(kafka, soak_run.KAFKA_TOPIC, soak_run.GROUP_ID)
        with soak_run.bridges(Path(folder), minutes * 60) as both:
            run = Soak(minutes, rate, both, feed, reader, lag)
            soak_run.watch(run, COMMIT_INTERVAL_S + 1, soak_show.line)
            verdicts = judge(run)
        soak_show.show(run, verdicts)
        if json_file is not None:
            found = soak_show.as_json(run, verdicts, machine)
            json_file.write_text(json.dumps(found, indent=1))
    return 0 if all(verdict.met for verdict in verdicts) else 1


def judge(run: Soak) -> list[Verdict]:
    """All criteria, after both bridges have ended."""
    feed, reader, lag, count = run.feed, run.reader, run.lag, run.count
    lost = count - reader.distinct
    verdicts = [
        Verdict(
            f"the feed holds {run.rate:,.0f} msg/s",
            feed.sent == count and feed.took_s < run.minutes * 60 + MAX_BEHIND_S,
            f"sent {feed.sent:,} in {feed.took_s:,.1f} s, at worst {feed.behind_s:.1f} s late",
        ),
        Verdict(
            "nothing is lost, nothing is duplicated",
            lost == 0 and reader.duplicated == 0 and lag.written == count,
            f"sent {feed.sent:,}, in Kafka {lag.written:,}, came back {reader.received:,}, "
            f"lost {lost:,}, duplicated {reader.duplicated:,}",
        ),
        Verdict(
            "all is committed",
            lag.committed == lag.written,
            f"{lag.committed:,} of {lag.written:,}",
        ),
        figures.commit_lag(lag.lags_s, COMMIT_INTERVAL_S),
    ]
    for bridge in run.bridges:
        report, status = bridge.report(), bridge.process.poll()
        counts = {name: report.get(name) for name in CLEAN}
        verdicts += [
            Verdict(
                f"{bridge.name}: SIGTERM ends it with status 0 and a clean report",
                status == 0
                and report.get("delivered") == count
                and not any(counts.values())
                and "error" not in report,
                f"status {status}, delivered {report.get('delivered', 0):,}, "
                + ", ".join(f"{name} {number}" for name, number in counts.items()),
            ),
            figures.memory(bridge.name, bridge.samples),
            figures.steady(bridge.name, "open files", [s.open_files for s in bridge.samples]),
            figures.steady(bridge.name, "threads", [s.threads for s in bridge.samples]),
        ]
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
