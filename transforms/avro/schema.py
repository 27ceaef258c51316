"""Avro schemas of strangers, parsed by fastavro within limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import fastavro

_MAX_TEXT = 2_000_000
_MAX_DEPTH = 200


class AvroSchema(NamedTuple):
    """A parsed schema, and the types that it names."""

    root: Any
    named: Mapping[str, Any]


@lru_cache(maxsize=64)
def parse(*texts: str) -> AvroSchema:
    """A schema from its JSON text; in front of it those that it refers to, each before its user.

    Raises:
      ValueError: it is no Avro schema, or is beyond the limits.
    """
    named: dict[str, Any] = {}
    root = None
    for text in texts:
        if len(text) > _MAX_TEXT:
            raise ValueError(f"a schema of {len(text):,} characters, limit {_MAX_TEXT:,}")
        try:
            root = fastavro.parse_schema(_needed(json.loads(text), 0), named)
        except Exception as error:  # the library raises whatever the schema leads to
            raise ValueError(f"its schema cannot be understood: {short(error)}") from error
    return AvroSchema(root, named)


def short(error: Exception) -> str:
    """An error of a library on one printable line."""
    text = f"{type(error).__name__}: {error}"[:200]
    return "".join(c if c.isprintable() else "?" for c in text)


def _needed(node: Any, depth: int) -> Any:
    """A schema without what reading does not need: defaults, which may be wrong, and texts."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    if isinstance(node, list):
        return [_needed(item, depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _needed(item, depth + 1)
        for name, item in node.items()
        if name not in ("default", "doc") and not name.startswith("__")
    }
