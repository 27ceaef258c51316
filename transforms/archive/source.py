"""`ReadFromArchive`: a finite source of the records that an archive keeps, as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

from transforms import filesystem, registry
from transforms.archive import remembered, selection
from transforms.archive.selection import Selection
from transforms.archive.session import CALL_S, ArchiveSession, Place, find
from transforms.errors import SourceError
from transforms.ranges import Ranges
from transforms.reading import progress, read_bundle
from transforms.record_batches import HandOn, Poll
from transforms.registry import BridgeConfig


@dataclass(frozen=True)
class ArchiveSourceConfig:
    """What is read of an archive; picklable.

    Attributes:
      url: the archive's folder: a local path, `file://`, `gs://` or `s3://`.
      topics: names, or one `^regex`; none: all.
      from_ms, to_ms: event time: only what is from the first on and before the second.
      offsets: by (topic, partition): if not empty, only these.
      state: URL of a file that remembers what is delivered, for a run like this; empty: none does.
    """

    bridge: BridgeConfig
    url: str
    topics: tuple[str, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None
    offsets: Mapping[tuple[str, int], Ranges] = field(default_factory=dict)
    state: str = ""

    @property
    def place(self) -> Place:
        """Where it is, and what of it is read."""
        wanted = Selection(self.topics, self.from_ms, self.to_ms, self.offsets)
        state = filesystem.checked(self.state) if self.state else ""
        return Place(filesystem.checked(self.url), wanted, state)


def files(config: ArchiveSourceConfig) -> list[str]:
    """The paths of files that may have something.

    Raises:
      SourceError: the archive cannot be listed, or has nothing that can be read back.
    """
    return [file.path for file in find(config.place, _ask)]


def total(config: ArchiveSourceConfig) -> int | None:
    """How many records there are to read, as far as the files' names tell; None: they do not.

    Raises:
      SourceError: the archive cannot be listed, or the state not be read.
    """
    place = config.place
    done = remembered.load(place.state, _ask) if place.state else {}
    return selection.remaining(find(place, _ask), place.wanted, done)


def _ask(operation: str, path: str, call: Callable[[], Any]) -> Any:
    return filesystem.ask(SourceError, operation, path, call, CALL_S)


class ReadFromArchive(beam.PTransform):
    """Reads Kafka records and Pub/Sub messages from the files that `WriteToArchive` wrote as Avro.

    Parallelism: one reader, file by file.
    Guarantee: at least once; by offset within each topic and partition, each offset once where
      files of a day overlap. `state` is written after the bundle that read it is final, that is,
      after the sinks fused behind this source have confirmed it. Nothing may shuffle between.
    On restart: continues behind what `state` remembers.
    """

    def __init__(self, config: ArchiveSourceConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, pbegin: Any) -> Any:
        return (
            pbegin
            | "Impulse" >> beam.Impulse()
            | "Once" >> beam.Map(_once)
            | "Read" >> beam.ParDo(_ReadFn(self._config)).with_output_types(Poll)
            | "Each" >> beam.ParDo(HandOn(Any))
        )

    def display_data(self) -> dict[str, Any]:
        return {"url": self._config.url, "topics": ",".join(self._config.topics)}


def _once(impulse: bytes) -> bytes:
    """Stands before the reader, as other sources' shards do: a runner that has the splitting of
    restrictions begin a stage (Prism) would ask that for finalization, which it does not know."""
    return impulse


Position = tuple[int | None, bool]
"""How many records have been handed on (None: not begun), and whether that is all."""


class _PositionTracker(RestrictionTracker):
    def __init__(self, position: Position) -> None:
        self._handed_on, self._ended = position

    def current_restriction(self) -> Position:
        return self._handed_on, self._ended

    def try_claim(self, position: int | None) -> bool:
        """Claims all up to the record of this number; None ends it."""
        may_go_on = not self._ended
        if position is None:
            self._ended = True
        elif may_go_on:
            self._handed_on = position
        return may_go_on

    def try_split(self, fraction_of_remainder: float) -> tuple[Position, Position] | None:
        """Only a checkpoint (fraction 0) is possible."""
        if fraction_of_remainder != 0 or self._ended:
            return None
        self._ended = True
        return (self._handed_on, True), (self._handed_on, False)

    def check_done(self) -> bool:
        if not self._ended:
            raise ValueError("archive source: returned before its end")
        return True

    def is_bounded(self) -> bool:
        return True

    def current_progress(self) -> RestrictionProgress:
        return progress(self._ended)


class _PositionProvider(RestrictionProvider):
    def initial_restriction(self, element: bytes) -> Position:
        return None, False

    def create_tracker(self, restriction: Position) -> _PositionTracker:
        return _PositionTracker(restriction)

    def restriction_size(self, element: bytes, restriction: Position) -> float:
        return 1.0


class _ReadFn(beam.DoFn):
    def __init__(self, config: ArchiveSourceConfig) -> None:
        self._config = config

    def process(
        self,
        _impulse: bytes,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(_PositionProvider()),  # noqa: B008
    ) -> Iterator[Poll]:
        bridge = registry.get(self._config.bridge)
        with bridge.failing():
            place = self._config.place
            session = bridge.session(("archive", place.url), partial(ArchiveSession, place, bridge))
            bundle = session.begin(tracker.current_restriction()[0])
        finalizer.register(bundle.finalize)
        return read_bundle(bridge, session, bundle, tracker)
