"""One reading of an archive: how far it is, and what of it is delivered.

poll -> claim -> (Beam: mapping, sink, finish_bundle) -> confirm -> the file that remembers
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from transforms import filesystem
from transforms.archive import layout, merging, remembered, selection
from transforms.archive.files import Record
from transforms.archive.layout import ArchivedFile
from transforms.archive.merging import Item
from transforms.archive.selection import Selection
from transforms.errors import CommitError, SourceError, UnavailableError
from transforms.health import COMMITS, SOURCE
from transforms.ranges import Ranges, Span
from transforms.reading import Bundle
from transforms.registry import Bridge

_log = logging.getLogger(__name__)

POLL_MAX_RECORDS = 500
CALL_S = 60.0
"""One call to a filesystem has to be answered within this."""

Key = tuple[str, str]


class ArchiveBatch(NamedTuple):
    """Records in their order. Implements `reading.Batch`.

    Attributes:
      positions: how many records this session has handed on with these.
      spans: first and last numbers of keys, with nothing undelivered in between: holes are bridged
        within a file, not between two, where another file may come to lie.
    """

    records: list[Record]
    positions: int
    spans: list[tuple[Key, Span]]
    payload_bytes: int


class ArchiveBundle(Bundle):
    """What one bundle has claimed."""

    def __init__(self, confirm: Callable[[ArchiveBundle], None]) -> None:
        super().__init__(confirm)
        self.spans: list[tuple[Key, Span]] = []


@dataclass(frozen=True)
class Place:
    """Where an archive is, and what of it is read.

    Attributes:
      url: the archive's, as `filesystem.checked` gives it.
      state: the file that remembers; empty: nothing is remembered.
    """

    url: str
    wanted: Selection
    state: str = ""


def find(place: Place, ask: Callable[..., Any]) -> list[ArchivedFile]:
    """The files that may have something.

    Raises:
      SourceError: there are only files that cannot be read back.
    """
    folders = [filesystem.join(place.url, name) for name in place.wanted.folders() if name]
    paths: list[str] = []
    for folder in folders or [place.url]:
        paths += ask("list", folder, partial(filesystem.matching, folder))
    named = [file for path in paths if (file := layout.parse(path)) is not None]
    found = [file for file in named if place.wanted.admits_file(file)]
    avro = [file for file in found if file.extension == "avro"]
    if found and not avro:
        raise SourceError(
            f"read {place.url}: JSON Lines are for people and cannot be read back; keep an archive "
            "of Avro containers"
        )
    return avro


class ArchiveSession:
    """Implements `registry.Session` and `reading.Reader`."""

    def __init__(self, place: Place, bridge: Bridge) -> None:
        self._place = place
        self._bridge = bridge
        self._lock = threading.Lock()
        self._items: Iterator[Item] | None = None
        self._ended = False
        self._handed_on = 0
        self._refused: ArchiveBatch | None = None
        self._reached: dict[Key, int] = {}
        self._left: int | None = None
        self._open: list[ArchiveBundle] = []
        self._done: dict[Key, Ranges] | None = None
        self._saved = True
        self._error: CommitError | None = None

    # -- reading

    def begin(self, handed_on: int | None) -> ArchiveBundle:
        """Starts a bundle; where others were not confirmed and do not come before it, their records
        are read again.

        Args:
          handed_on: what the restriction says has been; None at its beginning.
        """
        if self._open if handed_on is None else handed_on != self._handed_on:
            self._open.clear()
            self._items, self._refused, self._ended = None, None, False
            self._handed_on = handed_on or 0
        bundle = ArchiveBundle(self.confirm)
        self._open.append(bundle)
        return bundle

    @property
    def drained(self) -> bool:
        return self._bridge.control.exhausted and self._refused is None

    @property
    def finished(self) -> bool:
        return self._ended and self._refused is None

    def poll(self) -> ArchiveBatch:
        """The next records.

        Raises:
          SourceError: a file is damaged, or cannot be read for too long.
        """
        if self._refused is not None:
            batch, self._refused = self._refused, None
            self._handed_on = batch.positions
            return batch
        control = self._bridge.control
        reserved = control.reserve(POLL_MAX_RECORDS)
        if not reserved:
            time.sleep(0.01)
            return self._batch([])
        found: list[Item] = []
        try:
            found = self._take(reserved)
        except UnavailableError:
            if not control.stopping:
                raise
        finally:
            control.refund(reserved - len(found))
        control.busy()
        return self._batch(found)

    def _take(self, count: int) -> list[Item]:
        if self._items is None:
            self._items = self._plan()
        found: list[Item] = []
        admits = self._place.wanted.admits
        for item in self._items:
            key, _, record, _ = item
            if admits(record):
                found.append(item)
                if len(found) == count:
                    return found
            else:
                self._reached.pop(key, None)
        self._ended = True
        return found

    def _plan(self) -> Iterator[Item]:
        if self._done is None:
            state = self._place.state
            self._done = remembered.load(state, self._ask) if state else {}
        done = dict(self._done)
        files = find(self._place, self._ask)
        self._reached.clear()
        self._left = selection.remaining(files, self._place.wanted, done)
        _log.info("archive %s: %d files to read", self._place.url, len(files))
        streams = selection.streams(files)
        return chain.from_iterable(merging.items(stream, done, self._ask) for stream in streams)

    def _ask(self, operation: str, path: str, call: Callable[[], Any]) -> Any:
        """Asks with patience."""
        health = self._bridge.health
        answer = health.insist(
            SOURCE, lambda: filesystem.ask(UnavailableError, operation, path, call, CALL_S)
        )
        health.answered(SOURCE)
        return answer

    def _batch(self, found: list[Item]) -> ArchiveBatch:
        spans: list[tuple[Key, Span]] = []
        latest: dict[Key, int] = {}
        payload_bytes = 0
        for key, number, record, begins in found:
            reached = self._reached.get(key, -1)
            if key in latest and begins <= reached:
                spans[latest[key]] = key, (spans[latest[key]][1][0], number)
            else:
                latest[key] = len(spans)
                spans.append((key, (reached if begins <= reached else number, number)))
            self._reached[key] = number + 1
            payload_bytes += record.payload_bytes
        self._handed_on += len(found)
        return ArchiveBatch([item.record for item in found], self._handed_on, spans, payload_bytes)

    def claim(self, bundle: ArchiveBundle, batch: ArchiveBatch) -> None:
        if bundle.first_claim_at is None:
            bundle.first_claim_at = time.monotonic()
        bundle.payload_bytes += batch.payload_bytes
        bundle.spans += batch.spans
        self._bridge.counts.add("read", len(batch.records))
        if self._left is not None:
            self._left = max(0, self._left - len(batch.records))

    def unclaim(self, batch: ArchiveBatch) -> None:
        self._refused = batch
        self._handed_on -= len(batch.records)

    # -- remembering

    def confirm(self, bundle: ArchiveBundle) -> None:
        """A bundle is delivered, and this is remembered."""
        with self._lock:
            if bundle not in self._open:
                return
            self._open.remove(bundle)
            done = self._done = dict(self._done or {})
            for key, span in bundle.spans:
                done[key] = done.get(key, Ranges()).with_spans((span,))
            if bundle.spans or not self._saved:
                self._save()

    def _save(self) -> None:
        if not self._place.state:
            return
        health = self._bridge.health
        self._saved, self._error = False, None
        try:
            remembered.save(self._place.state, self._done or {}, CALL_S)
        except CommitError as error:
            self._error = error
            self._bridge.counts.add("commit_failures")
            health.failed(COMMITS, error)
        else:
            self._saved = True
            health.answered(COMMITS)

    # -- the process's view

    def lag(self) -> int | None:
        return self._left

    def close(self) -> None:
        with self._lock:
            if not self._saved:
                self._save()
            if self._error is not None:
                raise self._error
