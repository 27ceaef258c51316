"""Kafka client properties: reading them from files and flags, checking them, handing them on.

`read` makes one mapping of all files and flags; it is what travels to workers, with secrets by
reference (`transforms.secrets`). `opened` gives what one client reads of it: of that,
`transforms.kafka.login` makes sense of the log-in, and `for_librdkafka` and `for_kafka_python`
translate the rest.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transforms import secrets
from transforms.errors import UsageError
from transforms.kafka import jaas
from transforms.kafka.properties_file import parse_properties
from transforms.kafka.property_table import (
    ALIASES,
    BY_NAME,
    JAAS_MODULE,
    LOGIN,
    OWNED,
    REFUSED,
    Property,
    Role,
    is_meaningless,
)

PREFIXES = ("consumer.", "producer.", "admin.")
"""Of properties that are for clients in this role alone, as Kafka Connect's workers have them."""

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
    by_flag = _replaced([*own, *(prefix + name for name in own for prefix in PREFIXES)])
    for path in files:
        of_file = {name: v for name, v in _of_file(path).items() if name not in by_flag}
        for name in _replaced(of_file):
            found.properties.pop(name, None)
        _take(found, f"read --kafka_properties {path}", of_file, in_file=True)
    _take(found, "read --kafka_config", own, in_file=False)
    return found


def _replaced(names: Iterable[str]) -> set[str]:
    """What these properties take the place of: themselves, and JAAS of all that JAAS can say."""
    found = set(names)
    for full in names:
        prefix, name = _without_prefix(full)
        if name == "sasl.jaas.config":
            found |= {prefix + each for each in (JAAS_MODULE, *jaas.PROPERTIES)}
    return found


def _of_file(path: str) -> dict[str, str]:
    where = f"read --kafka_properties {path}"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{where}: {reason}; name a readable .properties or JAAS file") from error
    try:
        if jaas.is_jaas_file(text):
            return _of_jaas(jaas.understand_file(text))
        properties = parse_properties(text)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    if "connector.class" in properties:
        raise UsageError(
            f"{where}: it configures a connector; `python -m pipelines.migrate {path}` turns it "
            "into a command"
        )
    if _OF_WORKERS & properties.keys():
        properties.pop("group.id", None)  # the workers' own, which no consumer of records joins
    return _normal(where, properties)


_OF_WORKERS = {
    "config.storage.topic",
    "offset.storage.topic",
    "status.storage.topic",
    "offset.storage.file.filename",
}
"""Properties by which the file of a Kafka Connect worker is known."""


# -- one form --------------------------------------------------------------------------------------


def _normal(where: str, properties: Mapping[str, str]) -> dict[str, str]:
    """The same properties by their standard names, JAAS taken apart, role by role."""
    scopes: dict[str, dict[str, str]] = {}
    for given, value in properties.items():
        prefix, name = _without_prefix(given.strip())
        scope = scopes.setdefault(prefix, {})
        scope[ALIASES.get(name, name)] = _from_provider(value.strip())
    normal: dict[str, str] = {}
    for prefix, scope in scopes.items():
        try:
            scope = taken_apart(scope)
        except ValueError as error:
            raise UsageError(f"{where}: '{prefix}sasl.jaas.config': {error}") from None
        normal |= {prefix + name: value for name, value in scope.items()}
    return normal


def taken_apart(properties: Mapping[str, str]) -> dict[str, str]:
    """The same with what `sasl.jaas.config` says, unless that is a reference still.

    Raises:
      ValueError: it is not understood.
    """
    text = properties.get("sasl.jaas.config")
    if text is None or secrets.is_reference(text):
        return dict(properties)
    rest = {name: value for name, value in properties.items() if name != "sasl.jaas.config"}
    return {**_of_jaas(jaas.understand(text)), **rest}


def _of_jaas(understood: jaas.Understood) -> dict[str, str]:
    said = {name: _from_provider(value) for name, value in understood.properties.items()}
    return {JAAS_MODULE: understood.module, **said}


def _without_prefix(name: str) -> tuple[str, str]:
    """The role's prefix, and the rest; `consumer.override.` is how a connector writes it."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return prefix, name.removeprefix(prefix).removeprefix("override.")
    return "", name


def _from_provider(value: str) -> str:
    """`${env:NAME}`, Kafka's own way to name a variable, as a reference."""
    match = re.fullmatch(r"\$\{(env:[^:}]+)\}", value)
    return match[1] if match else value


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
        _, name = _without_prefix(full)
        refusal = REFUSED.get(name)
        if name in _FLAGS and in_file:
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
                f"'{full}' would stand in the list of processes; give a reference such as "
                "env:NAME or file:PATH, or put it into a file for --kafka_properties"
            )
        elif _PROVIDER.search(value):
            return f"'{full}': {_NO_PROVIDERS}"
        else:
            convert(value)
    except ValueError as error:
        return f"'{full}': {error}" + ("" if secret else f", got '{value}'")
    return None


_PROVIDER = re.compile(r"\$\{\w+:[^}]*\}")
_NO_PROVIDERS = "${...} is for Java's config providers; use env:NAME or file:PATH"


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


# -- handing on ------------------------------------------------------------------------------------


def of_flag(found: Found, name: str, role: Role) -> str | None:
    """The value of a property that is a flag of the bridge, for a client in a role."""
    return found.flags.get(f"{role}.{name}", found.flags.get(name))


def in_role(properties: Mapping[str, str], role: Role, main: Role = "consumer") -> dict[str, str]:
    """What one client reads: what is for all, and what is for its role alone, which wins.

    The admin client works for the client that moves the data, and reads what that one does. Who is
    told nothing of a log-in takes that of the data's client, or of another that is told something.

    Args:
      main: the role in which a run's data are moved.
    """
    scopes: dict[str, dict[str, str]] = {prefix: {} for prefix in ("", *PREFIXES)}
    for full, value in properties.items():
        prefix, name = _without_prefix(full)
        scopes[prefix][name] = value
    found = _over(scopes[""], scopes[f"{main}."] if role == "admin" else {})
    found = _over(found, scopes[f"{role}."])
    if not found.keys() & LOGIN.keys():
        logins = (_login_of(scopes[prefix]) for prefix in (f"{main}.", *PREFIXES))
        found |= next(filter(None, logins), {})
    return found


def _over(lower: Mapping[str, str], upper: Mapping[str, str]) -> dict[str, str]:
    replaced = _replaced(upper)
    return {name: value for name, value in lower.items() if name not in replaced} | dict(upper)


def _login_of(scope: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in scope.items() if name in LOGIN}


def literal_secrets(properties: Mapping[str, str]) -> list[str]:
    """The names of properties whose secrets only this process knows."""
    return [name for name, value in properties.items() if secrets.is_held(value)]


def opened(properties: Mapping[str, str], role: Role, main: Role = "consumer") -> dict[str, str]:
    """What one client reads, with references replaced by the values that they name; those that
    stand for a file stay.

    Raises:
      UsageError: a value cannot be had, or makes no sense.
    """
    plain = _resolved(in_role(properties, role, main))
    try:
        apart = taken_apart(plain)
        if any(map(_PROVIDER.search, apart.values())):
            raise ValueError(_NO_PROVIDERS)
        return _with_mechanism(_resolved(apart))
    except ValueError as error:
        raise UsageError(f"use 'sasl.jaas.config': {error}") from None


def mechanism(properties: Mapping[str, str], role: Role) -> str:
    """The mechanism with which the data's client logs in; empty where it does not.

    Raises:
      UsageError: it cannot be known, or JAAS is for another one.
    """
    read = in_role(properties, role, role)
    names = ("security.protocol", "sasl.mechanism", JAAS_MODULE)
    told = _resolved({name: value for name, value in read.items() if name in names})
    if not told.get("security.protocol", "").upper().startswith("SASL"):
        return ""
    try:
        return _with_mechanism(told).get("sasl.mechanism", "GSSAPI").upper()
    except ValueError as error:
        raise UsageError(f"use 'sasl.jaas.config': {error}") from None


def _with_mechanism(plain: Mapping[str, str]) -> dict[str, str]:
    """Adds the mechanism that only the login module tells."""
    module = plain.get(JAAS_MODULE)
    found = {name: value for name, value in plain.items() if name != JAAS_MODULE}
    if module is None:
        return found
    good_for = jaas.MECHANISMS[module]
    given = found.get("sasl.mechanism")
    if given is None and len(good_for) > 1:
        raise ValueError(f"{module} is for {' or '.join(good_for)}; set sasl.mechanism")
    if given is not None and given.upper() not in good_for:
        raise ValueError(
            f"its {module} is for {' or '.join(good_for)}, and sasl.mechanism is {given}"
        )
    return {"sasl.mechanism": good_for[0], **found}


def _resolved(properties: Mapping[str, str]) -> dict[str, str]:
    plain = dict(properties)
    for name, value in properties.items():
        entry = LOGIN.get(name)
        if secrets.is_reference(value) and not (entry and entry.file):
            plain[name] = secrets.resolve(name, value)
            try:
                (entry or BY_NAME[name]).convert(plain[name])
            except ValueError as error:
                raise UsageError(f"use {secrets.shown(value)} as '{name}': {error}") from None
    return plain


def for_librdkafka(plain: Mapping[str, str], role: Role) -> dict[str, Any]:
    """What this role reads, as librdkafka names and spells it; without the log-in."""
    return {entry.librdkafka: entry.to_librdkafka(value) for entry, value in _rows(plain, role)}


def for_kafka_python(plain: Mapping[str, str], role: Role) -> dict[str, Any]:
    """What this role reads, as keyword arguments of kafka-python's classes; without the log-in."""
    return {entry.kafka_python: entry.convert(value) for entry, value in _rows(plain, role)}


def _rows(plain: Mapping[str, str], role: Role) -> Iterator[tuple[Property, str]]:
    for name, value in plain.items():
        entry = BY_NAME.get(name)
        if entry is not None and role in entry.roles:
            yield entry, value
