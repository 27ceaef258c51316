"""Records in, files out: one for each topic, partition and day.

    record -> rows of its file -> block, encoded -> compressed -> spooled;  file -> published

Rows become a block when there are enough of them, so that blocks bound the memory, not files.
Threads compress, spool and publish.
"""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from transforms import filesystem
from transforms.archive import layout, leftovers
from transforms.archive.avro import AvroFormat
from transforms.archive.files import Ask
from transforms.archive.formats import Codec, Format, FormatName
from transforms.archive.json_lines import JsonFormat
from transforms.archive.lanes import Lane
from transforms.archive.publishing import Complete, Publisher
from transforms.archive.spool import Spool, SpoolFile, root_for
from transforms.errors import DeliveryError, TransferError
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig
from transforms.schema_registry import SchemaRegistry

BLOCK_BYTES = (64_000, 1_000_000)
"""Of a block's values: the least with many files, the most with few."""

_ROW_BYTES = 100
"""What a record is taken for beyond its value: so many empty ones are a block, too."""

MAX_FILES = 1_000
"""Files that are open at once; before there is one more, the one opened first is closed."""

_LANES = 2
_MAX_BLOCKS = 8
"""Blocks that are encoded, and not yet spooled."""

_Part = tuple[str, int | None]
"""A partition; (topic, None) of messages of Pub/Sub."""


@dataclass(slots=True, eq=False)
class _File:
    """One that is not complete.

    Attributes:
      begin_ms, end_ms: its day.
      rows, pending_bytes: what is in no block yet.
      next: the least offset that may come next.
      first, last: offsets, or publish times.
      spooled, lane: where it is written to, and by whom.
    """

    part: _Part
    day: int
    begin_ms: float
    end_ms: float
    spooled: SpoolFile
    lane: Lane
    next: int
    first: int
    last: int
    of: type[KafkaRecord] | type[PubsubRecord]
    rows: list[Any] = field(default_factory=list)
    pending_bytes: int = 0
    count: int = 0
    payload_bytes: int = 0


@dataclass(frozen=True)
class ArchiveSinkConfig:
    """Where records are kept, and how; picklable.

    Attributes:
      url: a folder, made when it is missing: a local path, `file://`, `gs://` or `s3://`.
      format: `avro`, whole and lossless, or `json`, for people.
      codec: how files are compressed; `deflate` of JSON Lines is gzip.
      file_bytes: of payload; a file that has got so many is closed.
      counted_as: the counter of what is in visible files.
      topic: the topic's name that messages of Pub/Sub are kept under, which do not name it.
      schema_registry, schema_registry_login: what JSON Lines are decoded by, as `SchemaRegistry`
        takes it; empty: without one.
    """

    bridge: BridgeConfig
    url: str
    format: FormatName = "avro"
    codec: Codec = "zstandard"
    file_bytes: int = 256_000_000
    topic: str = ""
    counted_as: str = "delivered"
    schema_registry: str = ""
    schema_registry_login: str | None = None


class ArchiveWriter:
    """Implements `registry.Writer`.

    Raises:
      UsageError: the URL is none that can be used.
      DeliveryError: there is no place to spool files.
    """

    def __init__(self, config: ArchiveSinkConfig, bridge: Bridge) -> None:
        self._url = filesystem.checked(config.url)
        self._file_bytes = config.file_bytes
        self._unnamed: _Part = (config.topic, None)
        self._memory_bytes = bridge.config.max_in_flight_bytes // 8
        self._block_bytes = BLOCK_BYTES[1]
        self._format = _format(config)
        try:
            self._spool = Spool(root_for(self._url))
        except OSError as error:
            raise DeliveryError(f"archive {self._url}: no place for files: {error}") from error
        self._publisher = Publisher(bridge, self._tidy, config.counted_as)
        self._lanes = [Lane(self._publisher) for _ in range(_LANES)]
        self._next_lane = itertools.cycle(self._lanes)
        self._files: dict[tuple[_Part, int], _File] = {}
        self._current: dict[_Part, _File] = {}
        self._blocks: deque[Future[None]] = deque()
        self._timeout_s = bridge.config.delivery_timeout_s
        self._failure: TransferError | None = None

    # -- records in

    def write(self, records: Sequence[Any]) -> None:
        """Adds records or messages, as they were read, to their files.

        Raises:
          TransferError: a file could not be written.
        """
        for record in records:
            self._add_row(record)

    def _add_row(self, record: Any) -> None:
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
            if file.payload_bytes >= self._file_bytes:
                self._close(file)

    def _switch(self, part: _Part, offset: int, time_ms: int, of: Any) -> _File:
        """The file of a record that does not belong to the one before."""
        day = layout.day_of(time_ms)
        file = self._files.get((part, day))
        if file is not None and offset < file.next:
            self._close(file)  # these offsets are read again
            file = None
        if file is None:
            file = self._open(part, day, offset, of)
        self._current[part] = file
        return file

    def _open(self, part: _Part, day: int, offset: int, of: Any) -> _File:
        if len(self._files) >= MAX_FILES:
            self._close(next(iter(self._files.values())))
        begin_ms, end_ms = layout.bounds_ms(day)
        is_kafka = of is KafkaRecord
        first = offset if is_kafka else layout.LAST_MS
        spooled, lane = self._spool.file(uuid.uuid4().hex), next(self._next_lane)
        file = _File(part, day, begin_ms, end_ms, spooled, lane, offset, first, 0, of)
        self._files[part, day] = file
        self._share_memory()
        self._add(file, partial(self._format.header, of))
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
        else:
            times = [message.publish_time_ms or 0 for message in rows]
            file.first, file.last = min(file.first, *times), max(file.last, *times)
        self._add(file, partial(self._format.block, encoded))

    def _add(self, file: _File, block: Callable[[], bytes]) -> None:
        """Has a block spooled; waits while there are too many."""
        self._blocks.append(file.lane.add(file.spooled, block))
        while len(self._blocks) > _MAX_BLOCKS or self._blocks[0].done():
            try:
                self._blocks.popleft().result(self._timeout_s)
            except (TransferError, TimeoutError) as error:
                if not isinstance(error, TransferError):
                    error = DeliveryError(f"write {file.spooled.path}: it takes too long")
                self._failure = self._failure or error
                raise self._failure from error
            if not self._blocks:
                return

    def _close(self, file: _File) -> None:
        """Completes a file, and has it published."""
        del self._files[file.part, file.day]
        if self._current.get(file.part) is file:
            del self._current[file.part]
        self._share_memory()
        if file.rows:
            self._encode(file)
        spooled, path = file.lane.finish(file.spooled), self._path(file)
        self._publisher.submit(
            Complete(file.spooled.path, spooled, path, file.count, file.payload_bytes)
        )

    def _path(self, file: _File) -> str:
        topic, partition = file.part
        extension = self._format.extension
        if partition is None:
            unique = uuid.uuid4().hex[:12]
            name = layout.pubsub_name(topic, file.first, file.last, unique, extension)
        else:
            name = layout.kafka_name(topic, partition, file.first, file.last, extension)
        return filesystem.join(self._url, f"{layout.folder(topic, file.day)}/{name}")

    def _tidy(self, path: str, ask: Ask) -> None:
        leftovers.settle(path, self._format, self._spool, ask)

    # -- the process's view

    def flush(self, timeout_s: float) -> None:
        try:
            if self._failure is not None:
                raise self._failure
            for file in list(self._files.values()):
                self._close(file)
            late = self._publisher.wait(timeout_s)
        except TransferError as error:
            self._failure = self._failure or error
            raise
        if late:
            raise DeliveryError(
                f"archive: {late} files are not visible after {timeout_s:.0f} s; make them "
                "smaller, or the time that they have longer"
            )

    @property
    def clean(self) -> bool:
        return self._failure is None and not self._files and self._publisher.progress is None

    @property
    def confirmed(self) -> int | None:
        return self._publisher.progress

    def close(self) -> None:
        self._publisher.close()
        for lane in self._lanes:
            lane.close()
        self._spool.close()


def _format(config: ArchiveSinkConfig) -> Format:
    if config.format == "avro":
        return AvroFormat(config.codec)
    registry = None
    if config.schema_registry:
        registry = SchemaRegistry(config.schema_registry, config.schema_registry_login)
    return JsonFormat(config.codec, config.topic, registry)
