"""The rules that tie several flags together, each one sentence and one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pipelines import resource_names
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
from pipelines.range_values import StopAt
from pipelines.routes import Route
from transforms.dead_letters.places import Place
from transforms.errors import UsageError
from transforms.kafka import config
from transforms.kafka.client import Partition
from transforms.kafka.selection import Selection

_ENDS = {
    PS_TO_KAFKA: ("subscription", "bootstrap_servers", "kafka_topic"),
    KAFKA_TO_PS: ("bootstrap_servers", "kafka_topics", "group_id", "pubsub_topic"),
}


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
    _settle_assignment(taken)
    for name in ("instance_id", "revoke_timeout_s"):
        if name in given and value["assignment"] == "shards":
            raise UsageError(f"--{name}: means nothing with --assignment=shards; leave it out")
    _settle_commits(taken, route)
    if value["attributes"] == "none" and value["returns"] == "drop" and "returns" in given:
        raise UsageError(
            "--returns: drop needs a marker, and --attributes=none carries none; use "
            "--attributes=metadata or lossless"
        )
    if value["idle_seconds"] is not None and is_finite(value["stop"]):
        raise UsageError("--idle_seconds: with --stop the end is known; leave it out")
    _check_dead_letter(runner, value)
    _check_folders(runner, value)
    _check_nights(runner, value, given)
    topics = value["kafka_topics"]
    for name in ("start", "stop", "from_at", "to_at"):
        offsets = value[name].offsets if value[name] is not None else None
        _check_topics(f"--{name.removesuffix('_at')}", topics, offsets or {})
    _check_topics("--offsets", topics, value["offsets"])
    _check_range(pipeline, route, value)


def _check_topics(flag: str, topics: tuple[str, ...], offsets: Collection[Partition]) -> None:
    for topic, _ in offsets:
        if topics and not resource_names.matches(topics, topic):
            raise UsageError(f"{flag}: topic {topic!r} of the file is not in --kafka_topics")


def is_finite(stop: StopAt | None) -> bool:
    """Whether a run with this `--stop` has an end that is known at the start."""
    return stop is not None and stop.kind != "night_end"


def _settle_assignment(taken: Taken) -> None:
    """A finite run has partitions of its own: it never joins a group."""
    value, stop = taken.values, taken.values["stop"]
    if not is_finite(stop):
        return
    if "assignment" in taken.given and value["assignment"] == "group":
        raise UsageError(
            f"--assignment: a run with --stop={stop.kind} does not join its group; leave it out"
        )
    value["assignment"] = "shards"


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


def _check_range(pipeline: Pipeline, route: Route, value: Mapping[str, Any]) -> None:
    """What a backfill is about is said in one way."""
    begin, end = value["from_at"], value["to_at"]
    if pipeline == BACKFILL and value["pull"] == "streaming":
        raise UsageError(
            "--pull: a stream does not tell when there is nothing left; leave it out in a backfill"
        )
    if pipeline == BACKFILL and value["idle_seconds"] is not None and route.source != "pubsub":
        raise UsageError(f"--idle_seconds: from {route} the end is known; leave it out")
    ways = ("night", "offsets", "from_at" if begin else "to_at")
    said = [f"--{name.removesuffix('_at')}" for name in ways if value[name]]
    if len(said) > 1:
        raise UsageError(f"{' and '.join(said)}: say in one way what is backfilled")
    in_offsets = [name for name in ("from_at", "to_at") if value[name] and value[name].offsets]
    names = ["offsets"] if value["offsets"] else [n.removesuffix("_at") for n in in_offsets]
    if names and route.source == "pubsub":
        raise UsageError(f"--{names[0]}: means nothing from {route}; give a time")
    if not (begin and end) or in_offsets:
        return
    if begin.timestamp_ms >= end.timestamp_ms:
        raise UsageError("--from: is not before --to; the range would be empty")


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


def _check_nights(runner: Runner, value: Mapping[str, Any], given: Collection[str]) -> None:
    stops_at_night_end = value["stop"] is not None and not is_finite(value["stop"])
    if stops_at_night_end and runner not in ONE_MACHINE_RUNNERS:
        raise UsageError("--stop=night_end: means nothing on this runner; use DirectRunner")
    if stops_at_night_end and value["shards"] > 1:
        raise UsageError(
            f"--stop=night_end: cannot be kept with --shards={value['shards']}; use --shards=1"
        )
    if Selection(value["kafka_topics"]).templates or value["night"]:
        return
    names = [name for name in ("change_hour", "days_back") if name in given]
    for name in [*names, *(["stop=night_end"] if stops_at_night_end else [])]:
        raise UsageError(
            f"--{name}: means nothing without a date in --kafka_topics, such as ztf_%Y%m%d"
        )


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
