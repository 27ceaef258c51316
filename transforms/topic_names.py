"""What a topic may be called, by the rules of Kafka and of Pub/Sub. Pure.

Sources:
  [kafka]  https://kafka.apache.org/documentation/#basic_ops_add_topic
  [pubsub] https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from transforms.limits import (
    KAFKA_MAX_TOPIC_NAME_CHARACTERS,
    PUBSUB_MAX_NAME_CHARACTERS,
    PUBSUB_MIN_NAME_CHARACTERS,
)

System = Literal["kafka", "pubsub"]

PROJECT = r"[A-Za-z0-9][A-Za-z0-9.:_-]*"
"""A Google Cloud project's id, as a regular expression."""

_KAFKA = re.compile(rf"[A-Za-z0-9._-]{{1,{KAFKA_MAX_TOPIC_NAME_CHARACTERS}}}")
_PUBSUB = re.compile(
    r"[A-Za-z][A-Za-z0-9._~+%-]"
    rf"{{{PUBSUB_MIN_NAME_CHARACTERS - 1},{PUBSUB_MAX_NAME_CHARACTERS - 1}}}"
)


def is_kafka_topic(name: str) -> bool:
    """Whether Kafka allows it [kafka]."""
    return bool(_KAFKA.fullmatch(name)) and name not in (".", "..")


def is_pubsub_name(name: str) -> bool:
    """Whether Pub/Sub allows it as the last part of a resource's name [pubsub]."""
    return bool(_PUBSUB.fullmatch(name)) and not name.startswith("goog")


class Rule(NamedTuple):
    """What one system says of names.

    Attributes:
      what: a name that keeps to it.
      allows: whether a name does.
      words: the rule, for people.
      characters: any number of those that a name may have.
    """

    what: str
    allows: Callable[[str], bool]
    words: str
    characters: re.Pattern[str]


RULES: dict[System, Rule] = {
    "kafka": Rule(
        "a Kafka topic name",
        is_kafka_topic,
        f"use 1-{KAFKA_MAX_TOPIC_NAME_CHARACTERS} of A-Z a-z 0-9 . _ -",
        re.compile(r"[A-Za-z0-9._-]*"),
    ),
    "pubsub": Rule(
        "a Pub/Sub name",
        is_pubsub_name,
        f"it has {PUBSUB_MIN_NAME_CHARACTERS}-{PUBSUB_MAX_NAME_CHARACTERS} of A-Z a-z 0-9 . _ ~ + "
        "% -, begins with a letter, and not with goog",
        re.compile(r"[A-Za-z0-9._~+%-]*"),
    ),
}


def check(system: System, name: str) -> None:
    """Refuses what the system would not take.

    Raises:
      ValueError: with the rule.
    """
    rule = RULES[system]
    if not rule.allows(name):
        raise ValueError(f"{name!r} is not {rule.what}; {rule.words}")
