"""Flame graphs of the bridge at full speed, its start left out: what Python is busy with.

    python -m benchmarks.flame [--seconds N]

writes `benchmarks/results/flame_kafka_to_ps.svg` and `flame_ps_to_kafka.svg`, each of the bridge
between a broker and the instant service (`benchmarks.instant`). Needs py-spy, of development.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import streams
from benchmarks.__main__ import RESULTS
from benchmarks.instant import InstantProcess
from benchmarks.processes import ROOT
from benchmarks.stack import Kafka
from benchmarks.systems.bridge import Bridge
from benchmarks.systems.jobs import Direction, Job
from benchmarks.throughput import SUBSCRIPTION, TOPIC
from pipelines.local.child import Stopped, stop_signals
from pipelines.local.stack import EmbeddedStack
from pipelines.local.status import say_on_stderr
from transforms.errors import BridgeError, TransferError

MESSAGES_PER_S, SIZE_BYTES = 120_000, 1_000
"""More than the bridge moves."""

_BEFORE_S = 2.0
"""Till the samples begin, so much more waits."""

_SAMPLES_PER_S = 500
_TIMEOUT_S = 60.0


def draw(direction: Direction, kafka: Kafka, seconds: int) -> Path:
    """Raises TransferError: the bridge or py-spy has failed."""
    topic = f"flame-{direction.replace('_', '-')}"
    count = int(MESSAGES_PER_S * (seconds + _BEFORE_S))
    kafka.create(topic)
    if direction == "kafka_to_ps":
        kafka.fill(topic, count, SIZE_BYTES)
    path = RESULTS / f"flame_{direction}.svg"
    with (
        tempfile.TemporaryDirectory() as folder,
        InstantProcess(SIZE_BYTES, count) as instant,
        kafka.commits(topic, topic) as committed,
    ):
        servers = kafka.bootstrap_servers, instant.address
        job = Job(direction, *servers, topic, TOPIC, SUBSCRIPTION, topic, Path(folder))
        progress = committed if direction == "kafka_to_ps" else kafka.ends(topic)
        begun = int(MESSAGES_PER_S / 10)
        with streams.running(Bridge(), job) as process:
            streams.wait("begin", lambda: progress() > begun, _TIMEOUT_S, job, [process])
            _record(process.pid, seconds, path)
    return path


def _record(pid: int, seconds: int, path: Path) -> None:
    command = [
        *("py-spy", "record", "--gil", "--pid", str(pid)),
        *("--duration", str(seconds), "--rate", str(_SAMPLES_PER_S)),
        *("--output", str(path.relative_to(ROOT))),
    ]
    done = subprocess.run(
        command,
        executable=Path(sys.executable).with_name("py-spy"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + _TIMEOUT_S,
    )
    if done.returncode:
        raise TransferError(f"py-spy: {' '.join(done.stderr.split())[-300:]}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flame", allow_abbrev=False)
    parser.add_argument("--seconds", type=int, default=5, help="of samples (default 5)")
    options = parser.parse_args(argv)
    RESULTS.mkdir(exist_ok=True)
    try:
        with stop_signals(), EmbeddedStack(pubsub=False, say=say_on_stderr) as stack:
            for direction in streams.DIRECTIONS:
                path = draw(direction, Kafka(stack.bootstrap_servers), options.seconds)
                print(path.relative_to(ROOT))
    except BridgeError as error:
        print(f"flame: {error}", file=sys.stderr)
        return error.exit_status
    except Stopped as stopped:
        return 128 + stopped.number
    return 0


if __name__ == "__main__":
    sys.exit(main())
