"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import confluent_kafka

from benchmarks.processes import ROOT
from pipelines.local.emulator import PubsubEmulator
from pipelines.local.jars import KAFKA_VERSION
from pipelines.local.java import find_java
from pipelines.local.status import Say

_PACKAGES = (
    "apache-beam",
    "confluent-kafka",
    "kafka-python",
    "google-cloud-pubsub",
    "grpcio",
    "protobuf",
)
_CALL_S = 30.0


def describe(say: Say) -> dict[str, str]:
    """The machine, and the versions of what is measured and of what it is measured with."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "CPU": _cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{gigabytes:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        "librdkafka": confluent_kafka.libversion()[0],
        "Kafka": KAFKA_VERSION,
        "Pub/Sub emulator": _emulator(say),
        "Java": _java(),
        "commit": _said("git", "describe", "--always", "--dirty"),
    }


def _emulator(say: Say) -> str:
    emulator = PubsubEmulator(Path(), say, 0, "")
    emulator.prepare()
    return emulator.name.rpartition(" ")[2]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _java() -> str:
    lines = _said(find_java(), "-version").splitlines()
    return lines[0] if lines else ""


def _said(*command: str) -> str:
    """What a command prints; empty where it fails."""
    try:
        answer = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_CALL_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
