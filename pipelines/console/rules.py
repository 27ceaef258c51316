"""The rules that tie several flags of the console together, each one sentence and one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pipelines import resource_names
from transforms.errors import UsageError
from transforms.kafka.selection import Selection

_SOURCES = ("kafka_topics", "pubsub_topic", "subscription")


def check(value: Mapping[str, Any], given: Collection[str]) -> None:
    """Refuses combinations that mean nothing.

    Raises:
      UsageError: names the flag to change.
    """
    sources = [name for name in _SOURCES if value[name]]
    if not sources:
        raise UsageError(
            "--kafka_topics: missing; say what to print: --kafka_topics, --pubsub_topic, or "
            "--subscription with --take"
        )
    if len(sources) > 1:
        raise UsageError(f"--{sources[1]}: --{sources[0]} is printed already; leave one out")
    if value["kafka_topics"] and not value["bootstrap_servers"]:
        raise UsageError("--bootstrap_servers: missing; --kafka_topics needs it")
    templates = Selection(value["kafka_topics"]).templates
    for name in ("change_hour", "days_back"):
        if name in given and not templates:
            raise UsageError(
                f"--{name}: means nothing without a date in --kafka_topics; leave it out"
            )
    _check_taking(value)
    _check_start(value)
    if value["follow"] and "idle_seconds" in given:
        raise UsageError("--idle_seconds: --follow goes on until Ctrl-C; leave one out")
    for name in ("schema_registry", "cutouts"):
        if name in given and not value["decode"]:
            raise UsageError(f"--{name}: means nothing without --decode; add it")
    if value["schema_registry_login"] and not value["schema_registry"]:
        raise UsageError("--schema_registry_login: means nothing without --schema_registry; add it")


def _check_taking(value: Mapping[str, Any]) -> None:
    if value["subscription"] and not value["take"]:
        raise UsageError(
            "--subscription: whatever is pulled from it is taken from its other readers; say "
            "--take if you want that, or print its topic with --pubsub_topic, which takes nothing"
        )
    if value["take"] and not value["subscription"]:
        raise UsageError("--take: nothing is taken without --subscription; leave it out")


def _check_start(value: Mapping[str, Any]) -> None:
    start = value["start"]
    if start is None:
        return
    if value["subscription"]:
        raise UsageError(
            "--start: would move the subscription for all its readers; leave it out, or print its "
            "topic with --pubsub_topic"
        )
    if value["pubsub_topic"] and start.kind == "offsets":
        raise UsageError("--start: Pub/Sub has no offsets; use earliest, latest or timestamp=")
    for topic, _ in start.offsets or ():
        if not resource_names.matches(value["kafka_topics"], topic):
            raise UsageError(f"--start: topic {topic!r} of the file is not in --kafka_topics")
