"""Reading a record again, with the other client, whose header has a name that is not UTF-8: there
confluent-kafka's `Message.headers` fails, and nothing else tells the name's bytes."""

from __future__ import annotations

from dataclasses import replace

from confluent_kafka import Message

from transforms.errors import BridgeError, SourceError
from transforms.kafka.client import Consumer, ConsumerConfig, KafkaConfig, Partition
from transforms.kafka.client_errors import part_names
from transforms.kafka.clients import open_consumer
from transforms.kafka.librdkafka.common import message_offset, message_partition
from transforms.records import KafkaRecord

_FETCH_BYTES = 2_000_000
"""What the other client may prefetch; a single record may be larger."""


class Rereader:
    """Reads single records with kafka-python, at the same isolation level; connects when asked.

    The first record takes 0.1 s, one that follows it 0.5 ms, any other one 5 ms.
    """

    def __init__(self, cluster: KafkaConfig, config: ConsumerConfig) -> None:
        self._cluster = replace(cluster, client="kafka-python")
        self._config = replace(config, instance_id=None, fetch_bytes=_FETCH_BYTES)
        self._consumer: Consumer | None = None

    def read(self, message: Message) -> KafkaRecord:
        """Reads the record that a message stands for.

        Raises:
          SourceError: it was not to be had, after twice the `request_timeout_s` at the latest.
        """
        where, offset = message_partition(message), message_offset(message)
        try:
            if self._consumer is None:
                self._consumer = open_consumer(self._cluster, self._config)
            self._consumer.assign({})
            self._consumer.assign({where: offset})
            found = self._consumer.poll(self._config.request_timeout_s, 1)
        except BridgeError as error:
            raise _unreadable(where, offset, str(error)) from error
        if not found or found[0].offset != offset:
            raise _unreadable(where, offset, "it is not there, or not in time")
        return found[0]

    def close(self) -> None:
        """Disconnects; idempotent, and no end: the next record connects again."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def _unreadable(where: Partition, offset: int, reason: str) -> SourceError:
    return SourceError(
        f"read {part_names([where])}@{offset}: a header's name is not UTF-8, and kafka-python, "
        f"which can read it, failed ({reason}); "
        "start again, or begin after it with --start=offsets=FILE and --reset_offsets"
    )
