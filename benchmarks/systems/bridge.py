"""This bridge, as its users run it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from benchmarks.processes import start
from benchmarks.systems.jobs import MAX_IN_FLIGHT_BYTES, Job
from transforms.version import VERSION

_FLAGS = ("--commit_interval_s=1", f"--max_in_flight_bytes={MAX_IN_FLIGHT_BYTES}")


class Bridge:
    """Implements `System`."""

    name = "bridge"

    def absent(self) -> str:
        return ""

    def describe(self) -> Mapping[str, str]:
        return {"version": VERSION, "flags": f"{' '.join(_FLAGS)}, the others as they are"}

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        if job.direction == "kafka_to_ps":
            ends = [
                f"--kafka_topics={job.kafka_topic}",
                f"--group_id={job.group_id}",
                f"--pubsub_topic={job.pubsub_topic}",
            ]
        else:
            ends = [f"--subscription={job.subscription}", f"--kafka_topic={job.kafka_topic}"]
        command = [
            *(sys.executable, "-m", f"pipelines.{job.direction}"),
            *ends,
            f"--bootstrap_servers={job.bootstrap_servers}",
            *_FLAGS,
            f"--attributes={job.attributes}",
            f"--kafka_client={job.client}",
            f"--runner={job.runner}",
        ]
        return start(command, job.folder, {"PUBSUB_EMULATOR_HOST": job.pubsub})
