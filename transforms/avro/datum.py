"""One datum of Avro's binary form, read to what `json.dumps` takes, within limits."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from transforms.avro.logical import LOGICAL
from transforms.avro.schema import AvroSchema, short

MAX_VALUES = 1_000_000
"""Of a payload, each record, array and map and all that is in them."""

MAX_DEPTH = 100


def datum(data: bytes, schema: AvroSchema, largest_bytes: int | None = None) -> Any:
    """One datum, which takes up all of the data.

    Bytes become base64 text, floats that JSON does not know text, decimals, dates and times text.

    Args:
      largest_bytes: larger binary values are left out, as `<12,345 bytes>`; None: none are.
    Raises:
      ValueError: the data is not of this schema, or is beyond the limits.
    """
    reader = Reader(data, schema.named, largest_bytes)
    value = reader.datum(schema.root)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at:,} bytes are left over: it has another schema")
    return value


class Reader:
    """Takes values off the front of some bytes.

    Attributes:
      at: how far it has come.
      left: how many values may still be read.
    """

    def __init__(
        self,
        data: bytes,
        named: Mapping[str, Any],
        largest_bytes: int | None,
        left: int = MAX_VALUES,
    ) -> None:
        self.at, self.left = 0, left
        self._data, self._named = data, named
        self._largest_bytes = math.inf if largest_bytes is None else largest_bytes
        self._depth = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self._data):
            raise ValueError(f"it is cut off: {size:,} bytes at {self.at:,} of {len(self._data):,}")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def long(self) -> int:
        number = shift = 0
        data, at = self._data, self.at
        while True:
            if at >= len(data) or shift > 63:
                raise ValueError(f"no number at byte {self.at:,} of {len(data):,}")
            byte = data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        self.at = at
        return (number >> 1) ^ -(number & 1)

    def datum(self, schema: Any) -> Any:
        """The next datum.

        Raises:
          ValueError: it is not of this schema, or is beyond the limits.
        """
        try:
            return self.value(schema)
        except ValueError:
            raise
        except Exception as error:  # a schema that was parsed and makes no sense all the same
            raise ValueError(f"it does not fit its schema: {short(error)}") from error

    def value(self, schema: Any) -> Any:
        """The next value; what its schema is does not have to be said by the data."""
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"more than {MAX_VALUES:,} values")
        if self._depth >= MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        self._depth += 1
        if isinstance(schema, str):
            read = _READ.get(schema)
            found = self.value(self._named[schema]) if read is None else read(self, schema)
        elif isinstance(schema, list):
            found = self.value(schema[self._index(len(schema))])
        else:
            kind = schema["type"]
            logical = schema.get("logicalType")
            if logical is not None and (kind, logical) in LOGICAL:
                found = self._logical(kind, logical, schema)
            else:
                found = _READ[kind](self, schema) if kind in _READ else self.value(kind)
        self._depth -= 1
        return found

    def _index(self, count: int) -> int:
        index = self.long()
        if not 0 <= index < count:
            raise ValueError(f"branch {index:,} of {count:,}")
        return index

    def _logical(self, kind: str, logical: str, schema: Any) -> Any:
        """As it is meant; as it is stored where that is not possible."""
        stored = _RAW[kind](self, schema)
        try:
            return LOGICAL[kind, logical](stored, schema)
        except (ValueError, OverflowError, ArithmeticError, TypeError):
            return self._shown(stored) if isinstance(stored, bytes) else stored

    def _shown(self, stored: bytes) -> str:
        if len(stored) > self._largest_bytes:
            return f"<{len(stored):,} bytes>"
        return base64.b64encode(stored).decode()

    def _boolean(self, _: Any) -> bool:
        return self.take(1) != b"\0"

    def _long(self, _: Any) -> int:
        return self.long()

    def _float(self, _: Any) -> float | str:
        return _short_float(self.take(4))

    def _double(self, _: Any) -> float | str:
        return finite(struct.unpack("<d", self.take(8))[0])

    def _raw_bytes(self, _: Any) -> bytes:
        return self.take(self.long())

    def _raw_fixed(self, schema: Any) -> bytes:
        return self.take(schema["size"])

    def _bytes(self, _: Any) -> str:
        return self._shown(self.take(self.long()))

    def _fixed(self, schema: Any) -> str:
        return self._shown(self.take(schema["size"]))

    def _string(self, _: Any) -> str:
        try:
            return self.take(self.long()).decode()
        except UnicodeDecodeError:
            raise ValueError(f"text that is not UTF-8 before byte {self.at:,}") from None

    def _enum(self, schema: Any) -> Any:
        return schema["symbols"][self._index(len(schema["symbols"]))]

    def _record(self, schema: Any) -> dict[str, Any]:
        return {field["name"]: self.value(field["type"]) for field in schema["fields"]}

    def _array(self, schema: Any) -> list[Any]:
        items, found = schema["items"], []
        while count := self._block_count():
            found += [self.value(items) for _ in range(count)]
        return found

    def _map(self, schema: Any) -> dict[str, Any]:
        values, found = schema["values"], {}
        while count := self._block_count():
            for _ in range(count):
                name = self._string(None)
                found[name] = self.value(values)
        return found

    def _block_count(self) -> int:
        count = self.long()
        if count < 0:
            self.long()  # the block's size, for those who skip it
        return abs(count)

    def _null(self, _: Any) -> None:
        return None


_READ: dict[str, Callable[[Reader, Any], Any]] = {
    "null": Reader._null,
    "boolean": Reader._boolean,
    "int": Reader._long,
    "long": Reader._long,
    "float": Reader._float,
    "double": Reader._double,
    "bytes": Reader._bytes,
    "string": Reader._string,
    "fixed": Reader._fixed,
    "enum": Reader._enum,
    "record": Reader._record,
    "error": Reader._record,
    "array": Reader._array,
    "map": Reader._map,
}
_RAW = _READ | {"bytes": Reader._raw_bytes, "fixed": Reader._raw_fixed}


def finite(number: float) -> float | str:
    """The number, or its name where JSON has no number for it."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _short_float(stored: bytes) -> float | str:
    """Of 32 bits, by as few digits as tell it from others: 18.3, not 18.299999237060547."""
    number: float = struct.unpack("<f", stored)[0]
    if not math.isfinite(number):
        return finite(number)
    short = float(f"{number:.7g}")
    if struct.pack("<f", short) == stored:
        return short
    short = float(f"{number:.8g}")
    return short if struct.pack("<f", short) == stored else float(f"{number:.9g}")
