"""Records in, files out: one for each topic, partition and day.

    record -> rows of its file -> block, encoded -> compressed -> spooled;  file -> published

Rows become a block when there are enough of them, so that blocks bound the memory, not files.
Threads compress, and publish.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from transforms import filesystem
from transforms.archive import layout, leftovers
from transforms.archive.avro import AvroFormat
from transforms.archive.files import Ask
from transforms.archive.formats import Format
from transforms.archive.json_lines import JsonFormat
from transforms.archive.publishing import Complete, Publisher
from transforms.archive.spool import Spool, root_for
from transforms.errors import DeliveryError, TransferError
from transforms.ranges import Ranges, Span
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge
from transforms.schema_registry import SchemaRegistry

BLOCK_BYTES = (64_000, 1_000_000)
"""Of a block's values: the least with many files, the most with few."""

_ROW_BYTES = 100
"""What a record is taken for beyond its value: so many empty ones are a block, too."""

MAX_FILES = 1_000
"""Files that are open at once; before there is one more, the one opened first is closed."""

_THREADS = 2
_MAX_BLOCKS = 8
"""Blocks that are being compressed."""

Place = tuple[str, int | None]
"""(topic, partition)"""


@dataclass(slots=True, eq=False)
class _File:
    """One that is not complete.

    Attributes:
      begin_ms, end_ms: its day.
      rows, pending_bytes: what is in no block yet.
      next: the least offset that may come next.
      first, last: offsets, or publish times.
      size: what is spooled.
      queued: blocks that are being compressed.
      spans: the offsets of what is in blocks.
    """

    place: Place
    day: int
    begin_ms: float
    end_ms: float
    name: str
    next: int
    first: int
    last: int
    of: type[KafkaRecord] | type[PubsubRecord]
    rows: list[Any] = field(default_factory=list)
    pending_bytes: int = 0
    size: int = 0
    count: int = 0
    payload_bytes: int = 0
    queued: int = 0
    spans: list[Span] = field(default_factory=list)


class ArchiveWriter:
    """Implements `registry.Writer`.

    Args:
      config: `sink.ArchiveSinkConfig`.
    Raises:
      UsageError: the URL is none that can be used.
      DeliveryError: there is no place to spool files.
    """

    def __init__(self, config: Any, bridge: Bridge) -> None:
        self._url = filesystem.checked(config.url)
        self._file_bytes = config.file_bytes
        self._unnamed: Place = (config.topic, None)
        self._memory_bytes = bridge.config.max_in_flight_bytes // 8
        self._block_bytes = BLOCK_BYTES[1]
        self._format = _format(config)
        try:
            self._spool = Spool(root_for(self._url))
        except OSError as error:
            raise DeliveryError(f"archive {self._url}: no place for files: {error}") from error
        self._publisher = Publisher(bridge, self._tidy, config.counted_as)
        self._pool = ThreadPoolExecutor(_THREADS, "compress")
        self._files: dict[tuple[Place, int], _File] = {}
        self._current: dict[Place, _File] = {}
        self._blocks: deque[tuple[_File, Future[bytes]]] = deque()
        self._failure: TransferError | None = None

    # -- records in

    def write(self, record: Any) -> None:
        """Adds a record or a message, as it was read, to its file.

        Raises:
          TransferError: a file could not be written.
        """
        if record.__class__ is KafkaRecord:
            file = self._current.get(record[:2])
            offset: Any = record[2]
            time_ms, payload, headers = record[3] or 0, record[6], record[7]
            if (
                file is None
                or offset < file.next
                or time_ms < file.begin_ms
                or time_ms >= file.end_ms
            ):
                file = self._switch(record[:2], offset, time_ms, KafkaRecord)
            file.next = offset + 1
        else:
            file = self._current.get(self._unnamed)
            time_ms, payload, headers = record[4] or 0, record[0], ()
            if file is None or time_ms < file.begin_ms or time_ms >= file.end_ms:
                file = self._switch(self._unnamed, 0, time_ms, PubsubRecord)
        file.rows.append(record)
        file.pending_bytes += len(payload) + _ROW_BYTES if payload else _ROW_BYTES
        if headers:
            file.pending_bytes += sum(len(value or b"") for _, value in headers)
        if file.pending_bytes >= self._block_bytes:
            self._encode(file)

    def _switch(self, place: Place, offset: int, time_ms: int, of: Any) -> _File:
        """The file of a record that does not belong to the one before."""
        day = layout.day_of(time_ms)
        file = self._files.get((place, day))
        if file is not None and offset < file.next:
            self._close(file)  # these offsets are read again
            file = None
        if file is None:
            file = self._open(place, day, offset, of)
        self._current[place] = file
        return file

    def _open(self, place: Place, day: int, offset: int, of: Any) -> _File:
        if len(self._files) >= MAX_FILES:
            self._close(next(iter(self._files.values())))
        begin_ms, end_ms = layout.bounds_ms(day)
        is_kafka = of is KafkaRecord
        first = offset if is_kafka else layout.LAST_MS
        file = _File(place, day, begin_ms, end_ms, uuid.uuid4().hex, offset, first, 0, of)
        self._files[place, day] = file
        self._share_memory()
        self._spooled(file, self._format.header(of))
        return file

    def _share_memory(self) -> None:
        least, most = BLOCK_BYTES
        share = self._memory_bytes // max(1, len(self._files))
        self._block_bytes = max(least, min(share, most))

    # -- files out

    def _encode(self, file: _File) -> None:
        """Makes a block of what a file has got."""
        self._publisher.check()
        rows, file.rows, file.pending_bytes = file.rows, [], 0
        encoded = self._publisher.insist(lambda _: self._format.encode(rows))
        file.count += encoded.records
        file.payload_bytes += encoded.payload_bytes
        if file.of is KafkaRecord:
            file.last = rows[-1].offset
            _add_spans(file.spans, rows)
        else:
            times = [message.publish_time_ms or 0 for message in rows]
            file.first, file.last = min(file.first, *times), max(file.last, *times)
        file.queued += 1
        self._blocks.append((file, self._pool.submit(self._format.block, encoded)))
        while len(self._blocks) > _MAX_BLOCKS:
            self._settle()
        if file.payload_bytes >= self._file_bytes:
            self._close(file)

    def _settle(self) -> None:
        """Spools the oldest block."""
        file, compressed = self._blocks.popleft()
        file.queued -= 1
        self._spooled(file, compressed.result())

    def _spooled(self, file: _File, data: bytes) -> None:
        path, write = self._spool.path(file.name), self._spool.write
        try:
            self._publisher.insist(
                lambda ask: ask("write", path, partial(write, file.name, file.size, data))
            )
        except TransferError as error:
            self._failure = self._failure or error
            raise
        file.size += len(data)

    def _close(self, file: _File) -> None:
        """Completes a file, and has it published."""
        del self._files[file.place, file.day]
        if self._current.get(file.place) is file:
            del self._current[file.place]
        self._share_memory()
        if file.rows:
            self._encode(file)
        while file.queued:
            self._settle()
        self._publisher.submit(
            Complete(
                self._spool.path(file.name),
                self._path(file),
                file.count,
                file.payload_bytes,
                Ranges().with_spans(file.spans),
            )
        )

    def _path(self, file: _File) -> str:
        topic, partition = file.place
        extension = self._format.extension
        if partition is None:
            unique = uuid.uuid4().hex[:12]
            name = layout.pubsub_name(topic, file.first, file.last, unique, extension)
        else:
            name = layout.kafka_name(topic, partition, file.first, file.last, extension)
        return filesystem.join(self._url, f"{layout.folder(topic, file.day)}/{name}")

    def _tidy(self, file: Complete, ask: Ask) -> None:
        """Takes what a file has out of older ones."""
        for old in ask("list", file.path, partial(leftovers.beside, file.path)):
            leftovers.take_out(old, file.offsets, self._format, self._spool, ask)

    # -- the process's view

    def flush(self, timeout_s: float) -> None:
        try:
            if self._failure is not None:
                raise self._failure
            for file in list(self._files.values()):
                self._close(file)
            self._publisher.wait(timeout_s)
        except TransferError as error:
            self._failure = self._failure or error
            raise

    @property
    def clean(self) -> bool:
        return self._failure is None and not self._files and self._publisher.progress is None

    @property
    def confirmed(self) -> int | None:
        return self._publisher.progress

    def close(self) -> None:
        self._publisher.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._spool.close()


def _add_spans(spans: list[Span], rows: Sequence[Any]) -> None:
    """Adds the offsets of rows, which ascend, to those of the rows before."""
    first, last = rows[0].offset, rows[-1].offset
    whole = last - first == len(rows) - 1
    for at, end in [(first, last)] if whole else ((row.offset, row.offset) for row in rows):
        if spans and spans[-1][1] + 1 == at:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((at, end))


def _format(config: Any) -> Format:
    if config.format == "avro":
        return AvroFormat(config.codec)
    registry = None
    if config.schema_registry:
        registry = SchemaRegistry(config.schema_registry, config.schema_registry_login)
    return JsonFormat(config.codec, config.topic, registry)
