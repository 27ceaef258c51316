"""The rules that tie several flags together, each one sentence and one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pipelines import range_rules, resource_names
from pipelines.command_line import Taken
from pipelines.flag_values import SeekTo
from pipelines.flags import (
    ARCHIVE,
    BACKFILL,
    KAFKA_TO_PS,
    ONE_MACHINE_RUNNERS,
    PS_TO_KAFKA,
    Pipeline,
    Runner,
)
from pipelines.routes import Route
from transforms.dead_letters.places import Place
from transforms.errors import UsageError
from transforms.kafka import config

_ENDS = {
    PS_TO_KAFKA: ("subscription", "bootstrap_servers", "kafka_topic"),
    KAFKA_TO_PS: ("bootstrap_servers", "kafka_topics", "group_id", "pubsub_topic"),
}
REQUIRED: Mapping[Pipeline, frozenset[str]] = {
    **{pipeline: frozenset(ends) - {"bootstrap_servers"} for pipeline, ends in _ENDS.items()},
    ARCHIVE: frozenset({"archive"}),
    BACKFILL: frozenset(),
}
"""The flags without which there is no run but a demo. What else is needed depends on the route, and
brokers may stand before a topic, too."""


def is_demo(
    pipeline: Pipeline,
    runner: Runner,
    value: Mapping[str, Any],
    given: Collection[str],
    environ: Mapping[str, str],
) -> bool:
    """Whether this is a demo: neither source nor destination given by a flag, in this process.

    The environment alone, which may name a real cluster, gives no side.

    Raises:
      UsageError: one side is missing, or a demo is not possible or forbidden.
    """
    ends = _ENDS[pipeline]
    demo_setting = environ.get("BRIDGE_DEMO", "on").lower()
    if demo_setting not in ("", "on", "off"):
        raise UsageError(f"BRIDGE_DEMO: {demo_setting!r} is neither on nor off")
    if runner is Runner.IN_PROCESS and demo_setting != "off" and not any(e in given for e in ends):
        return True
    missing = [f"--{name}" for name in ends if not value[name]]
    if missing:
        raise UsageError(
            f"{', '.join(missing)}: missing; {pipeline} needs {', '.join('--' + e for e in ends)}"
        )
    return False


def emulator(runner: Runner, environ: Mapping[str, str]) -> str:
    """The Pub/Sub emulator that the environment names, or nothing.

    Raises:
      UsageError: it is not HOST:PORT, or out of the workers' reach.
    """
    host = environ.get("PUBSUB_EMULATOR_HOST", "")
    if not host:
        return ""
    if runner is Runner.DATAFLOW:
        raise UsageError("PUBSUB_EMULATOR_HOST: means nothing on Dataflow; unset it")
    try:
        return resource_names.host_ports(host)
    except ValueError as error:
        raise UsageError(f"PUBSUB_EMULATOR_HOST: {error}") from error


def check_pubsub(value: Mapping[str, Any], emulator: str, demo: bool = False) -> None:
    """Refuses what means nothing to an emulator, which is an address and knows no accounts.

    Raises:
      UsageError: names the flag, and what says that there is an emulator.
    """
    for name in ("pubsub_endpoint", "impersonate_service_account"):
        if value[name] and demo:
            raise UsageError(
                f"--{name}: means nothing in a demo, which has an emulator of its own; leave it "
                "out, or name source and destination"
            )
        if value[name] and emulator:
            raise UsageError(
                f"--{name}: means nothing with PUBSUB_EMULATOR_HOST={emulator}; leave it out, or "
                "unset the variable"
            )


def require_ends(pipeline: Pipeline, route: Route, value: Mapping[str, Any]) -> None:
    """Refuses a run without the brokers, or the group, that its route needs.

    Raises:
      UsageError: names the flag.
    """
    uses_kafka = route.source == "kafka" or "kafka" in route.sinks
    if uses_kafka and not value["bootstrap_servers"]:
        raise UsageError(f"--bootstrap_servers: missing; {pipeline} needs it from {route}")
    if value["group_id"]:
        return
    if pipeline == ARCHIVE and route.source == "kafka":
        raise UsageError("--group_id: missing; its committed offsets are where a restart goes on")
    keeps_state = "archive" in (route.source, *route.sinks) and route.source != "kafka"
    if pipeline == BACKFILL and not keeps_state and not value["state"]:
        raise UsageError(
            "--group_id: missing; what is done is remembered as commits of GROUP_ID-backfill-HASH, "
            "which nobody joins; or give a file, --state"
        )


def check(pipeline: Pipeline, taken: Taken, route: Route) -> None:
    """Refuses combinations that cannot be kept; settles what follows from others.

    Args:
      taken: its values may be changed in place.
    Raises:
      UsageError: names the flag to change.
    """
    runner, value, given = taken.runner, taken.values, taken.given
    for f in taken.flags:
        if f.dest in given and f.side and f.side not in route.sides:
            raise UsageError(f"--{f.name}: means nothing from {route}; leave it out")
    if runner is Runner.IN_PROCESS and value["shards"] > 1:
        raise UsageError(
            f"--shards: {value['shards']} is over 1, and this runner reads one after the other; "
            "start more bridges with the same group or subscription, or use --runner=PrismRunner"
        )
    if value["max_messages"] is not None and value["pull"] == "streaming":
        raise UsageError(
            "--max_messages: cannot be kept with --pull=streaming, which takes what the service "
            "sends; use --pull=unary"
        )
    if value["max_messages"] is not None and value["shards"] > 1:
        raise UsageError(
            f"--max_messages: cannot be kept with --shards={value['shards']}; use --shards=1"
        )
    if value["instance_id"] is not None and value["shards"] > 1:
        raise UsageError(
            f"--instance_id: names one member, --shards={value['shards']} are more; use --shards=1"
        )
    range_rules.settle_assignment(taken)
    for name in ("instance_id", "revoke_timeout_s"):
        if name in given and value["assignment"] == "shards":
            raise UsageError(f"--{name}: means nothing with --assignment=shards; leave it out")
    _settle_commits(taken, route)
    if value["attributes"] == "none" and value["returns"] == "drop" and "returns" in given:
        raise UsageError(
            "--returns: drop needs a marker, and --attributes=none carries none; use "
            "--attributes=metadata or lossless"
        )
    _check_dead_letter(runner, value)
    _check_folders(runner, value)
    range_rules.check(pipeline, taken, route)


def _settle_commits(taken: Taken, route: Route) -> None:
    """What is in a file is committed when the file is closed."""
    value = taken.values
    if "archive" in route.sinks:
        if "commit_interval_s" in taken.given:
            raise UsageError(
                "--commit_interval_s: with --archive what is read is committed when its file is "
                "closed; use --file_seconds"
            )
        value["commit_interval_s"] = value["file_seconds"]
    if route.source == "pubsub" and value["commit_interval_s"] >= value["max_lease_s"]:
        name = "file_seconds" if "archive" in route.sinks else "commit_interval_s"
        raise UsageError(
            f"--{name}: {value['commit_interval_s']:g} is not below "
            f"--max_lease_s={value['max_lease_s']:g}; messages would come again before their ack"
        )


def _check_folders(runner: Runner, value: Mapping[str, Any]) -> None:
    """A folder of a worker's own is lost with it."""
    for name in ("archive", "from_archive", "state"):
        if value[name] and "://" not in value[name] and runner not in ONE_MACHINE_RUNNERS:
            raise UsageError(
                f"--{name}: {value[name]} is on each worker's own disk; use gs:// or s3://"
            )
    if value["schema_registry_login"] and not value["schema_registry"]:
        raise UsageError("--schema_registry_login: means nothing without --schema_registry")
    if value["schema_registry"] and value["format"] != "json":
        raise UsageError("--schema_registry: means nothing with --format=avro; use --format=json")


def _check_dead_letter(runner: Runner, value: Mapping[str, Any]) -> None:
    place: Place | None = value["dead_letter"]
    if place is None:
        return
    busy = {
        "kafka": resource_names.matches(value["kafka_topics"], place.name)
        or place.name == value["kafka_topic"],
        "pubsub": place.name == value["pubsub_topic"],
        "files": False,
    }
    if busy[place.kind]:
        raise UsageError(
            f"--dead_letter: {place.name} is what the bridge reads or writes; give dead letters a "
            "topic of their own"
        )
    if place.kind == "files" and "://" not in place.name and runner not in ONE_MACHINE_RUNNERS:
        raise UsageError(
            f"--dead_letter: {place.name} is a folder of each worker's own; use gs://, s3://, "
            "kafka:// or pubsub://"
        )


def refuse_literal_secrets(runner: Runner, properties: Mapping[str, str]) -> None:
    """What goes to other machines goes into a job graph, which many may read.

    Raises:
      UsageError: names the properties.
    """
    names = config.literal_secrets(properties)
    if names and runner not in ONE_MACHINE_RUNNERS:
        raise UsageError(
            f"read --kafka_properties: {', '.join(names)}: would stand in the job that is sent to "
            "the workers; give secret:projects/P/secrets/S/versions/V, env:NAME or file:PATH, "
            "which they resolve"
        )


def qualified(seek: SeekTo | None, subscription: str) -> SeekTo | None:
    """The same target with its snapshot's full name, in the subscription's project by default.

    Raises:
      UsageError: there is no subscription to move.
    """
    if seek is None:
        return None
    if not subscription:
        raise UsageError("--seek: needs a --subscription to move")
    if seek.kind != "snapshot" or "/" in seek.snapshot:
        return seek
    project = subscription.split("/")[1]
    return replace(seek, snapshot=f"projects/{project}/snapshots/{seek.snapshot}")
