"""The rules that tie flags about ranges, nights and ends together; each one sentence, one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pipelines import resource_names
from pipelines.command_line import Taken
from pipelines.flags import BACKFILL, BACKFILL_RUNNERS, ONE_MACHINE_RUNNERS, Pipeline, Runner
from pipelines.range_values import StopAt
from pipelines.routes import Route
from transforms.errors import UsageError
from transforms.kafka.client import Partition
from transforms.kafka.selection import Selection


def is_finite(stop: StopAt | None) -> bool:
    """Whether a run with this `--stop` has an end that is known at the start."""
    return stop is not None and stop.kind != "night_end"


def settle_assignment(taken: Taken) -> None:
    """A finite run has partitions of its own: it never joins a group."""
    value, stop = taken.values, taken.values["stop"]
    if not is_finite(stop):
        return
    if "assignment" in taken.given and value["assignment"] == "group":
        raise UsageError(
            f"--assignment: a run with --stop={stop.kind} does not join its group; leave it out"
        )
    value["assignment"] = "shards"


def check(pipeline: Pipeline, taken: Taken, route: Route) -> None:
    """Refuses ranges and ends that contradict each other.

    Raises:
      UsageError: names the flag to change.
    """
    value = taken.values
    if value["idle_seconds"] is not None and is_finite(value["stop"]):
        raise UsageError("--idle_seconds: with --stop the end is known; leave it out")
    _check_nights(taken.runner, value, taken.given)
    topics = value["kafka_topics"]
    for name in ("start", "stop", "from_at", "to_at"):
        offsets = value[name].offsets if value[name] is not None else None
        _check_topics(f"--{name.removesuffix('_at')}", topics, offsets or {})
    _check_topics("--offsets", topics, value["offsets"])
    if pipeline == BACKFILL:
        _check_backfill(taken.runner, route, value)


def _check_topics(flag: str, topics: tuple[str, ...], offsets: Collection[Partition]) -> None:
    for topic, _ in offsets:
        if topics and not resource_names.matches(topics, topic):
            raise UsageError(f"{flag}: topic {topic!r} of the file is not in --kafka_topics")


def _check_backfill(runner: Runner, route: Route, value: Mapping[str, Any]) -> None:
    """What a backfill is about is said in one way."""
    begin, end = value["from_at"], value["to_at"]
    if route.source == "pubsub" and runner not in BACKFILL_RUNNERS:
        raise UsageError(
            "--runner: a backfill from Pub/Sub ends when the subscription is empty, which is not "
            "told on this runner; use DirectRunner or DataflowRunner"
        )
    if value["pull"] == "streaming":
        raise UsageError(
            "--pull: a stream does not tell when there is nothing left; leave it out in a backfill"
        )
    looks = "pubsub" in route.sinks and runner in ONE_MACHINE_RUNNERS
    if value["idle_seconds"] is not None and route.source != "pubsub" and not looks:
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
