"""Which Kafka client carries the data, and opening it.

A client's package is imported when it is opened: librdkafka may not be installed, and a worker
needs one of them only.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

from transforms.errors import UsageError
from transforms.kafka.client import (
    Admin,
    ClientName,
    Consumer,
    ConsumerConfig,
    KafkaConfig,
    Producer,
    ProducerConfig,
)


def has_librdkafka() -> bool:
    """Whether confluent-kafka (librdkafka) is installed here."""
    return importlib.util.find_spec("confluent_kafka") is not None


def choose_client(
    requested: Literal["auto", "librdkafka", "kafka-python"], mechanism: str
) -> tuple[ClientName, str]:
    """Which client carries the data, and why, in a few words for the log.

    Args:
      mechanism: `sasl.mechanism`, empty without a log-in.

    Raises:
      UsageError: librdkafka was asked for by name, and cannot be used.
    """
    if requested == "kafka-python":
        return "kafka-python", "asked for"
    obstacle = None
    if mechanism == "GSSAPI":
        obstacle = "confluent-kafka's wheels come without Kerberos (GSSAPI)"
    elif not has_librdkafka():
        obstacle = "confluent-kafka is not installed"
    if obstacle is None:
        return "librdkafka", "asked for" if requested == "librdkafka" else "the faster one"
    if requested == "librdkafka":
        raise UsageError(
            f"use --kafka_client=librdkafka: {obstacle}; use --kafka_client=auto or kafka-python"
        )
    return "kafka-python", obstacle


def open_consumer(config: KafkaConfig, consumer: ConsumerConfig) -> Consumer:
    """Opens a consumer of the chosen client.

    librdkafka connects in the background, kafka-python at once.

    Raises:
      SourceError: kafka-python got no answer within `request_timeout_s`, or the log-in is refused.
      UsageError: the client's properties do not go together.
    """
    if config.client == "librdkafka":
        from transforms.kafka.librdkafka import LibrdkafkaConsumer

        return LibrdkafkaConsumer(config, consumer)
    from transforms.kafka.kafka_python import KafkaPythonConsumer

    return KafkaPythonConsumer(config, consumer)


def open_producer(config: KafkaConfig, producer: ProducerConfig) -> Producer:
    """Opens a producer of the chosen client.

    librdkafka connects in the background, kafka-python at once.

    Raises:
      DeliveryError: kafka-python got no answer within 10 s, or the log-in is refused.
      UsageError: the client's properties do not go together.
    """
    if config.client == "librdkafka":
        from transforms.kafka.librdkafka import LibrdkafkaProducer

        return LibrdkafkaProducer(config, producer)
    from transforms.kafka.kafka_python import KafkaPythonProducer

    return KafkaPythonProducer(config, producer)


def open_admin(config: KafkaConfig, timeout_s: float) -> Admin:
    """Opens an admin client; kafka-python does administration whichever client carries the data.

    Raises:
      PreflightError: no broker answers within `timeout_s`, or the log-in is refused.
    """
    from transforms.kafka.kafka_python import KafkaPythonAdmin

    return KafkaPythonAdmin(config, timeout_s)
