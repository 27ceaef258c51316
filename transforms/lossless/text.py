"""The JSON of what does not fit an attribute or a header, and numbers as text."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from transforms.errors import UnmappableError

VERSION = 1
"""Of the format; it stands in each JSON as `v`."""

to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

MALFORMED = (
    UnmappableError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RecursionError,
)
"""What taking something apart that was not packed here may raise."""


def parsed(text: str) -> dict[str, Any]:
    content = json.loads(text)
    if content["v"] != VERSION:
        raise ValueError
    return content  # type: ignore[no-any-return]


def cut(text: str, piece_bytes: int) -> list[str]:
    """A text in pieces of at most so many bytes of UTF-8; no character is cut in two."""
    if len(text) * 4 <= piece_bytes:
        return [text]
    data, pieces, start = text.encode(), [], 0
    while start < len(data):
        end = min(start + piece_bytes, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(data[start:end].decode())
        start = end
    return pieces


def readable(value: bytes) -> str | dict[str, str]:
    """Bytes in JSON: as text where they are UTF-8 without control characters, else as base64."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        printable = False
    else:
        printable = not value or min(value) >= 0x20
    return text if printable else {"base64": base64.b64encode(value).decode()}


def from_readable(text: str | Mapping[str, str]) -> bytes:
    if isinstance(text, str):
        return text.encode()
    return base64.b64decode(text["base64"], validate=True)


def number(text: str) -> int:
    """A decimal number as it is written here, of 64 bits."""
    value = int(text)
    if str(value) != text or not -(2**63) <= value < 2**63:
        raise ValueError
    return value
