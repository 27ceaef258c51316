"""Avro object containers: data with their schema."""

from __future__ import annotations

import io
from typing import Any

import fastavro

from transforms.avro.codecs import inflated
from transforms.avro.datum import MAX_VALUES, Reader
from transforms.avro.schema import parse, short

MAGIC = b"Obj\x01"

MAX_BYTES = 64_000_000
"""Of all blocks, decompressed."""

_SYNC_BYTES = 16
_HEADER = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Header",
        "fields": [
            {"name": "meta", "type": {"type": "map", "values": "bytes"}},
            {"name": "sync", "type": {"type": "fixed", "name": "Sync", "size": _SYNC_BYTES}},
        ],
    }
)


def container(data: bytes, largest_bytes: int | None = None) -> list[Any]:
    """All that is in an object container; arguments and errors as of
    `transforms.avro.datum.datum`."""
    file = io.BytesIO(data)
    file.seek(len(MAGIC))
    try:
        header: Any = fastavro.schemaless_reader(file, _HEADER, None)
        meta, sync = header["meta"], header["sync"]
        text = meta["avro.schema"].decode()
        codec = meta.get("avro.codec", b"null").decode()
    except Exception as error:  # the library raises whatever the damage leads to
        raise ValueError(f"its header is damaged: {short(error)}") from error
    schema = parse(text)
    blocks, found, left_bytes = Reader(data, {}, None), [], MAX_BYTES
    blocks.at = file.tell()
    left_values = MAX_VALUES
    while blocks.at < len(data):
        count, size = blocks.long(), blocks.long()
        content = inflated(codec, blocks.take(size), left_bytes)
        if blocks.take(_SYNC_BYTES) != sync:
            raise ValueError("a block does not end where it should: it is damaged")
        left_bytes -= len(content)
        reader = Reader(content, schema.named, largest_bytes, left_values)
        if not 0 <= count <= left_values:
            raise ValueError(f"{count:,} data in a block, limit {left_values:,}")
        found += [reader.datum(schema.root) for _ in range(count)]
        if reader.at != len(content):
            raise ValueError(f"{len(content) - reader.at:,} bytes are left over in a block")
        left_values = reader.left
    return found
