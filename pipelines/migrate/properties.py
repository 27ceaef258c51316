"""Kafka client properties in Connect's files: what each is to the bridge, and as which flag. Pure,
but for the files that `readable` looks at."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from transforms import secrets
from transforms.errors import UsageError
from transforms.kafka import config
from transforms.kafka.property_table import (
    ALIASES,
    BY_NAME,
    LOGIN,
    OWNED,
    REFUSED,
    is_meaningless,
)

FLAGS = ("bootstrap.servers", "group.id", "auto.offset.reset")
"""Properties that are flags of the bridge."""

_PROVIDER = re.compile(r"\$\{([a-z]+):(?:([^:}]*):)?([^}]*)\}")
_USER_IN_URL = re.compile(r"://[^/\s]*@")


class Class(Enum):
    """What a property is to the bridge."""

    FLAG = "a flag of the bridge"
    CLIENT = "a property that its clients read"
    OWNED = "one that it sets by itself"
    ALWAYS = "what it does in any case"
    REFUSED = "what it does not do"
    JAVA = "what only Java programs read"
    UNKNOWN = "unknown"


class Property(NamedTuple):
    """A property by its standard name.

    Attributes:
      role: `consumer`, `producer` or `admin`, if it is for clients in that role alone; else empty.
    """

    role: str
    name: str

    @property
    def full(self) -> str:
        """With the role's prefix, as `--kafka_config` takes it."""
        return f"{self.role}.{self.name}" if self.role else self.name


def named(full: str) -> Property:
    """`consumer.override.group.id` is `group.id` of consumers."""
    for prefix in config.PREFIXES:
        if full.startswith(prefix):
            name = full.removeprefix(prefix).removeprefix("override.")
            return Property(prefix[:-1], ALIASES.get(name, name))
    return Property("", ALIASES.get(full, full))


def classified(name: str, value: str) -> Class:
    """What a property is, by its name without a role."""
    if name in FLAGS:
        return Class.FLAG
    if name in BY_NAME or name in LOGIN:
        return Class.CLIENT
    if name in OWNED:
        return Class.OWNED
    if name in REFUSED:
        fine = {each.lower() for each in REFUSED[name].unless}
        return Class.ALWAYS if value.lower() in fine else Class.REFUSED
    return Class.JAVA if is_meaningless(name) else Class.UNKNOWN


def is_known(full: str) -> bool:
    """Whether a setting makes a file one of a worker's, or of a Kafka client's."""
    return classified(named(full).name, "") is not Class.UNKNOWN


def refusal(path: str) -> str:
    """Why `--kafka_properties` would not take a file; empty if it does."""
    try:
        config.read([path])
    except UsageError as error:
        return str(error).removeprefix(f"read --kafka_properties {path}: ")
    return ""


class Written(NamedTuple):
    """A property as `--kafka_config` takes it.

    Attributes:
      values: by name; usually one.
      variable: the environment variable that has to hold what is secret or unknown here; or empty.
    """

    values: dict[str, str]
    variable: str = ""


def written(prop: Property, value: str, variable: str) -> Written:
    """A property of class CLIENT as flags: itself, or a reference where it is secret.

    Args:
      variable: the environment variable that has it already; or empty.
    Raises:
      ValueError: the value makes no sense; shows no secret.
    """
    if match := _PROVIDER.fullmatch(value):
        return _provided(prop, match, variable)
    if prop.name == "sasl.jaas.config" and not secrets.is_reference(value):
        parts = config.taken_apart({prop.name: value})
        if not any(LOGIN[name].secret for name in parts if name in LOGIN):
            return Written({Property(prop.role, name).full: parts[name] for name in parts})
    secret = prop.name in LOGIN and LOGIN[prop.name].secret
    if secrets.is_reference(value):
        return Written({prop.full: value})
    if secret or "${" in value or _USER_IN_URL.search(value):
        return _to_set(prop, variable)
    (LOGIN.get(prop.name) or BY_NAME[prop.name]).convert(value)
    return Written({prop.full: value})


def _provided(prop: Property, match: re.Match[str], variable: str) -> Written:
    """What a config provider of Connect's gives, where a reference of ours can give the same."""
    provider, place, key = match[1], match[2], match[3]
    if provider == "env" and not place and re.fullmatch(r"[A-Za-z_]\w*", key):
        return Written({prop.full: f"env:{key}"}, key)
    if provider == "directory" and place:
        return Written({prop.full: f"file:{place.rstrip('/')}/{key}"})
    return _to_set(prop, variable)


def _to_set(prop: Property, variable: str) -> Written:
    name = variable or "KAFKA_" + re.sub(r"[^A-Z0-9]", "_", prop.full.upper())
    return Written({prop.full: f"env:{name}"}, name)
