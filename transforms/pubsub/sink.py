"""`WriteToPubSub`: publishes messages in batches, confirmed before the bundle ends."""

from __future__ import annotations

from functools import partial
from typing import Any

import apache_beam as beam

from transforms.pubsub.writer import PubsubSinkConfig, PubsubWriter
from transforms.sink import WriteFn


class WriteToPubSub(beam.PTransform):
    """Publishes messages, to one topic or each to its own: data, attributes and ordering key as
    they are.

    Parallelism: one writer per DoFn instance with up to 8 requests under way; messages with an
      ordering key go one key (of one topic) a request, one request of a key at a time, in order.
    Guarantee: a bundle ends only when the service has confirmed each of its messages, or it is safe
      as a dead letter; else it fails, and its source delivers it again.
    On restart: nothing is kept; what was not confirmed is published again.
    """

    def __init__(self, config: PubsubSinkConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, messages: Any) -> Any:
        return messages | "Publish" >> beam.ParDo(
            WriteFn(
                self._config.bridge,
                ("pubsub", self._config.topic),
                partial(PubsubWriter, self._config),
            )
        )

    def display_data(self) -> dict[str, Any]:
        return {"topic": self._config.topic}
