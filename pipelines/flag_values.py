"""The values of flags: from a text to a checked value. Pure, apart from files that a flag names.

Every parser takes the flag's text, and raises ValueError with what is wrong and what would be
right; `pipelines.command_line` puts the flag's name in front.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal, TypeVar

from pipelines import resource_names
from transforms import limits, named_files, secrets
from transforms.dead_letters.places import Place

T = TypeVar("T")
Parser = Callable[[str], T]
"""From a flag's text to its value; raises ValueError."""


# ------------------------------------------------------------------------------- value types
@dataclass(frozen=True)
class StartAt:
    """Where a partition without a committed offset begins.

    Attributes:
      timestamp_ms: milliseconds since the epoch, for `timestamp`.
      offsets: next offset by (topic, partition), for `offsets`.
    """

    kind: Literal["earliest", "latest", "timestamp", "offsets"]
    timestamp_ms: int | None = None
    offsets: Mapping[tuple[str, int], int] | None = None


@dataclass(frozen=True)
class SeekTo:
    """Where a subscription is moved to before the pipeline starts.

    Attributes:
      timestamp_ms: milliseconds since the epoch, for `timestamp`.
      snapshot: `projects/P/snapshots/S`, for `snapshot`.
    """

    kind: Literal["now", "timestamp", "snapshot"]
    timestamp_ms: int | None = None
    snapshot: str = ""


@dataclass(frozen=True)
class KeySource:
    """What a Kafka record's key is made of; `auto`: the `key` attribute, else the ordering key.

    Attributes:
      name: the attribute's name, for `attribute`.
    """

    kind: Literal["auto", "none", "ordering_key", "attribute"]
    name: str = ""


@dataclass(frozen=True)
class TopicLayout:
    """How a missing Kafka topic is created."""

    partitions: int
    replication: int


# ----------------------------------------------------------------------------------- numbers
_UNITS: dict[str, int] = {
    "": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_SIZE = re.compile(r"([0-9]+)\s*([a-z]*)", re.IGNORECASE)


def whole_number(text: str) -> int:
    """A whole number above zero."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) == 0:
        raise ValueError(f"{text!r} is not a whole number above 0")
    return int(text)


def whole_number_in(at_least: int, at_most: int) -> Parser[int]:
    """A whole number between two, which are possible, too."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not at_least <= int(text) <= at_most:
            raise ValueError(f"{text!r} is not a whole number from {at_least} to {at_most}")
        return int(text)

    return parse


def number(at_least: float | None = None, at_most: float = math.inf) -> Parser[float]:
    """A finite decimal number: above zero, or at least `at_least`; at most `at_most`."""

    def parse(text: str) -> float:
        wanted = "above 0" if at_least is None else f"of at least {at_least:g}"
        if at_most < math.inf:
            wanted += f" and at most {at_most:g}"
        try:
            value = float(text) if re.fullmatch(r"[0-9.eE+-]+", text) else math.nan
        except ValueError:
            value = math.nan
        good = value > 0 if at_least is None else value >= at_least
        if not (good and math.isfinite(value) and value <= at_most):
            raise ValueError(f"{text!r} is not a number {wanted}")
        return value

    return parse


def size_bytes(at_least: int, at_most: int) -> Parser[int]:
    """A number of bytes: plain, or with kB, MB, GB (1000) or KiB, MiB, GiB (1024)."""

    def parse(text: str) -> int:
        match = _SIZE.fullmatch(text)
        factor = _UNITS.get(match[2].lower()) if match else None
        if match is None or factor is None:
            raise ValueError(f"{text!r} is not a size; write bytes, or for example 100MB")
        value = int(match[1]) * factor
        if value < at_least:
            raise ValueError(f"{value} bytes, at least {at_least} needed")
        if value > at_most:
            raise ValueError(f"{value} bytes, at most {at_most} possible")
        return value

    return parse


def boolean(text: str) -> bool:
    """`true` or `false`."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


# ------------------------------------------------------------------------------------- words
def text_value(text: str) -> str:
    """Any text that is not empty."""
    if not text.strip():
        raise ValueError("is empty; leave the flag out, or give a value")
    return text


def one_of(*words: str) -> Parser[str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return parse


# ----------------------------------------------------------------------- Kafka and Pub/Sub
def dead_letter_place(text: str) -> Place:
    """`kafka://TOPIC`, `pubsub://projects/P/topics/T`, or a folder."""
    return _place(text, resource_names.pubsub_resource("topics"))


def redrive_source(text: str) -> Place:
    """`kafka://TOPIC`, `pubsub://projects/P/subscriptions/S`, or a folder."""
    return _place(text, resource_names.pubsub_resource("subscriptions"))


def _place(text: str, pubsub_name: Parser[str]) -> Place:
    scheme, colon, name = text.partition("://")
    if scheme == "kafka" and colon:
        return Place("kafka", resource_names.kafka_topic(name))
    if scheme == "pubsub" and colon:
        return Place("pubsub", pubsub_name(name))
    if re.match(r"(kafka|pubsub|file|gs|s3):(?!//)", text):
        raise ValueError(f"{text!r} is no folder and no URL; write {text.partition(':')[0]}://...")
    if colon and scheme not in ("file", "gs", "s3"):
        raise ValueError(
            f"{text!r} is none of kafka://, pubsub://, file://, gs://, s3:// or a folder"
        )
    if any(character in text for character in "*?["):
        raise ValueError(f"{text!r} has *, ? or [ in it; choose a folder without")
    if colon and not name.strip("/"):
        raise ValueError(f"{text!r} names no folder")
    if scheme == "file" and colon and not name.startswith("/"):
        raise ValueError(f"{text!r} is not file:///PATH")
    return Place("files", os.path.expanduser(text_value(text).removeprefix("file://")))


def folder(text: str) -> str:
    """A folder: a local path, `file://`, `gs://` or `s3://`."""
    return _in_files(text, "folder")


def file_url(text: str) -> str:
    """A file: a local path, `file://`, `gs://` or `s3://`."""
    if text.endswith("/"):
        raise ValueError(f"{text!r} is a folder; name a file")
    return _in_files(text, "file")


def _in_files(text: str, what: str) -> str:
    place = _place(text, str)
    if place.kind != "files":
        raise ValueError(f"{text!r} is no {what}: a path, gs:// or s3://")
    return place.name


def shared_file(text: str) -> str:
    """A file that other processes find by the same name: a URL, or an absolute path."""
    text = file_url(text)
    return text if "://" in text else os.path.abspath(text)


def secret_reference(text: str) -> str:
    """A secret by reference, see `transforms.secrets`."""
    secrets.check(text)
    return text


def http_url(text: str) -> str:
    """`http://` or `https://`, without a user and password."""
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", text):
        raise ValueError("it is not http(s)://HOST[:PORT][/PATH] without user and password")
    return text.rstrip("/")


def topic_layout(text: str) -> TopicLayout:
    """`PARTITIONS:REPLICATION`."""
    match = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,4})", text)
    if not match or not int(match[1]) or not int(match[2]):
        raise ValueError(f"{text!r} is not PARTITIONS:REPLICATION; for example 6:3")
    return TopicLayout(int(match[1]), int(match[2]))


def kafka_properties(text: str) -> tuple[tuple[str, str], ...]:
    """`KEY=VALUE`, or several as a JSON object; the text is not repeated in an error, since it may
    hold a secret."""
    if text.lstrip().startswith("{"):
        return _of_json(text)
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError("is not KEY=VALUE; for example security.protocol=SSL")
    return ((name.strip(), value.strip()),)


def _of_json(text: str) -> tuple[tuple[str, str], ...]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError('is not a JSON object such as {"security.protocol": "SSL"}') from None
    for name, value in found.items():
        if not name.strip() or not isinstance(value, (str, int, float)):
            raise ValueError(f"{name!r} has no text, number, true or false as its value in JSON")
    return tuple(
        (name.strip(), value.strip() if isinstance(value, str) else json.dumps(value))
        for name, value in found.items()
    )


def readable_files(text: str) -> tuple[str, ...]:
    """Files with commas between them; local ones can be read."""
    paths = (text,) if os.path.isfile(text) else tuple(text.split(","))
    for path in paths:
        named_files.check(path)
    return paths


def content_of(text: str) -> str:
    """What stands in a file."""
    named_files.check(text)
    try:
        return named_files.read(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error


def file_or_reference(text: str) -> str:
    """A readable file's path, or a reference to what would be its content."""
    if secrets.is_reference(text):
        secrets.check(text)
    elif named_files.is_remote(text):
        raise ValueError(f"{text!r} is read by each worker; give secret:... or a path")
    else:
        named_files.check(text)
    return text


def key_source(text: str) -> KeySource:
    """`none`, `ordering_key` or `attribute:NAME`."""
    if text == "none":
        return KeySource("none")
    if text == "ordering_key":
        return KeySource("ordering_key")
    kind, _, name = text.partition(":")
    if kind != "attribute" or not name:
        raise ValueError(f"{text!r} is not one of none, ordering_key, attribute:NAME")
    return KeySource("attribute", attribute_name(name))


def attribute_name(text: str) -> str:
    """The name of a Pub/Sub attribute."""
    size = len(text_value(text).encode())
    if size > limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES:
        raise ValueError(
            f"the attribute's name is {size} bytes, limit {limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES}"
        )
    return text


def start_at(text: str) -> StartAt:
    """`earliest`, `latest`, `timestamp=RFC3339` or `offsets=FILE`."""
    kind, _, rest = text.partition("=")
    if text == "earliest":
        return StartAt("earliest")
    if text == "latest":
        return StartAt("latest")
    if kind == "timestamp":
        return StartAt("timestamp", timestamp_ms=timestamp_ms(rest))
    if kind == "offsets":
        return StartAt("offsets", offsets=offsets_file(rest))
    raise ValueError(f"{text!r} is not one of earliest, latest, timestamp=RFC3339, offsets=FILE")


def offsets_file(text: str) -> dict[tuple[str, int], int]:
    """A JSON file `{"TOPIC": {"PARTITION": OFFSET}}`, the next offset to read of each partition."""
    said = content_of(text)
    wanted = f'{text!r} is not JSON of the form {{"TOPIC": {{"PARTITION": OFFSET}}}}'
    try:
        content = json.loads(said)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{wanted}: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict) or not content:
        raise ValueError(wanted)
    offsets: dict[tuple[str, int], int] = {}
    for topic, partitions in content.items():
        resource_names.kafka_topic(topic)
        if not isinstance(partitions, dict) or not partitions:
            raise ValueError(f"{wanted}: see topic {topic!r}")
        for partition, offset in partitions.items():
            if not re.fullmatch(r"[0-9]{1,9}", partition) or not _is_offset(offset):
                raise ValueError(f"{wanted}: see topic {topic!r}, partition {partition!r}")
            offsets[topic, int(partition)] = offset
    return offsets


def _is_offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def seek_to(text: str) -> SeekTo:
    """`now`, `timestamp=RFC3339` or `snapshot=NAME`; NAME may be `projects/P/snapshots/S`."""
    kind, _, rest = text.partition("=")
    if text == "now":
        return SeekTo("now")
    if kind == "timestamp":
        return SeekTo("timestamp", timestamp_ms=timestamp_ms(rest))
    if kind == "snapshot":
        if "/" in rest:
            resource_names.pubsub_resource("snapshots")(rest)
        else:
            resource_names.pubsub_name(rest)
        return SeekTo("snapshot", snapshot=rest)
    raise ValueError(f"{text!r} is not one of now, timestamp=RFC3339, snapshot=NAME")


# ------------------------------------------------------------------------------ time and files
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-5][0-9]))"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def timestamp_ms(text: str) -> int:
    """An RFC 3339 time with its zone, as milliseconds since the epoch, rounded down.

    Source: https://www.rfc-editor.org/rfc/rfc3339#section-5.6
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not an RFC 3339 time with a zone; for example 2026-03-01T00:00:00Z"
        )
    try:
        local = datetime.strptime(f"{match[1]}T{match[2]}+0000", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise ValueError(f"{text!r} is not a time that exists") from None
    since_epoch = local - _EPOCH
    if match[4]:
        zone = timedelta(hours=int(match[5]), minutes=int(match[6]))
        if zone >= timedelta(days=1):
            raise ValueError(f"{text!r} is not a time that exists")
        since_epoch -= zone if match[4] == "+" else -zone
    if since_epoch < timedelta(0):
        raise ValueError(f"{text!r} is before 1970")
    return since_epoch // timedelta(milliseconds=1) + int((match[3] or "").ljust(3, "0")[:3])


def writable_file(text: str) -> Path:
    """A file that can be written: its folder exists and admits it."""
    path = Path(text_value(text))
    if path.is_dir():
        raise ValueError(f"{text!r} is a folder; name a file")
    if not path.parent.is_dir():
        raise ValueError(f"{text!r}: its folder does not exist; create {str(path.parent)!r} first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{text!r} cannot be written")
    return path
