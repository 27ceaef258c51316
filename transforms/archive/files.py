"""Reads records and messages from Avro containers, one file at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import fastavro

from transforms import filesystem
from transforms.avro_rows import KAFKA_FIELDS, PUBSUB_FIELDS, to_kafka_record, to_pubsub_record
from transforms.errors import BridgeError, SourceError
from transforms.records import KafkaRecord, PubsubRecord

Record = KafkaRecord | PubsubRecord

Ask = Callable[[str, str, Callable[[], Any]], Any]
"""Calls a filesystem with a deadline, and with patience or without: operation, path, call."""

_READ_BYTES = 4_000_000


def read(path: str, ask: Ask) -> Iterator[list[Record]] | None:
    """What a container holds, block by block; None if its rows have not the fields of either.

    Raises:
      SourceError: it cannot be read, is damaged, or has a field of another type than ours.
    """
    file = open_patiently(path, ask)
    try:
        blocks = fastavro.block_reader(file)
        record_of = _record_of(blocks.writer_schema)
    except Exception as error:
        file.close()
        raise _damaged(path, error) from error
    if record_of is None:
        file.close()
        return None
    return _records(path, file, blocks, record_of)


def open_patiently(path: str, ask: Ask) -> io.BufferedReader:
    """A file that is read in large pieces, each of which is asked for."""
    return io.BufferedReader(_Patient(path, ask), _READ_BYTES)


def _records(
    path: str, file: Any, blocks: Any, record_of: Callable[[Any], Record]
) -> Iterator[list[Record]]:
    try:
        for block in blocks:
            rows = list(block)
            try:
                found = [record_of(row) for row in rows]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise SourceError(
                    f"read {path}: a field has another type than ours of that name "
                    f"({type(error).__name__}); take it out of the folder"
                ) from error
            yield found
    except Exception as error:
        raise _damaged(path, error) from error
    finally:
        file.close()


def _record_of(schema: Any) -> Callable[[Any], Record] | None:
    """What makes records of rows of this schema, if it is one of ours."""
    fields = {f["name"] for f in schema.get("fields", ())} if isinstance(schema, dict) else set()
    if fields >= KAFKA_FIELDS:
        return to_kafka_record
    return to_pubsub_record if fields >= PUBSUB_FIELDS else None


def _damaged(path: str, error: Exception) -> BridgeError:
    if isinstance(error, BridgeError):
        return error
    why = " ".join(f"{type(error).__name__} {error}".split())[:100]
    return SourceError(f"read {path}: it is damaged or cut ({why}); restore it, or take it away")


class _Patient(io.RawIOBase):
    """A file whose every read is asked for; one that has failed is read on where it was."""

    def __init__(self, path: str, ask: Ask) -> None:
        self._path = path
        self._ask = ask
        self._at = 0
        self._file: Any = None

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        size, at = len(buffer), self._at
        data: bytes = self._ask("read", self._path, lambda: self._read(size, at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read(self, size: int, at: int) -> bytes:
        """A call that was given up may still be reading: it has its file for itself."""
        file, self._file = self._file, None
        if file is None:
            file = filesystem.open_read(self._path)
        file.seek(at)
        data = bytes(file.read(size))
        self._file = file
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()
