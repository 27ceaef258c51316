"""Dead letters as an Avro object container: the schema is inside, so that any Avro tool reads it.

    Kafka value, Pub/Sub data     a container of one letter
    file                          a container of many

All letters are one block of it: a container that was cut off is never taken for a shorter one.
Format: https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

import fastavro
from fastavro.schema import parse_schema, to_parsing_canonical_form

from transforms.avro_rows import (
    KAFKA_RECORD,
    NAMESPACE,
    PUBSUB_RECORD,
    avro_enum,
    avro_field,
    to_kafka_record,
    to_pubsub_record,
    to_row,
)
from transforms.dead_letter import DeadLetter
from transforms.records import KafkaRecord

_VERSION = 1
_ONE_BLOCK = 2**62
_KAFKA, _PUBSUB = f"{NAMESPACE}.KafkaRecord", f"{NAMESPACE}.PubsubRecord"
_SCHEMA_NAME = f"{NAMESPACE}.DeadLetter"

_SCHEMA = parse_schema(
    {
        "type": "record",
        "name": "DeadLetter",
        "namespace": NAMESPACE,
        "doc": "A message that can never be delivered, as it was read, and why.",
        "fields": [
            avro_field("version", "int", f"of this schema: {_VERSION}"),
            avro_field("original", [KAFKA_RECORD, PUBSUB_RECORD], "the message as it was read"),
            avro_field("direction", avro_enum("Direction", "kafka_to_ps", "ps_to_kafka")),
            avro_field("stage", avro_enum("Stage", "map", "write"), "where it failed"),
            avro_field("error_class", "string"),
            avro_field("error", "string"),
            avro_field("failed_at_ms", "long", "milliseconds since the epoch"),
            avro_field("attempts", "long"),
            avro_field("bridge_version", "string"),
        ],
    }
)
_CANONICAL = to_parsing_canonical_form(_SCHEMA)


def to_avro(letters: Sequence[DeadLetter], codec: Literal["null", "deflate"] = "null") -> bytes:
    """Writes one container; `from_avro` is its inverse.

    Args:
      letters: one or more. A header's name may hold bytes that are no UTF-8, as the lone
        surrogates of `surrogateescape`; in the text of an error lone surrogates are escaped.
      codec: how the container is compressed.
    Raises:
      ValueError: there are no letters.
    """
    if not letters:
        raise ValueError("no dead letters to write")
    container = io.BytesIO()
    fastavro.writer(container, _SCHEMA, [_to_row(letter) for letter in letters], codec, _ONE_BLOCK)
    return container.getvalue()


def from_avro(data: bytes) -> list[DeadLetter]:
    """Reads one container of dead letters, one or more.

    Raises:
      ValueError: it is none: no Avro, damaged, cut off, or of another schema.
    """
    try:
        reader = fastavro.reader(io.BytesIO(data), return_record_name=True)
        known = to_parsing_canonical_form(reader.writer_schema) == _CANONICAL
        rows: Any = list(reader) if known else []
    except Exception as error:  # the library raises whatever the damage leads to
        raise ValueError("it is no Avro container, or damaged") from error
    if not known or any(row.pop("version") != _VERSION for row in rows):
        raise ValueError(f"its schema is not {_SCHEMA_NAME}, version {_VERSION}")
    if not rows:
        raise ValueError("there are no letters in it")
    return [_from_row(row) for row in rows]


def one_from_avro(data: bytes) -> DeadLetter:
    """Reads a container of exactly one letter.

    Raises:
      ValueError: it is none.
    """
    letters = from_avro(data)
    if len(letters) > 1:
        raise ValueError(f"there are {len(letters)} letters in it, not one")
    return letters[0]


def labels(letter: DeadLetter) -> dict[str, str]:
    """What stands beside a container of one letter, for people and filters; all of it, and the
    rest, is inside.
    """
    return {
        "dead_letter.error_class": letter.error_class,
        "dead_letter.error": _readable(letter.error),
        "dead_letter.stage": letter.stage,
        "dead_letter.direction": letter.direction,
        "dead_letter.source": _readable(letter.original.name),
    }


def _readable(text: str) -> str:
    """Escapes lone surrogates, which UTF-8 has no bytes for."""
    return text.encode("utf-8", "backslashreplace").decode()


def _to_row(letter: DeadLetter) -> dict[str, Any]:
    original = letter.original
    return {
        **letter._asdict(),
        "version": _VERSION,
        "original": (_KAFKA if isinstance(original, KafkaRecord) else _PUBSUB, to_row(original)),
        "error": _readable(letter.error),
    }


def _from_row(row: dict[str, Any]) -> DeadLetter:
    kind, fields = row.pop("original")
    if kind == _PUBSUB:
        return DeadLetter(to_pubsub_record(fields), **row)
    return DeadLetter(to_kafka_record(fields), **row)
