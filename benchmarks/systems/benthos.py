"""Benthos, a bridge in Go: its components for Kafka and Pub/Sub, with a `main` of a few lines."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.systems.jobs import MAX_IN_FLIGHT_BYTES, Job
from pipelines.local import cache
from pipelines.local.status import Say, say_on_stderr
from transforms.errors import PreflightError

_SOURCE = Path(__file__).with_suffix("")
_MODULE = "github.com/benthosdev/benthos/v4"
_USUAL_GO = "/usr/local/go/bin/go"
_BUILD_S = 1200.0
_TAIL_CHARS = 300

BATCHING = {"count": 1_000, "period": "5ms"}
MAX_MESSAGE_BYTES = 10 * 1024 * 1024


_FROM_KAFKA: dict[str, Any] = {
    "commit_period": "1s",
    "checkpoint_limit": 100_000,
    "batching": BATCHING,
}
_TO_PUBSUB: dict[str, Any] = {
    "count_threshold": BATCHING["count"],
    "delay_threshold": BATCHING["period"],
    "byte_threshold": 9_500_000,
    "max_in_flight": 16,
}
_FROM_PUBSUB: dict[str, Any] = {"max_outstanding_messages": 10_000}
_TO_KAFKA: dict[str, Any] = {
    "batching": BATCHING,
    "max_in_flight": 10,
    "max_message_bytes": f"{MAX_MESSAGE_BYTES}B",
    "metadata": {"include_prefixes": [""]},
}


class Benthos:
    """`kafka_franz` and `gcp_pubsub`, which knows the emulator."""

    name = "Benthos"

    def absent(self) -> str:
        try:
            _program(say_on_stderr)
        except (PreflightError, OSError) as error:
            return str(error)
        return ""

    def describe(self) -> Mapping[str, str]:
        return {
            _MODULE: version(),
            "Kafka -> Pub/Sub": json.dumps(_FROM_KAFKA | _TO_PUBSUB),
            "Pub/Sub -> Kafka": json.dumps(_FROM_PUBSUB | _TO_KAFKA),
        }

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        file = job.folder / "benthos.json"
        file.write_text(json.dumps(config(job), indent=1))
        with (job.folder / "benthos.log").open("wb") as log:
            return subprocess.Popen(
                [_program(say_on_stderr), "-c", str(file)],
                env=os.environ | {"PUBSUB_EMULATOR_HOST": job.pubsub},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def config(job: Job) -> dict[str, Any]:
    """Its configuration, which may be JSON."""
    return {
        "http": {"enabled": False},
        "logger": {"level": "WARN"},
        **(_to_kafka(job) if job.direction == "ps_to_kafka" else _to_pubsub(job)),
    }


def _to_pubsub(job: Job) -> dict[str, Any]:
    _, project, _, topic = job.pubsub_topic.split("/")
    source = {
        **_FROM_KAFKA,
        "seed_brokers": [job.bootstrap_servers],
        "topics": [job.kafka_topic],
        "consumer_group": job.group_id,
    }
    sink = {
        **_TO_PUBSUB,
        "project": project,
        "topic": topic,
        "flow_control": {
            "max_outstanding_bytes": MAX_IN_FLIGHT_BYTES,
            "max_outstanding_messages": 0,
        },
    }
    if job.attributes == "none":
        sink["metadata"] = {"exclude_prefixes": [""]}
    return {"input": {"kafka_franz": source}, "output": {"gcp_pubsub": sink}}


def _to_kafka(job: Job) -> dict[str, Any]:
    _, project, _, subscription = job.subscription.split("/")
    source = {
        **_FROM_PUBSUB,
        "project": project,
        "subscription": subscription,
        "max_outstanding_bytes": MAX_IN_FLIGHT_BYTES,
    }
    sink = {**_TO_KAFKA, "seed_brokers": [job.bootstrap_servers], "topic": job.kafka_topic}
    if job.attributes == "none":
        del sink["metadata"]
    return {"input": {"gcp_pubsub": source}, "output": {"kafka_franz": sink}}


def version() -> str:
    """That of go.mod."""
    found = re.search(rf"{re.escape(_MODULE)} v(\S+)", (_SOURCE / "go.mod").read_text())
    assert found is not None
    return found[1]


def _program(say: Say) -> Path:
    """The built program in the cache; built there the first time.

    Raises:
      PreflightError: there is no Go, or it does not build.
    """
    sources = [_SOURCE / name for name in ("go.mod", "go.sum", "main.go")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    folder = cache.cache_folder() / f"benthos-{version()}"
    program = folder / f"bridge-{digest[:12]}"
    if program.exists():
        return program
    with cache.locked(folder, say, _BUILD_S) as unfinished:
        if not program.exists():  # another process may have been here meanwhile
            say(f"building Benthos {version()} into {folder}, a few minutes the first time")
            os.replace(_build(unfinished / "bridge"), program)
    return program


def _build(program: Path) -> Path:
    go = shutil.which("go") or (_USUAL_GO if Path(_USUAL_GO).exists() else "")
    if not go:
        raise PreflightError(
            f"build Benthos: no go on the PATH or in {Path(_USUAL_GO).parent}; "
            "install Go (https://go.dev/dl)"
        )
    command = [go, "build", "-trimpath", "-mod=readonly", "-o", str(program), "."]
    try:
        subprocess.run(
            command, cwd=_SOURCE, check=True, capture_output=True, text=True, timeout=_BUILD_S
        )
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr).split())
        raise PreflightError(f"build Benthos: {said[-_TAIL_CHARS:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PreflightError(f"build Benthos: {error}") from error
    return program
