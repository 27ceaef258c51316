"""The mapping as Beam transforms: counts what is left out, names what cannot be mapped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from transforms import registry
from transforms.errors import UnmappableError
from transforms.mapping import ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import BridgeConfig

_log = logging.getLogger(__name__)


class ToPubsub(beam.PTransform):
    """`PCollection[KafkaRecord]` to `PCollection[PubsubRecord]`, one for one, by `to_pubsub`."""

    def __init__(self, bridge: BridgeConfig, policy: ToPubsubPolicy) -> None:
        super().__init__()
        self._fn = _MapFn(bridge, to_pubsub, policy)

    def expand(self, records: Any) -> Any:
        return records | "Map" >> beam.ParDo(self._fn).with_output_types(PubsubRecord)


class ToKafka(beam.PTransform):
    """`PCollection[PubsubRecord]` to `PCollection[KafkaRecord]`, one for one, by `to_kafka`."""

    def __init__(self, bridge: BridgeConfig, policy: ToKafkaPolicy) -> None:
        super().__init__()
        self._fn = _MapFn(bridge, to_kafka, policy)

    def expand(self, messages: Any) -> Any:
        return messages | "Map" >> beam.ParDo(self._fn).with_output_types(KafkaRecord)


class _MapFn(beam.DoFn):
    def __init__(self, bridge: BridgeConfig, mapping: Callable[..., Any], policy: Any) -> None:
        self._config = bridge
        self._mapping = mapping
        self._policy = policy

    def setup(self) -> None:
        self._bridge = registry.get(self._config)
        self._dropped: list[str] = []

    def process(self, element: Any) -> Iterator[Any]:
        try:
            mapped = self._mapping(element, self._policy, self._dropped)
        except UnmappableError as error:
            self._bridge.fail(error)
            raise
        if self._dropped:
            self._count_dropped(element)
        yield mapped

    def _count_dropped(self, element: Any) -> None:
        self._bridge.counts.add("fields_dropped", len(self._dropped))
        for what in self._bridge.first_seen(self._dropped):
            _log.warning("%s: %s (said once, counted as fields_dropped)", element.name, what)
        self._dropped.clear()
