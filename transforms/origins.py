"""Loop safety: one marker, to which each hop adds the topic that it took the message from.

    bridge.origins = "4c1b7e0d9a3f2b18 90fe11d27c04aa5e"

A bridge drops a message whose marker names the bridge's own destination: it has been there before.
Copies that take different ways to one place are not returns, nor are messages of many topics that
meet in one: no marker of theirs names the place that they go to.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache

from transforms import limits
from transforms.attributes import ORIGINS
from transforms.records import Headers

_DIGITS = 16
_MOST = (limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES + 1) // (_DIGITS + 1)


@lru_cache(maxsize=4096)
def of_kafka(cluster_id: str, topic: str) -> str:
    """A Kafka topic's origin: the first 16 hex digits of SHA-256 of `kafka:CLUSTER_ID/TOPIC`."""
    return _digest(f"kafka:{cluster_id}/{topic}")


def of_pubsub(topic: str) -> str:
    """A Pub/Sub topic's origin: those of `pubsub:projects/P/topics/T`."""
    return _digest(f"pubsub:{topic}")


@lru_cache(maxsize=4096)
def extended(marker: str, origin: str) -> str:
    """The marker with one more origin at its end; the oldest goes where an attribute is full."""
    return " ".join([*marker.split(), origin][-_MOST:])


def names(marker: str, origin: str) -> bool:
    """Whether a message with this marker has been in the topic of this origin."""
    return origin in marker


def in_attributes(attributes: Mapping[str, str]) -> str:
    """The marker of a message; empty where there is none."""
    marker = attributes.get(ORIGINS, "")
    return marker if not marker or _MARKER.fullmatch(marker) else ""


def in_headers(headers: Headers) -> str:
    """The marker of a Kafka record; empty where there is none."""
    for name, value in reversed(headers):
        if name == ORIGINS:
            marker = (value or b"").decode("ascii", "replace")
            return marker if _MARKER.fullmatch(marker) else ""
    return ""


_MARKER = re.compile(f"[0-9a-f]{{{_DIGITS}}}( [0-9a-f]{{{_DIGITS}}}){{,{_MOST - 1}}}")


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
