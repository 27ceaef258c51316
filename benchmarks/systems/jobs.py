"""What a benchmark asks of a system: ours, a bare loop on the same client libraries, or a peer."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Direction = Literal["kafka_to_ps", "ps_to_kafka"]

MAX_IN_FLIGHT_BYTES = 100_000_000
"""What a system may hold, where that can be said: half of the bridge's default."""


@dataclass(frozen=True)
class Job:
    """One stream to be moved, by one process, until that is ended.

    Attributes:
      bootstrap_servers: `HOST:PORT` of a Kafka broker without log-in.
      pubsub: `HOST:PORT` of the emulator, or of the instant server; plaintext gRPC.
      kafka_topic: read from its beginning, or written to.
      pubsub_topic: `projects/P/topics/T`, written to.
      subscription: `projects/P/subscriptions/S`, read.
      group_id: of the consumer group whose commits tell how far `kafka_to_ps` is. Every system
        commits once a second.
      attributes: what travels beside the payload, for systems that know several.
      client: the Kafka client, for systems that know several.
      runner: Beam's, for systems that run on Beam.
      folder: an empty one, for logs and files of this run.
    """

    direction: Direction
    bootstrap_servers: str
    pubsub: str
    kafka_topic: str
    pubsub_topic: str
    subscription: str
    group_id: str
    folder: Path
    attributes: Literal["none", "metadata", "lossless"] = "metadata"
    client: Literal["librdkafka", "kafka-python"] = "librdkafka"
    runner: Literal["DirectRunner", "PrismRunner"] = "DirectRunner"


class System(Protocol):
    """Something that moves streams.

    Attributes:
      name: as the tables have it.
    """

    name: str

    def absent(self) -> str:
        """Why it cannot be had on this machine, in one line; empty where it can. Fetches and builds
        what is missing, once."""

    def describe(self) -> Mapping[str, str]:
        """Versions and settings, as they are printed with the results."""

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        """The process that does the work, in a session of its own; its output goes to `job.folder`.
        CPU and memory are those of this process and its children. SIGTERM ends it."""
