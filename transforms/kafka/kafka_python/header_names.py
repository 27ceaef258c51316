"""Header names that are not UTF-8, at which kafka-python gives up a batch.

As of 3.0 there is no setting for how names are decoded. So the method that reads one record is
replaced: where it fails for a name, it runs once more, on bytes that decode to text whatever they
hold. All other records pay for one more call.
"""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint


class _Escaping(bytearray):
    """Bytes whose slices decode with `surrogateescape`."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Escaping(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)


class _Unmeasured(list[Any]):
    """Headers that seem to be none: the library works out the size of those that it sees, and would
    fail at such a name."""

    def __bool__(self) -> bool:
        return False


_read_strictly = DefaultRecordBatch._read_msg


def _read(batch: DefaultRecordBatch) -> Any:
    """Reads the next record of a batch."""
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        return _read_escaped(batch)


def _read_escaped(batch: DefaultRecordBatch) -> Any:
    whole = batch._buffer
    length, start = decode_varint(whole, batch._pos)
    end = start + length
    batch._buffer, batch._pos = _Escaping(whole[batch._pos : end]), 0
    record = _read_strictly(batch)
    batch._buffer, batch._pos = whole, end
    record._headers = _Unmeasured(record._headers)
    return record


def read_all_names() -> None:
    """Makes every consumer of this process read header names that are not UTF-8."""
    DefaultRecordBatch._read_msg = _read
