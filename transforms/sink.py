"""The DoFn behind every sink: borrows a writer of the process, and waits in `finish_bundle`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import apache_beam as beam

from transforms import registry
from transforms.record_batches import Batched
from transforms.registry import Bridge, BridgeConfig


class WriteFn(Batched):
    """Hands elements to `writer.write`; a bundle ends when the writer has confirmed all, and
    every dead letter is safe.

    Args:
      bridge: which bridge's writers are used.
      key: what a writer is kept under between bundles and rounds.
      open_writer: makes a writer (`registry.Writer`) that counts what it confirms,
        and gives up what can never be.
    """

    def __init__(
        self, bridge: BridgeConfig, key: Hashable, open_writer: Callable[[Bridge], Any]
    ) -> None:
        self._config = bridge
        self._key = key
        self._open_writer = open_writer

    def setup(self) -> None:
        self._bridge = registry.get(self._config)
        self._writer: Any = None

    def start_bundle(self) -> None:
        if self._writer is None:
            with self._bridge.failing():
                self._writer = self._bridge.borrow_writer(
                    self._key, lambda: self._open_writer(self._bridge)
                )

    def process(self, element: Any) -> None:
        self._write([element])

    @beam.DoFn.yields_elements
    def process_batch(self, batch: Sequence[Any]) -> None:
        self._write(batch)

    def _write(self, batch: Sequence[Any]) -> None:
        with self._bridge.failing():
            self._writer.write(batch)

    def finish_bundle(self) -> None:
        with self._bridge.failing():
            # The client itself gives up after delivery_timeout_s; waiting a little longer lets its
            # reason be the one that is told.
            self._writer.flush(self._config.delivery_timeout_s + 5)
            self._bridge.flush_dead_letters(self._config.delivery_timeout_s)
        self._bridge.counts.publish()

    def teardown(self) -> None:
        if self._writer is not None:
            self._bridge.return_writer(self._writer)
            self._writer = None
