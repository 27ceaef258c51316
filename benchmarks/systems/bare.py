"""The limit: the same work by a bare loop on the same client libraries, without Beam and mapping.

    python -m benchmarks.systems.bare kafka_to_ps --bootstrap_servers=... --pubsub=... ...

What the libraries offer and nothing else: protobuf objects, GAPIC clients, librdkafka with the
bridge's settings (or kafka-python), requests of the bridge's sizes, and its guarantee: offsets are
committed, and messages acknowledged, when the other side has confirmed all of them. The loops are
in `bare_to_pubsub` and `bare_to_kafka`.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from collections.abc import Mapping
from typing import get_args

from benchmarks.processes import start
from benchmarks.systems.jobs import MAX_IN_FLIGHT_BYTES, Direction, Job

BATCH_S = 1.0
"""After so long what has been read is confirmed, and then committed or acknowledged."""


class Bare:
    """Implements `System`."""

    name = "bare loop"

    def absent(self) -> str:
        return ""

    def describe(self) -> Mapping[str, str]:
        return {
            "settings": "librdkafka as the bridge has it; requests of 1,000 messages or 2 MB, 8 at "
            "once; commits and acknowledges once a second"
        }

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.systems.bare", job.direction]
        command += [f"--{name}={getattr(job, name)}" for name in _ARGUMENTS]
        command.append(f"--max_in_flight_bytes={MAX_IN_FLIGHT_BYTES}")
        return start(command, job.folder, {})


_ARGUMENTS = (
    "bootstrap_servers",
    "pubsub",
    "kafka_topic",
    "pubsub_topic",
    "subscription",
    "group_id",
    "attributes",
    "client",
)


def main() -> None:
    """Moves messages until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("direction", choices=get_args(Direction))
    for name in _ARGUMENTS:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--max_in_flight_bytes", required=True, type=int)
    options = parser.parse_args()
    module = "bare_to_pubsub" if options.direction == "kafka_to_ps" else "bare_to_kafka"
    importlib.import_module(f"benchmarks.systems.{module}").run(options)


if __name__ == "__main__":
    main()
