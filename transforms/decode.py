"""Payloads for people: Avro and JSON decoded to what `json.dumps` takes.

    Obj\\x01...             an Avro object container: its datum, or a list if there are several
    \\x00 SCHEMA_ID ...     Confluent wire format: an Avro datum (or JSON) by a registry's schema
    else                   JSON text

Safe for payloads of strangers: depth, number of values and decompressed size are limited. No Beam.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

from transforms.avro.container import MAGIC, container
from transforms.avro.datum import MAX_DEPTH, datum, finite
from transforms.avro.schema import AvroSchema, parse
from transforms.schema_registry import SchemaRegistry

_WIRE_MAGIC = 0
_ID_BYTES = 4
_MOST_SCHEMAS = 1_000
_UNKNOWN_FOR_S = 30.0
"""A registry is asked again after so long for a schema that it did not have."""


class DecodeError(ValueError):
    """A payload that is not decoded, and why."""


class Decoder:
    """Decodes payloads; each schema of a registry is fetched once. May be pickled.

    Args:
      registry: where the schemas of Confluent's wire format are; None: such payloads are not
        decoded.
      largest_bytes: larger binary values are left out, as `<12,345 bytes>`; None: none are.
    """

    def __init__(
        self, registry: SchemaRegistry | None = None, largest_bytes: int | None = None
    ) -> None:
        self._registry, self._largest_bytes = registry, largest_bytes
        self._schemas: dict[int, AvroSchema | None] = {}
        self._refused: dict[int, tuple[str, float]] = {}

    def decode(self, payload: bytes) -> Any:
        """What a payload says: bytes as base64 text, NaN and infinities as text, decimals, dates,
        times and UUIDs as text, a union's value without its type.

        Raises:
          DecodeError: it is none of the forms, is damaged, beyond the limits, or has a schema that
            is not to be had.
          SourceError: the registry lets nobody in, or is none; UnavailableError: it does not
            answer now.
        """
        if payload.startswith(MAGIC):
            try:
                found = container(payload, self._largest_bytes)
            except ValueError as error:
                raise DecodeError(f"an Avro container: {error}") from error
            return found[0] if len(found) == 1 else found
        if payload[:1] == bytes([_WIRE_MAGIC]) and len(payload) > _ID_BYTES:
            return self._by_id(payload)
        return _json(payload)

    def _by_id(self, payload: bytes) -> Any:
        start = 1 + _ID_BYTES
        schema_id = int.from_bytes(payload[1:start], "big")
        schema = self._schema(schema_id)
        if schema is None:
            return _json(payload[start:])
        try:
            return datum(payload[start:], schema, self._largest_bytes)
        except ValueError as error:
            raise DecodeError(f"Avro of schema {schema_id}: {error}") from error

    def _schema(self, schema_id: int) -> AvroSchema | None:
        """The schema of an id; None for a JSON schema, whose payloads are JSON."""
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        reason, since_s = self._refused.get(schema_id, ("", -math.inf))
        now_s = time.monotonic()
        if now_s - since_s > _UNKNOWN_FOR_S:
            try:
                schema = self._fetched(schema_id)
            except ValueError as error:
                reason = str(error)
                _bound(self._refused)
                self._refused[schema_id] = reason, now_s
            else:
                _bound(self._schemas)
                self._schemas[schema_id] = schema
                return schema
        raise DecodeError(reason)

    def _fetched(self, schema_id: int) -> AvroSchema | None:
        if self._registry is None:
            raise ValueError(
                f"it begins like Confluent's wire format with schema {schema_id}, and no schema "
                "registry is given"
            )
        found = self._registry.fetch(schema_id)
        if found is None:
            raise ValueError(f"schema {schema_id} is not in the registry {self._registry.url}")
        if found.kind == "JSON":
            return None
        if found.kind != "AVRO":
            raise ValueError(
                f"schema {schema_id} is a {found.kind.lower()[:20]} schema, which is not decoded"
            )
        return parse(*found.texts)


def _bound(kept: dict[int, Any]) -> None:
    """Makes room for one more: payloads may name as many ids as they like."""
    if len(kept) >= _MOST_SCHEMAS:
        kept.pop(next(iter(kept)))


def _json(payload: bytes) -> Any:
    try:
        found = json.loads(payload.decode())
    except (ValueError, RecursionError):
        raise DecodeError("it is neither Avro nor JSON") from None
    return _finite(found, 0)


def _finite(node: Any, depth: int) -> Any:
    """JSON as it was parsed, with text for what Python reads there and JSON does not have."""
    if depth > MAX_DEPTH:
        raise DecodeError(f"JSON nested more than {MAX_DEPTH} deep")
    if isinstance(node, dict):
        return {name: _finite(item, depth + 1) for name, item in node.items()}
    if isinstance(node, list):
        return [_finite(item, depth + 1) for item in node]
    return finite(node) if isinstance(node, float) else node
