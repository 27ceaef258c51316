"""Bytes and names of others in words that a terminal can show. Pure."""

from __future__ import annotations

from pipelines.printable import one_line, printable
from transforms.avro.container import MAGIC
from transforms.times import rfc3339

MOST_TEXT = 4_000
"""Characters of a payload that are shown."""

_MOST_LABEL = 300
_MOST_HEX = 32
_LIKELY_SCHEMAS = 10_000_000


def time_of(timestamp_ms: int | None) -> str:
    """RFC 3339 in UTC; `no time` where there is none."""
    return "no time" if timestamp_ms is None else rfc3339(timestamp_ms)


def text_of(payload: bytes) -> str | None:
    """The text that bytes are, with tabs and ends of lines; None for all else."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    if any((c < " " and c not in "\t\n\r") or c == "\x7f" for c in text):
        return None
    return text


def in_one_line(content: bytes | str | None) -> str:
    """A key, or a header's or an attribute's value."""
    if content is None:
        return "null"
    if not content:
        return "empty"
    text = text_of(content) if isinstance(content, bytes) else content
    if text is None:
        assert isinstance(content, bytes)
        return _hex(content)
    more = f"... ({len(text) - _MOST_LABEL:,} more)" if len(text) > _MOST_LABEL else ""
    return one_line(text[:_MOST_LABEL]) + more


def lines_of(payload: bytes | None, hint: str = "") -> list[str]:
    """A payload: its text, or what else it is.

    Args:
      hint: is put behind what could be decoded.
    """
    if payload is None:
        return ["null"]
    if not payload:
        return ["empty"]
    text = text_of(payload)
    if text is not None:
        more = len(text) - MOST_TEXT
        lines = [printable(line.expandtabs(4)) for line in text[:MOST_TEXT].splitlines()]
        return [*lines, f"... ({more:,} more characters)"] if more > 0 else lines
    if payload.startswith(MAGIC):
        return [f"Avro container, {len(payload):,} B{hint}"]
    schema_id = int.from_bytes(payload[1:5], "big")
    if payload[0] == 0 and len(payload) > 5 and 0 < schema_id < _LIKELY_SCHEMAS:
        return [f"{_hex(payload)}, perhaps Confluent's wire format with schema {schema_id}{hint}"]
    return [_hex(payload)]


def _hex(content: bytes) -> str:
    shown = content[:_MOST_HEX].hex(" ")
    return f"binary, {len(content):,} B: {shown}{' ...' if len(content) > _MOST_HEX else ''}"
