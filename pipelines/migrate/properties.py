"""Kafka client properties in Connect's files: what each is to the bridge, and as which flag."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from pipelines.migrate.settings import PLACEHOLDER, Kind, Settings, holds_secret
from pipelines.migrate.table import Row
from transforms import secrets
from transforms.errors import UsageError
from transforms.kafka import config, config_files
from transforms.kafka.property_table import (
    ALIASES,
    BY_NAME,
    LOGIN,
    OWNED,
    REFUSED,
    is_meaningless,
)

PROVIDER = re.compile(r"\$\{([a-z]+):(?:([^:}]*):)?([^}]*)\}")
_JAAS = "sasl.jaas.config"


_METADATA = Row(Kind.SAME, flag="metadata_interval_s", divisor=1000, at_least=0.1, at_most=3600)
AS_FLAGS = {
    ("producer", "linger.ms"): Row(Kind.SAME, flag="linger_ms", at_most=60_000),
    ("producer", "delivery.timeout.ms"): Row(
        Kind.SAME, flag="delivery_timeout_s", divisor=1000, at_least=1, at_most=36_000
    ),
    ("producer", "metadata.max.age.ms"): _METADATA,
    ("consumer", "metadata.max.age.ms"): _METADATA,
}
"""Client properties that are flags, if they are those of the client that carries the data."""


OF_TLS = ("ssl.enabled.protocols", "ssl.cipher.suites", "ssl.protocol")
MAY_BE_EMPTY = ("ssl.endpoint.identification.algorithm", "interceptor.classes")


class Class(Enum):
    """What a property is to the bridge."""

    FLAG = "a flag of the bridge"
    CLIENT = "a property that its clients read"
    OWNED = "one that it sets by itself"
    ALWAYS = "what it does in any case"
    REFUSED = "what it does not do"
    JAVA = "what only Java programs read"
    UNKNOWN = "unknown"


class ClientSetting(NamedTuple):
    """A setting for Kafka clients.

    Attributes:
      full: its name there.
      role: `consumer`, `producer` or `admin`, if it is for clients in that role alone; else empty.
      name: the property's standard name.
    """

    settings: Settings
    full: str
    role: str
    name: str

    @property
    def value(self) -> str:
        return self.settings.peek(self.full)

    @property
    def flag(self) -> str:
        """As `--kafka_config` names it."""
        return f"{self.role}.{self.name}" if self.role else self.name


def named(full: str) -> tuple[str, str]:
    """Role and standard name: `consumer.override.group.id` is `group.id` of consumers."""
    prefix, name = config.without_prefix(full)
    return prefix.removesuffix("."), ALIASES.get(name, name)


def classified(name: str, value: str) -> Class:
    """What a property is, by its name without a role."""
    if name in ("bootstrap.servers", "group.id", "auto.offset.reset"):
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
    return classified(named(full)[1], "") is not Class.UNKNOWN


def written(setting: ClientSetting, mechanism: str) -> tuple[dict[str, str], str]:
    """Values of `--kafka_config`, a reference where one is secret; and the environment variable
    that has to hold what is secret or unknown here, or nothing.

    Args:
      mechanism: what `sasl.mechanism` is for the same clients; or empty.
    Raises:
      ValueError: the value makes no sense; shows no secret.
    """
    value = setting.value
    if match := PROVIDER.fullmatch(value):
        return _provided(setting, match)
    if secrets.is_reference(value):
        return {setting.flag: value}, ""
    said = parts(setting, mechanism)
    secret = any(LOGIN[name].secret for name in said if name in LOGIN)
    if secret or PLACEHOLDER.search(value) or holds_secret(value):
        return _to_set(setting)
    prefix = setting.flag.removesuffix(setting.name)
    for name, text in said.items():
        (LOGIN.get(name) or BY_NAME[name]).convert(text)
    return {prefix + name: text for name, text in said.items()}, ""


def parts(setting: ClientSetting, mechanism: str) -> dict[str, str]:
    """A property, or what a log-in by JAAS says."""
    if setting.name != _JAAS or not setting.value or "${" in setting.value:
        return {setting.name: setting.value}
    own = {_JAAS: setting.value}
    known = {"sasl.mechanism": mechanism} if mechanism and "${" not in mechanism else {}
    return config.taken_apart(own | known)


def _provided(setting: ClientSetting, match: re.Match[str]) -> tuple[dict[str, str], str]:
    """What a config provider of Connect's gives, where a reference of ours can give the same."""
    provider, where, key = match[1], match[2], match[3]
    if provider == "env" and not where and re.fullmatch(r"[A-Za-z_]\w*", key):
        return {setting.flag: f"env:{key}"}, key
    if provider == "directory" and where:
        return {setting.flag: f"file:{where.rstrip('/')}/{key}"}, ""
    return _to_set(setting)


def _to_set(setting: ClientSetting) -> tuple[dict[str, str], str]:
    whose = f"{setting.settings.peek('name')}_" if ".override." in setting.full else ""
    made = "KAFKA_" + re.sub(r"[^A-Z0-9]", "_", f"{whose}{setting.flag}".upper())
    variable = setting.settings.variables.get(setting.full) or made
    return {setting.flag: f"env:{variable}"}, variable


def missing(setting: ClientSetting) -> list[str]:
    """The files of a log-in that are not on this machine, such as those of a container."""
    found = []
    for name, value in parts(setting, "").items():
        row = LOGIN.get(name)
        known = value and "${" not in value and not secrets.is_reference(value)
        if row is not None and row.file and known and not Path(value).is_file():
            found.append(value)
    return found


def refusal(settings: Settings) -> str:
    """Why `--kafka_properties` would not take a worker's settings; empty if it does."""
    if not settings.path:
        return "it is no file of properties"
    try:
        config_files.read([settings.path])
    except UsageError as error:
        text = str(error).removeprefix(f"read --kafka_properties {settings.path}: ")
        return re.sub(r", got '[^']*'", "", text)  # one may be a secret in the wrong line
    return ""


def bootstrap_servers(text: str) -> str:
    """Brokers as `--bootstrap_servers` has them: without blanks and protocols."""
    servers = [re.sub(r"^\w+://", "", server.strip()) for server in text.split(",")]
    return ",".join(filter(None, servers))
