"""What the consumer and the producer share: opening, logging, an error's words, conversions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from transforms.errors import UsageError
from transforms.kafka.client import Offsets, Partition
from transforms.kafka.client_rules import Repeats

_log = logging.getLogger(__name__)


REFUSED_LOGINS = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}

ENDINGS = {
    *REFUSED_LOGINS,
    KafkaError._BAD_COMPRESSION,
    KafkaError._BAD_MSG,
    KafkaError._FATAL,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.INVALID_MSG,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}
"""What ends a consumer; librdkafka gets over every other error by itself."""


OF_ONE_SERVER = {KafkaError._BAD_MSG}
"""What is said of a record that cannot be read, and of a server that is no Kafka broker."""


class Log:
    """Where librdkafka logs to; it says some 20 times a second that a broker is away."""

    def __init__(self) -> None:
        self._repeats = Repeats()

    def log(self, level: int, text: str, *values: object) -> None:
        """Passes a line on.

        Args:
          text: the format of the values.
          values: the facility first, the message last.
        """
        facility, message = str(values[0]), str(values[-1])
        if facility == "GETPID" and message.endswith("retrying"):
            level = logging.DEBUG  # a fresh broker gives producer ids only after some seconds
        if level < logging.WARNING:
            _log.debug(text, *values)
        elif self._repeats.let_pass(f"{facility} {message}"):
            _log.log(level, text, *values)

    def warn(self, who: str, error: KafkaError) -> None:
        """Says what librdkafka gets over by itself."""
        self.log(logging.WARNING, "%s: %s", who, error.str())


def open_client(client: Callable[..., Any], settings: dict[str, Any]) -> Any:
    """Makes a client; it connects in the background.

    Raises:
      UsageError: librdkafka does not take a setting.
    """
    try:
        return client(settings, logger=Log())
    except KafkaException as error:
        raise UsageError(f"open librdkafka: {reason(error)}; see --kafka_config") from error


def reason(error: Exception) -> str:
    """The broker's or librdkafka's own words."""
    cause = error.args[0] if error.args else error
    text = str(cause.str()) if isinstance(cause, KafkaError) else str(cause)
    return " ".join(text.split())


# -- partitions and offsets ------------------------------------------------------------------------


def partitions_of(parts: Iterable[TopicPartition]) -> list[Partition]:
    return [(part.topic, part.partition) for part in parts]


def with_offsets(
    positions: Offsets, metadata: Mapping[Partition, str] = {}
) -> list[TopicPartition]:
    return [
        TopicPartition(*part, offset, metadata.get(part, "")) for part, offset in positions.items()
    ]


def message_partition(message: Message) -> Partition:
    topic, partition = message.topic(), message.partition()
    assert topic is not None
    assert partition is not None
    return topic, partition


def message_offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset
