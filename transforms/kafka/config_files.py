"""Kafka client properties from files and flags, checked: one mapping for all clients."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transforms import named_files, secrets
from transforms.errors import UsageError
from transforms.kafka import jaas
from transforms.kafka.config import (
    NO_PROVIDERS,
    PREFIXES,
    PROVIDER,
    from_provider,
    of_jaas,
    replaced,
    taken_apart,
    without_prefix,
)
from transforms.kafka.properties_file import parse_properties
from transforms.kafka.property_table import (
    ALIASES,
    BY_NAME,
    LOGIN,
    OWNED,
    REFUSED,
    Role,
    is_meaningless,
)

_FLAGS = ("bootstrap.servers", "group.id", "auto.offset.reset")
"""Properties that are flags of the bridge."""

_KNOWN = (*BY_NAME, *LOGIN, *OWNED, *REFUSED, *_FLAGS)


class Found(NamedTuple):
    """What files and flags say.

    Attributes:
      properties: those for the clients, some with a role's prefix; secrets by reference.
      flags: values of properties that are flags of the bridge, by name, some with a prefix.
      notes: a line each about what is left out.
    """

    properties: dict[str, str]
    flags: dict[str, str]
    notes: list[str]


def read(files: Sequence[str], flags: Mapping[str, str] = {}) -> Found:
    """Reads files of properties (or JAAS) in their order, then the flags, which win.

    Args:
      files: paths of `.properties` files, or of JAAS files with a section `KafkaClient`.
      flags: the properties of `--kafka_config`.
    Raises:
      UsageError: a file cannot be read; or a property is unknown (named, with the closest known
        one), refused (with the reason), or has a value that makes no sense. Shows no secret.
    """
    found = Found({}, {}, [])
    own = _normal("read --kafka_config", flags)
    # A flag wins over what a file says, also for one role alone.
    by_flag = replaced([*own, *(prefix + name for name in own for prefix in PREFIXES)])
    for path in files:
        of_file = {name: v for name, v in _of_file(path).items() if name not in by_flag}
        for name in replaced(of_file):
            found.properties.pop(name, None)
        _take(found, f"read --kafka_properties {path}", of_file, in_file=True)
    _take(found, "read --kafka_config", own, in_file=False)
    return found


def of_flag(found: Found, name: str, role: Role) -> str | None:
    """The value of a property that is a flag of the bridge, for a client in a role."""
    return found.flags.get(f"{role}.{name}", found.flags.get(name))


def _of_file(path: str) -> dict[str, str]:
    where = f"read --kafka_properties {path}"
    try:
        text = named_files.read(path)
    except ValueError as error:
        raise UsageError(f"{where}: {error}; name a readable .properties or JAAS file") from error
    try:
        if jaas.is_jaas_file(text):
            return of_jaas(jaas.understand_file(text))
        properties = parse_properties(text)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    if "connector.class" in properties:
        raise UsageError(
            f"{where}: it configures a connector; `python -m pipelines.migrate {path}` turns it "
            "into a command"
        )
    return _normal(where, properties)


_OF_WORKERS = {
    "config.storage.topic",
    "offset.storage.topic",
    "status.storage.topic",
    "offset.storage.file.filename",
}
"""Properties by which the file of a Kafka Connect worker is known."""


def _normal(where: str, properties: Mapping[str, str]) -> dict[str, str]:
    """The same properties by their standard names, JAAS taken apart, role by role."""
    scopes: dict[str, dict[str, str]] = {}
    for given, value in properties.items():
        prefix, name = without_prefix(given.strip())
        scope = scopes.setdefault(prefix, {})
        scope[ALIASES.get(name, name)] = from_provider(value.strip())
    normal: dict[str, str] = {}
    for prefix, scope in scopes.items():
        try:
            scope = taken_apart(scope)
        except ValueError as error:
            raise UsageError(f"{where}: '{prefix}sasl.jaas.config': {error}") from None
        normal |= {prefix + name: value for name, value in scope.items()}
    return normal


# -- checking --------------------------------------------------------------------------------------


def _take(found: Found, where: str, properties: Mapping[str, str], in_file: bool) -> None:
    """Sorts properties into what is found.

    Raises:
      UsageError: names all that cannot be used.
    """
    complaints: list[str] = []
    meaningless: list[str] = []
    owned: list[str] = []
    for full, value in properties.items():
        _, name = without_prefix(full)
        refusal = REFUSED.get(name)
        if full == "group.id" and not _OF_WORKERS.isdisjoint(properties):
            meaningless.append(full)  # the workers' own, which no consumer of records joins
        elif name in _FLAGS and in_file:
            found.flags[full] = value
        elif name in OWNED and in_file:
            owned.append(f"{full} ({OWNED[name]})")
        elif is_meaningless(name):
            meaningless.append(full)
        elif refusal is not None and value.lower() in {each.lower() for each in refusal.unless}:
            pass
        elif complaint := _complaint(full, name, value, in_file):
            complaints.append(complaint)
        else:
            found.properties[full] = _kept(name, value)
    if complaints:
        raise UsageError(f"{where}: " + "; ".join(complaints))
    left_out = {"of no use here": meaningless, "set by the bridge": owned}
    if parts := [f"{why}: {', '.join(names)}" for why, names in left_out.items() if names]:
        found.notes.append(f"{where}: left out; {'; '.join(parts)}")


_DIRECT = {
    "bootstrap.servers": "use --bootstrap_servers",
    "group.id": "use --group_id",
    "auto.offset.reset": "use --start",
}


def _complaint(full: str, name: str, value: str, in_file: bool) -> str | None:
    reason = OWNED.get(name) or (_DIRECT.get(name) if not in_file else None)
    if name in REFUSED:
        reason = REFUSED[name].reason
    if reason:
        what_to_do = "; remove it" if in_file else ""
        return f"'{full}' cannot be {_shown(name, value)}: {reason}{what_to_do}"
    if name in BY_NAME:
        convert, secret = BY_NAME[name].convert, False
    elif name in LOGIN:
        convert, secret = LOGIN[name].convert, LOGIN[name].secret
    else:
        return _unknown(full, name)
    try:
        if secrets.is_reference(value):
            secrets.check(value)
        elif secret and not in_file:
            return (
                f"'{full}' would stand in a job's parameters and the list of processes; give a "
                "reference, secret:projects/P/secrets/S/versions/V, env:NAME or file:PATH, or on "
                "one machine put it into a file for --kafka_properties"
            )
        elif PROVIDER.search(value):
            return f"'{full}': {NO_PROVIDERS}"
        else:
            convert(value)
    except ValueError as error:
        return f"'{full}': {error}" + ("" if secret else f", got '{value}'")
    return None


def _shown(name: str, value: str) -> str:
    return f"'{value}'" if name in REFUSED and value else "set"


def _unknown(full: str, name: str) -> str:
    standard = {row.librdkafka: row.name for row in BY_NAME.values()}.get(name)
    close = [standard] if standard else difflib.get_close_matches(name, _KNOWN, 1)
    return f"unknown property '{full}'" + (f", did you mean '{close[0]}'?" if close else "")


def _kept(name: str, value: str) -> str:
    """A secret becomes a name for it that only this process understands."""
    if name in LOGIN and LOGIN[name].secret and not secrets.is_reference(value):
        return secrets.hold(value)
    return value
