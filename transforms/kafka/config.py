"""What each Kafka client reads of the properties, and its translation for the two libraries.

`transforms.kafka.config_files` makes one mapping of all files and flags; it is what travels to
workers, with secrets by reference (`transforms.secrets`). `opened` gives what one client reads of
it: of that, `transforms.kafka.login` makes sense of the log-in, and `for_librdkafka` and
`for_kafka_python` translate the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from transforms import secrets
from transforms.errors import UsageError
from transforms.kafka import jaas
from transforms.kafka.property_table import BY_NAME, JAAS_MODULE, LOGIN, Property, Role

PREFIXES = ("consumer.", "producer.", "admin.")
"""Of properties that are for clients in this role alone, as Kafka Connect's workers have them."""

PROVIDER = re.compile(r"\$\{\w+:[^}]*\}")
NO_PROVIDERS = "${...} is for Java's config providers; use env:NAME or file:PATH"


def in_role(properties: Mapping[str, str], role: Role, main: Role = "consumer") -> dict[str, str]:
    """What one client reads: what is for all, and what is for its role alone, which wins.

    The admin client works for the client that moves the data, and reads what that one does. Who is
    told nothing of a log-in takes that of the data's client, or of another that is told something.

    Args:
      main: the role in which a run's data are moved.
    """
    scopes: dict[str, dict[str, str]] = {prefix: {} for prefix in ("", *PREFIXES)}
    for full, value in properties.items():
        prefix, name = without_prefix(full)
        scopes[prefix][name] = value
    found = _over(scopes[""], scopes[f"{main}."] if role == "admin" else {})
    found = _over(found, scopes[f"{role}."])
    if not found.keys() & LOGIN.keys():
        logins = (_login_of(scopes[prefix]) for prefix in (f"{main}.", *PREFIXES))
        found |= next(filter(None, logins), {})
    return found


def _over(lower: Mapping[str, str], upper: Mapping[str, str]) -> dict[str, str]:
    gone = replaced(upper)
    return {name: value for name, value in lower.items() if name not in gone} | dict(upper)


def _login_of(scope: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in scope.items() if name in LOGIN}


def literal_secrets(properties: Mapping[str, str]) -> list[str]:
    """The names of properties whose secrets only this process knows."""
    return [name for name, value in properties.items() if secrets.is_held(value)]


def local_files(properties: Mapping[str, str]) -> dict[str, str]:
    """The paths of files on the machine of whoever logs in, by the property that names them."""
    return {
        full: value
        for full, value in properties.items()
        if (entry := LOGIN.get(without_prefix(full)[1])) is not None and entry.file
        if not secrets.is_reference(value)
    }


def opened(properties: Mapping[str, str], role: Role, main: Role = "consumer") -> dict[str, str]:
    """What one client reads, with references replaced by the values that they name; those that
    stand for a file stay.

    Raises:
      UsageError: a value cannot be had, or makes no sense.
    """
    plain = _resolved(in_role(properties, role, main))
    try:
        apart = taken_apart(plain)
        if any(map(PROVIDER.search, apart.values())):
            raise ValueError(NO_PROVIDERS)
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


# -- names and JAAS --------------------------------------------------------------------------------


def without_prefix(name: str) -> tuple[str, str]:
    """The role's prefix, and the rest; `consumer.override.` is how a connector writes it."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return prefix, name.removeprefix(prefix).removeprefix("override.")
    return "", name


def replaced(names: Iterable[str]) -> set[str]:
    """What these properties take the place of: themselves, and JAAS of all that JAAS can say."""
    found = set(names)
    for full in names:
        prefix, name = without_prefix(full)
        if name == "sasl.jaas.config":
            found |= {prefix + each for each in (JAAS_MODULE, *jaas.PROPERTIES)}
    return found


def taken_apart(properties: Mapping[str, str]) -> dict[str, str]:
    """The same with what `sasl.jaas.config` says, unless that is a reference still.

    Raises:
      ValueError: it is not understood.
    """
    text = properties.get("sasl.jaas.config")
    if text is None or secrets.is_reference(text):
        return dict(properties)
    rest = {name: value for name, value in properties.items() if name != "sasl.jaas.config"}
    return {**of_jaas(jaas.understand(text)), **rest}


def of_jaas(understood: jaas.Understood) -> dict[str, str]:
    said = {name: from_provider(value) for name, value in understood.properties.items()}
    return {JAAS_MODULE: understood.module, **said}


def from_provider(value: str) -> str:
    """`${env:NAME}`, Kafka's own way to name a variable, as a reference."""
    match = re.fullmatch(r"\$\{(env:[^:}]+)\}", value)
    return match[1] if match else value
