"""Sending the originals of dead letters: the mapping where it is needed, and the bridge's writers.

    original         to Kafka                      to Pub/Sub
    KafkaRecord      as it is, in another topic    to_pubsub
    PubsubRecord     to_kafka                      as it is

No marker of loop safety is extended: a letter does not say from which cluster, or through which
subscription, its original came. The one that the original has is carried on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from transforms.dead_letter import Stage
from transforms.errors import PoisonError, RefusedError, UnmappableError
from transforms.kafka.client import KafkaConfig, ProducerConfig, TopicInfo
from transforms.kafka.writer import KafkaSinkConfig, KafkaWriter
from transforms.mapping import ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.pubsub.service import DEFAULT, Service
from transforms.pubsub.writer import PubsubSinkConfig, PubsubWriter
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig

_log = logging.getLogger(__name__)

Original = KafkaRecord | PubsubRecord

Convert = Callable[[Original, list[str]], Any]
"""From an original to what is written; names what is left out of it. Raises UnmappableError."""

_PATIENCE_S = 5.0
"""How much longer than the client itself a flush waits, so that the client's reason is told."""


class Refusal(NamedTuple):
    """Why an original cannot be delivered now.

    Attributes:
      stage, error_class, error: as in `DeadLetter`.
    """

    stage: Stage
    error_class: str
    error: str


class Refusals(Bridge):
    """What writers are given for a bridge: keeps what they give up, and makes no dead letter."""

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__(config)
        self._refused: dict[int, Refusal] = {}

    def give_up(
        self, original: Original, error: PoisonError, stage: Stage, attempts: int = 1
    ) -> None:
        self._refused[id(original)] = Refusal(stage, type(error).__name__, error.in_letter)

    def take(self, originals: Sequence[Original]) -> dict[int, Refusal]:
        """Those of these objects that were given up, by index; forgets them all."""
        refused, self._refused = self._refused, {}
        return {i: refused[id(each)] for i, each in enumerate(originals) if id(each) in refused}


class Sender:
    """Sends originals to one destination, in their order; used by one thread.

    Args:
      bridge: the one that `writer` was made with.
      writer: a `registry.Writer`.
    """

    def __init__(self, bridge: Refusals, convert: Convert, writer: Any) -> None:
        self._bridge = bridge
        self._convert = convert
        self._writer = writer

    def send(self, originals: Sequence[Original]) -> dict[int, Refusal]:
        """Returns when each one is confirmed or refused; the refused ones, by their index.

        Raises:
          TransferError: some are neither.
        """
        for original in originals:
            dropped: list[str] = []
            try:
                record = self._convert(original, dropped)
            except UnmappableError as error:
                self._bridge.give_up(original, error, "map")
                continue
            self._tell(original, dropped)
            self._writer.write([record])
        self._writer.flush(self._bridge.config.delivery_timeout_s + _PATIENCE_S)
        return self._bridge.take(originals)

    def _tell(self, original: Original, dropped: Sequence[str]) -> None:
        self._bridge.counts.add("fields_dropped", len(dropped))
        for what in self._bridge.first_seen(dropped):
            _log.warning("%s: %s (said once, counted as fields_dropped)", original.name, what)

    @property
    def fields_dropped(self) -> int:
        """Keys, headers and attributes that were left out, since they did not fit."""
        return self._bridge.counts.totals()["fields_dropped"]

    def close(self) -> None:
        """Disconnects without waiting."""
        self._writer.close()


class Rehearsal:
    """Tells which originals could not be delivered, and sends nothing; as a `Sender` otherwise.

    Args:
      refusals: why the destination would refuse what an original is converted to; empty if it would
        not.
    """

    fields_dropped = 0

    def __init__(self, convert: Convert, refusals: Callable[[Any], Sequence[str]]) -> None:
        self._convert = convert
        self._refusals = refusals

    def send(self, originals: Sequence[Original]) -> dict[int, Refusal]:
        """Those that would be refused, by their index."""
        refused: dict[int, Refusal] = {}
        for index, original in enumerate(originals):
            try:
                reasons = self._refusals(self._convert(original, []))
            except UnmappableError as error:
                refused[index] = Refusal("map", type(error).__name__, error.in_letter)
            else:
                if reasons:
                    refused[index] = Refusal("write", RefusedError.__name__, "; ".join(reasons))
        return refused

    def close(self) -> None:
        """Nothing is open."""


def to_kafka_by(policy: ToKafkaPolicy) -> Convert:
    """Makes records for the Kafka topic that `policy` names."""

    def convert(original: Original, dropped: list[str]) -> KafkaRecord:
        if isinstance(original, PubsubRecord):
            return to_kafka(original, policy, dropped)
        return KafkaRecord(
            policy.topic,
            original.partition if policy.partition == "source" else None,
            None,
            original.timestamp_ms,
            key=original.key,
            value=original.value,
            headers=original.headers,
            made_from=original,
        )

    return convert


def to_pubsub_by(policy: ToPubsubPolicy) -> Convert:
    """Makes messages for Pub/Sub."""

    def convert(original: Original, dropped: list[str]) -> PubsubRecord:
        if isinstance(original, KafkaRecord):
            return to_pubsub(original, policy, dropped)
        return PubsubRecord(
            original.data, original.attributes, original.ordering_key, made_from=original
        )

    return convert


def open_kafka_sender(
    cluster: KafkaConfig, rules: TopicInfo, policy: ToKafkaPolicy, delivery_timeout_s: float
) -> Sender:
    """Opens a sender to the Kafka topic that `policy` names.

    Args:
      rules: of this topic.
    Raises:
      DeliveryError, UsageError: as `open_producer`.
    """
    bridge = _bridge(delivery_timeout_s)
    producer = ProducerConfig(
        delivery_timeout_s=delivery_timeout_s, max_message_bytes=rules.max_message_bytes
    )
    sink = KafkaSinkConfig(bridge.config, cluster, producer, rules)
    return Sender(bridge, to_kafka_by(policy), KafkaWriter(sink, bridge))


def open_pubsub_sender(
    topic: str, policy: ToPubsubPolicy, delivery_timeout_s: float, service: Service = DEFAULT
) -> Sender:
    """Opens a sender to `projects/P/topics/T`.

    Args:
      service: where it is, and who writes it.
    Raises:
      PreflightError: there are no credentials.
    """
    bridge = _bridge(delivery_timeout_s)
    writer = PubsubWriter(PubsubSinkConfig(bridge.config, topic, service), bridge)
    return Sender(bridge, to_pubsub_by(policy), writer)


def _bridge(delivery_timeout_s: float) -> Refusals:
    return Refusals(BridgeConfig("redrive", delivery_timeout_s=delivery_timeout_s))
