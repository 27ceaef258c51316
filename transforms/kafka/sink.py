"""`WriteToKafka`: writes whole Kafka records, confirmed before the bundle ends."""

from __future__ import annotations

from functools import partial
from typing import Any

import apache_beam as beam

from transforms.kafka.by_topic import WriterByTopic
from transforms.kafka.writer import KafkaSinkConfig, KafkaWriter
from transforms.sink import WriteFn


class WriteToKafka(beam.PTransform):
    """Writes Kafka records to the topic (and, unless None, the partition) that each names.

    Parallelism: one producer per DoFn instance, kept by the process over bundles and rounds.
    Guarantee: a bundle ends only when all replicas in sync have confirmed each of its records
      (acks=all, idempotent producer), or it is safe as a dead letter; else it fails, and its source
      delivers it again. No topic is created but as the config says.
    On restart: nothing is kept; what was not confirmed is written again.
    """

    def __init__(self, config: KafkaSinkConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, records: Any) -> Any:
        writer = WriterByTopic if self._config.rules is None else KafkaWriter
        return records | "Write" >> beam.ParDo(
            WriteFn(
                self._config.bridge,
                ("kafka", self._config.kafka.bootstrap_servers),
                partial(writer, self._config),
            )
        )

    def display_data(self) -> dict[str, Any]:
        return {"client": self._config.kafka.client}
