"""Where dead letters are kept, and opening it. A system is imported when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transforms.dead_letter import DeadLetterSink
from transforms.errors import UsageError
from transforms.kafka.client import KafkaConfig, ProducerConfig
from transforms.pubsub.service import DEFAULT, Service


@dataclass(frozen=True)
class Place:
    """A place that holds dead letters; small and picklable, it travels to workers.

    Attributes:
      name: a Kafka topic; `projects/P/topics/T` (to write) or `projects/P/subscriptions/S` (to
        read); or a folder: a local path, `file://`, `gs://` or `s3://`.
    """

    kind: Literal["kafka", "pubsub", "files"]
    name: str


def open_sink(
    place: Place,
    cluster: KafkaConfig | None,
    producer: ProducerConfig | None,
    timeout_s: float,
    service: Service = DEFAULT,
) -> DeadLetterSink:
    """Opens a place for writing; nothing is contacted before the first write.

    Args:
      cluster: where a Kafka topic is.
      producer: how it is written; its `max_message_bytes` must be the topic's.
      timeout_s: how long one write is tried.
      service: where a Pub/Sub topic is, and who writes it.
    Raises:
      UsageError: a Kafka topic without a cluster, or a package that is not installed.
    """
    if place.kind == "kafka":
        from transforms.dead_letters.kafka import KafkaDeadLetters

        if cluster is None or producer is None:
            raise UsageError(
                f"write dead letters to {place.name}: no Kafka cluster is known; "
                "set --bootstrap_servers"
            )
        return KafkaDeadLetters(cluster, place.name, producer)
    if place.kind == "pubsub":
        from transforms.dead_letters.pubsub import PubsubDeadLetters

        return PubsubDeadLetters(place.name, timeout_s, service)
    from transforms.dead_letters.files import FileDeadLetters

    return FileDeadLetters(place.name)
