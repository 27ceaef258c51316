"""Kafka client properties of workers and connectors: as flags of the command."""

from __future__ import annotations

import re

from pipelines.migrate.properties import Class, Property, classified, named, written
from pipelines.migrate.settings import Draft, Kind, Settings
from pipelines.migrate.table import Row, set_number
from transforms.kafka.property_table import OWNED, REFUSED

_AS_FLAGS = {
    ("producer", "linger.ms"): Row(Kind.SAME, flag="linger_ms", at_most=60_000),
    ("producer", "delivery.timeout.ms"): Row(
        Kind.SAME, flag="delivery_timeout_s", divisor=1000, at_least=1, at_most=36_000
    ),
    ("producer", "metadata.max.age.ms"): Row(
        Kind.SAME, flag="metadata_interval_s", divisor=1000, at_least=0.1, at_most=3600
    ),
    ("consumer", "metadata.max.age.ms"): Row(
        Kind.SAME, flag="metadata_interval_s", divisor=1000, at_least=0.1, at_most=3600
    ),
}
"""Client properties that are flags, if they are those of the client that carries the data."""


def take_clients(draft: Draft, settings: Settings) -> None:
    """Takes what is for Kafka clients: in a connector what overrides a worker's, in a worker all.

    Raises:
      UsageError: a value makes no sense.
    """
    for full in settings.left():
        prop, value = named(full), settings.peek(full)
        if settings is draft.own and not prop.role:
            continue
        kind = classified(prop.name, value)
        if kind is Class.FLAG:
            _take_flag(draft, settings, full, prop)
        elif kind is Class.CLIENT:
            _take_client(draft, settings, full, prop)
        elif kind is Class.OWNED:
            _take_owned(draft, settings, full, prop)
        elif kind is Class.ALWAYS:
            draft.note_names(Kind.SAME, "the bridge always does so", settings, full)
        elif kind is Class.REFUSED:
            draft.note_names(Kind.LACKS, REFUSED[prop.name].reason, settings, full)
        elif kind is Class.JAVA:
            draft.note_names(Kind.SAME, "only Java programs read it", settings, full)


def bootstrap_servers(text: str) -> str:
    """Brokers as `--bootstrap_servers` has them: without blanks and protocols."""
    servers = [re.sub(r"^\w+://", "", server.strip()) for server in text.split(",")]
    return ",".join(filter(None, servers))


def _take_flag(draft: Draft, settings: Settings, full: str, prop: Property) -> None:
    """The brokers, the group, or where it begins."""
    carries = prop.role == ("consumer" if draft.is_sink else "producer")
    if prop.name == "bootstrap.servers" and (carries or not prop.role):
        draft.flag("bootstrap_servers", bootstrap_servers(settings.peek(full)), settings, full)
    elif prop.name == "group.id" and carries and draft.is_sink:
        draft.flag("group_id", settings.peek(full), settings, full)
    elif prop.name == "auto.offset.reset" and carries and draft.is_sink:
        _take_start(draft, settings, full)
    elif prop.name == "group.id" and not prop.role:
        group = "a sink's is `connect-NAME`" if draft.is_sink else "a source reads a subscription"
        draft.note(Kind.SAME, f"it is not the group of a connector: {group}", settings, full)
    else:
        draft.note(Kind.SAME, "this connector does not use it", settings, full)


def _take_start(draft: Draft, settings: Settings, full: str) -> None:
    value = settings.peek(full).lower()
    if value in ("earliest", "latest"):
        draft.flag("start", value, settings, full)
        if value == "latest":
            draft.note(
                Kind.DIFFERS,
                "it is for partitions that are there at the first start; one that comes later is "
                "read from its beginning, so that nothing is passed over",
                settings,
                full,
            )
        return
    text = (
        "a partition without a committed offset begins at --start=earliest, instead of with an "
        "error"
    )
    draft.note(Kind.DIFFERS, text, settings, full)


def _take_client(draft: Draft, settings: Settings, full: str, prop: Property) -> None:
    value = settings.peek(full)
    if prop.role and settings.peek(prop.name) == value:
        draft.note_names(Kind.SAME, f"it says the same as {prop.name}", settings, full)
        return
    try:
        done = written(prop, value, settings.variables.get(full, ""))
    except ValueError as error:
        raise settings.error(full, f"is not understood: {error}") from None
    settings.take(full)
    for name, text in done.values.items():
        if not text.isprintable():
            raise settings.error(full, "has control characters; correct it")
        draft.client(name, text)
    if done.variable:
        known = settings.variables.get(full) == done.variable
        text = (
            f"keep {done.variable} in the bridge's environment"
            if known
            else f"set {done.variable} in the bridge's environment to its value"
        )
        draft.note_names(Kind.FIRST, text, settings, full)


def _take_owned(draft: Draft, settings: Settings, full: str, prop: Property) -> None:
    carries = prop.role == ("consumer" if draft.is_sink else "producer")
    row = _AS_FLAGS.get((prop.role, prop.name)) if carries else None
    if row is not None:
        set_number(draft, settings, full, row)
    else:
        draft.note(Kind.LACKS, f"the bridge sets it by itself: {OWNED[prop.name]}", settings, full)
