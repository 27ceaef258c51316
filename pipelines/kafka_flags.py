"""What --kafka_config, --kafka_properties, --kafka_client and --krb5_conf come to together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from pipelines import resource_names
from pipelines.flag_values import StartAt
from transforms import named_files
from transforms.errors import UsageError
from transforms.kafka import config, config_files
from transforms.kafka.client import ClientName
from transforms.kafka.clients import choose_client
from transforms.kafka.property_table import Role


class KafkaFlags(NamedTuple):
    """What the Kafka flags come to.

    Attributes:
      properties: of all clients; secrets by reference.
      client: the one that carries the data, and in `client_reason` why.
      filled_in: the flags that a file gave.
      notes: what of the files is left out, a line each.
    """

    properties: dict[str, str]
    client: ClientName
    client_reason: str
    filled_in: frozenset[str]
    notes: tuple[str, ...]


_STARTS = {
    "earliest": "earliest",
    "smallest": "earliest",
    "beginning": "earliest",
    "latest": "latest",
    "largest": "latest",
    "end": "latest",
}
"""The values of `auto.offset.reset` in Java and in librdkafka, as values of `--start`."""


def _start(text: str) -> StartAt:
    if text.lower() not in _STARTS:
        raise ValueError(f"{text!r} is not earliest or latest; use --start")
    return StartAt(_STARTS[text.lower()])  # type: ignore[arg-type]


_FLAGS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "bootstrap.servers": ("bootstrap_servers", resource_names.host_ports),
    "group.id": ("group_id", str),
    "auto.offset.reset": ("start", _start),
}
"""The flag that a property stands for, and how its value is read."""


def settle(
    value: dict[str, Any], given: Collection[str], role: Role, takes: Collection[str]
) -> KafkaFlags:
    """Reads the files; fills in flags that were not given and stand in a file.

    Args:
      value: all flags by name; changed in place.
      given: the names of those that stand on the command line, which win.
      role: of the client that reads or writes the bridge's data.
      takes: the flags that files may give to this command.
    Raises:
      UsageError: a file or a property cannot be used, or the client that was asked for.
    """
    flags = dict(value["kafka_config"])
    if value["krb5_conf"]:
        flags["java.security.krb5.conf"] = value["krb5_conf"]
    filled_in = set()
    named_files.act_as(value["impersonate_service_account"])
    found = config_files.read(value["kafka_properties"], flags)
    for name, (flag, parse) in _FLAGS.items():
        text = config_files.of_flag(found, name, role)
        if text is None or flag in given or flag not in takes:
            continue
        try:
            value[flag] = parse(text)
        except ValueError as error:
            raise UsageError(f"read --kafka_properties: '{name}': {error}") from error
        filled_in.add(flag)
    value["kafka_config"] = flags
    client, reason = choose_client(value["kafka_client"], config.mechanism(found.properties, role))
    return KafkaFlags(found.properties, client, reason, frozenset(filled_in), tuple(found.notes))
