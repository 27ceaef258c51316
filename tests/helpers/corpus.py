"""The records of `tests/corpus`, read from their files; the form is in its README."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

from transforms.records import KafkaRecord, PubsubRecord

FOLDER = Path(__file__).parents[1] / "corpus"
LONG_AGO_MS = 1_700_000_000_000


class Case(NamedTuple):
    """A record, and what is expected of it.

    Attributes:
      plain, spilled: the names of fields that are plain in the middle, and of those that are not.
      dead_letter: it fits no message.
      ordering_key: its key can be an ordering key.
    """

    name: str
    record: Any
    plain: tuple[str, ...]
    spilled: tuple[str, ...]
    dead_letter: bool
    ordering_key: bool


def kafka_records(topic: str) -> list[Case]:
    """The Kafka records, each a second younger than the one before unless it says its time."""
    cases = []
    for number, case in enumerate(_read("kafka_records.json")):
        record = KafkaRecord(
            topic,
            timestamp_ms=case.get("timestamp_ms", LONG_AGO_MS + 1000 * number),
            key=_bytes(case.get("key")),
            value=_bytes(case.get("value")),
            headers=tuple(_headers(case.get("headers", ()))),
        )
        cases.append(_case(case, record))
    return cases


def pubsub_messages() -> list[Case]:
    """The Pub/Sub messages."""
    cases = []
    for case in _read("pubsub_messages.json"):
        attributes = dict(case.get("attributes", {}))
        if many := case.get("many"):
            stem, value = _text(many["attribute"]), _text(many["value"])
            attributes |= {f"{stem}{n}": value for n in range(many["count"])}
        record = PubsubRecord(
            _bytes(case["data"]) or b"", attributes, _text(case.pop("ordering_key", ""))
        )
        cases.append(_case(case, record))
    return cases


def _read(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def _case(case: dict[str, Any], record: Any) -> Case:
    plain, spilled = (
        tuple(_text(name) for name in case.get(kind, ())) for kind in ("plain", "spilled")
    )
    dead_letter, ordering_key = case.get("dead_letter", False), case.get("ordering_key", True)
    return Case(case["name"], record, plain, spilled, dead_letter, ordering_key)


def _headers(entries):
    for entry in entries:
        if isinstance(entry, dict):
            yield from ((f"{entry['header']}{n}", b"%d" % n) for n in range(entry["count"]))
        else:
            name, value = entry
            yield _text(name), _bytes(value)


def _text(value: Any) -> str:
    return value["repeat"] * value["times"] if isinstance(value, dict) else value


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, dict) and "base64" in value:
        return base64.b64decode(value["base64"], validate=True)
    return _text(value).encode()
