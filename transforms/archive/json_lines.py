"""JSON Lines for people: one object a line, values decoded where they can be.

    {"topic": "alerts", "partition": 3, "offset": 1042, "timestamp": "2026-11-20T23:59:59.999Z",
     "timestamp_ms": 1795219199999, "key": "ZTF18abc", "headers": [["trace", "1"]], "value": {...}}
    {"topic": "alerts", "message_id": "81", "publish_time": "...", "publish_time_ms": 179521919,
     "ordering_key": "", "attributes": {"trace": "1"}, "value": {...}}

A value that is Avro (a container, or by a schema of a registry) or JSON is what it says, other
text as text, the rest in base64 as `value_base64`; so are keys, and headers as
`[name, null, base64]`.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

from backports import zstd

from transforms.archive import files
from transforms.archive.avro import ZSTD_LEVEL
from transforms.archive.formats import Codec, Encoded
from transforms.decode import DecodeError, Decoder
from transforms.errors import DeliveryError, UnavailableError
from transforms.records import KafkaRecord, PubsubRecord
from transforms.schema_registry import SchemaRegistry
from transforms.times import in_calendar

_EXTENSIONS: dict[Codec, str] = {"zstandard": "jsonl.zst", "deflate": "jsonl.gz", "none": "jsonl"}


class JsonFormat:
    """Files of JSON Lines; `formats.Format`.

    Args:
      topic: the name of the topic of messages.
    """

    def __init__(self, codec: Codec, topic: str, registry: SchemaRegistry | None) -> None:
        self.extension = _EXTENSIONS[codec]
        self._codec = codec
        self._topic = topic
        self._decoder = Decoder(registry)

    def header(self, of: type[KafkaRecord] | type[PubsubRecord]) -> bytes:
        return b""

    def encode(self, records: Sequence[KafkaRecord] | Sequence[PubsubRecord]) -> Encoded:
        """Records as lines.

        Raises:
          DeliveryError: the registry does not answer.
        """
        try:
            lines = [_line(self._object(record)) for record in records]
        except UnavailableError as error:
            raise DeliveryError(str(error)) from error
        return Encoded(b"".join(lines), len(lines), sum(record.payload_bytes for record in records))

    def block(self, encoded: Encoded) -> bytes:
        if self._codec == "zstandard":
            return bytes(zstd.compress(encoded.data, ZSTD_LEVEL))
        return gzip.compress(encoded.data, 1) if self._codec == "deflate" else encoded.data

    def rows(self, path: str, ask: files.Ask) -> Iterator[tuple[int, Any]]:
        """A file's lines, with their offsets."""
        with files.open_patiently(path, ask) as file, _plain(file, self._codec) as lines:
            for line in lines:
                yield json.loads(line)["offset"], line

    def again(self, rows: Sequence[Any]) -> Encoded:
        """Lines that were read."""
        return Encoded(b"".join(rows), len(rows), 0)

    def _object(self, record: KafkaRecord | PubsubRecord) -> dict[str, Any]:
        if isinstance(record, KafkaRecord):
            return {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp": _time(record.timestamp_ms),
                "timestamp_ms": record.timestamp_ms,
                "timestamp_type": record.timestamp_type.name,
                **_readable("key", record.key),
                "headers": [_header(name, value) for name, value in record.headers],
                **self._value(record.value),
            }
        return {
            "topic": self._topic,
            "message_id": record.message_id,
            "publish_time": _time(record.publish_time_ms),
            "publish_time_ms": record.publish_time_ms,
            "ordering_key": record.ordering_key,
            "attributes": dict(record.attributes),
            **self._value(record.data),
        }

    def _value(self, payload: bytes | None) -> dict[str, Any]:
        if payload is None:
            return {"value": None}
        try:
            return {"value": self._decoder.decode(payload)}
        except DecodeError:
            return _readable("value", payload)


def _line(found: dict[str, Any]) -> bytes:
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _time(timestamp_ms: int | None) -> str | None:
    """A time as people write it, where they can."""
    return None if timestamp_ms is None else in_calendar(timestamp_ms)


def _readable(name: str, data: bytes | None) -> dict[str, Any]:
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}


def _header(name: str, value: bytes | None) -> list[str | None]:
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    try:
        return [name, None if value is None else value.decode()]
    except UnicodeDecodeError:
        return [name, None, base64.b64encode(cast(bytes, value)).decode()]


def _plain(file: io.BufferedReader, codec: Codec) -> IO[bytes]:
    if codec == "zstandard":
        return cast("IO[bytes]", zstd.ZstdFile(file))
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file) if codec == "deflate" else file)
