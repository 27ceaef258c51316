"""The mapping as Beam transforms: drops what returns, counts what is left out, and hands on what
cannot be mapped to the dead letters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import apache_beam as beam

from transforms import origins, registry, restore
from transforms.destinations import Template
from transforms.errors import UnmappableError
from transforms.mapping import ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.record_batches import Batched
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import BridgeConfig

_log = logging.getLogger(__name__)


class Routing(NamedTuple):
    """Where messages go that have each a destination of its own; picklable.

    Attributes:
      origin_of: a destination's origin (see `transforms.origins`); empty lets everything pass.
    """

    template: Template
    origin_of: Callable[[str], str]


class ToPubsub(beam.PTransform):
    """`PCollection[KafkaRecord]` to `PCollection[PubsubRecord]` by `to_pubsub`.

    Args:
      destination: its origin (see `transforms.origins`): what has been there is dropped; empty lets
        everything pass. Or where each record goes.
      restores: elements come from an archive, which may have kept messages.
    """

    def __init__(
        self,
        bridge: BridgeConfig,
        policy: ToPubsubPolicy,
        destination: str | Routing = "",
        restores: bool = False,
    ) -> None:
        super().__init__()
        mapping = restore.to_pubsub if restores else to_pubsub
        marker_of = restore.marker_of if restores else _marker_of_record
        policy_of = partial(_same, policy)
        self._fn = _map_fn(PubsubRecord, bridge, mapping, policy_of, marker_of, destination)

    def expand(self, records: Any) -> Any:
        return records | "Map" >> beam.ParDo(self._fn).with_output_types(PubsubRecord)


class ToKafka(beam.PTransform):
    """`PCollection[PubsubRecord]` to `PCollection[KafkaRecord]` by `to_kafka`.

    Args:
      destination, restores: as for `ToPubsub`.
    """

    def __init__(
        self,
        bridge: BridgeConfig,
        policy: ToKafkaPolicy,
        destination: str | Routing = "",
        restores: bool = False,
    ) -> None:
        super().__init__()
        mapping = restore.to_kafka if restores else to_kafka
        marker_of = restore.marker_of if restores else _marker_of_message
        policy_of = partial(_to_topic, policy)
        self._fn = _map_fn(KafkaRecord, bridge, mapping, policy_of, marker_of, destination)

    def expand(self, messages: Any) -> Any:
        return messages | "Map" >> beam.ParDo(self._fn).with_output_types(KafkaRecord)


def _marker_of_record(record: KafkaRecord) -> str:
    headers = record.headers
    return origins.in_headers(headers) if headers else ""


def _marker_of_message(message: PubsubRecord) -> str:
    attributes = message.attributes
    return origins.in_attributes(attributes) if attributes else ""


def _same(policy: ToPubsubPolicy, _topic: str) -> ToPubsubPolicy:
    return policy


def _to_topic(policy: ToKafkaPolicy, topic: str) -> ToKafkaPolicy:
    return replace(policy, topic=topic or policy.topic)


def _map_fn(
    gives: type,
    bridge: BridgeConfig,
    mapping: Callable[..., Any],
    policy_of: Callable[[str], Any],
    marker_of: Callable[[Any], str],
    destination: str | Routing,
) -> beam.DoFn:
    """Args: policy_of: the mapping's policy for a topic; for "", its own."""
    if isinstance(destination, str):
        return _MapFn(gives, bridge, mapping, policy_of(""), marker_of, destination)
    return _RouteFn(gives, bridge, mapping, policy_of, marker_of, destination)


class _MapFn(Batched):
    def __init__(
        self,
        gives: type,
        bridge: BridgeConfig,
        mapping: Callable[..., Any],
        policy: Any,
        marker_of: Callable[[Any], str],
        destination: str,
    ) -> None:
        self.gives = gives
        self._config = bridge
        self._mapping = mapping
        self._policy = policy
        self._marker_of = marker_of
        self._destination = destination

    def setup(self) -> None:
        self._bridge = registry.get(self._config)
        self._dropped: list[str] = []

    def process(self, element: Any) -> Sequence[Any]:
        return self._mapped([element])

    def process_batch(self, batch: Sequence[Any]) -> Iterator[Sequence[Any]]:
        yield self._mapped(batch)

    def _mapped(self, batch: Sequence[Any]) -> list[Any]:
        mapping, policy, marker_of = self._mapping, self._policy, self._marker_of
        destination, dropped, found = self._destination, self._dropped, []
        for element in batch:
            marker = marker_of(element)
            if marker and destination and origins.names(marker, destination):
                self._drop_return(element)
                continue
            try:
                found.append(mapping(element, policy, dropped, marker))
            except UnmappableError as error:
                dropped.clear()
                self._bridge.give_up(element, error, "map")
                continue
            if dropped:
                self._count_dropped(element)
        return found

    def _drop_return(self, element: Any) -> None:
        self._bridge.counts.add("returns_dropped")
        if self._bridge.first_seen(["returns"]):
            _log.warning(
                "%s: dropped, since it has been at the destination before (said once, counted as "
                "returns_dropped; --returns=pass lets such messages through)",
                element.name,
            )

    def _count_dropped(self, element: Any) -> None:
        self._bridge.counts.add("fields_dropped", len(self._dropped))
        for what in self._bridge.first_seen(self._dropped):
            _log.warning("%s: %s (said once, counted as fields_dropped)", element.name, what)
        self._dropped.clear()


class _RouteFn(Batched):
    """Maps each message as `_MapFn` does for its own destination.

    Args:
      policy_of: the mapping's policy for a destination.
    """

    def __init__(
        self,
        gives: type,
        bridge: BridgeConfig,
        mapping: Callable[..., Any],
        policy_of: Callable[[str], Any],
        marker_of: Callable[[Any], str],
        routing: Routing,
    ) -> None:
        self.gives = gives
        self._config = bridge
        self._mapping = mapping
        self._policy_of = policy_of
        self._marker_of = marker_of
        self._routing = routing

    def setup(self) -> None:
        self._bridge = registry.get(self._config)
        self._way_to = lru_cache(maxsize=1024)(self._new_way)

    def _new_way(self, topic: str) -> Callable[[Any], Sequence[Any]]:
        origin = self._routing.origin_of(topic)
        policy = self._policy_of(topic)
        way = _MapFn(self.gives, self._config, self._mapping, policy, self._marker_of, origin)
        way.setup()
        return way.process

    def process(self, element: Any) -> Sequence[Any]:
        try:
            topic = self._routing.template.name_for(element)
        except UnmappableError as error:
            self._bridge.give_up(element, error, "map")
            return ()
        return self._way_to(topic)(element)

    def process_batch(self, batch: Sequence[Any]) -> Iterator[Sequence[Any]]:
        yield [mapped for element in batch for mapped in self.process(element)]
