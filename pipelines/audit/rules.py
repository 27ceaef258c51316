"""The rules that tie several flags of the audit together, each one sentence and one error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines import resource_names
from transforms import destinations
from transforms.errors import UsageError
from transforms.kafka.selection import Selection


def check(value: Mapping[str, Any]) -> None:
    """Refuses combinations that make no audit.

    Raises:
      UsageError: names the flag to change.
    """
    for name in ("kafka_topic", "pubsub_topic"):
        if destinations.is_template(value[name]):
            raise UsageError(
                f"--{name}: {value[name]} is a template; audit one of its topics after the other"
            )
    if value["kafka_topics"]:
        _check_from_kafka(value)
    else:
        _check_to_kafka(value)
    if not value["bootstrap_servers"]:
        raise UsageError("--bootstrap_servers: missing; the Kafka side needs it")
    if value["attributes"] == "none":
        raise UsageError(
            "--attributes: with none, messages carry nothing to know them by, and cannot be "
            "audited; run the bridge with metadata or lossless"
        )
    if value["snapshot"] and (value["archive"] or not _pubsub_side(value)):
        raise UsageError("--snapshot: no Pub/Sub topic is read; leave it out")
    _check_range(value)


def _check_from_kafka(value: Mapping[str, Any]) -> None:
    for template in Selection(value["kafka_topics"]).templates:
        raise UsageError(
            f"--kafka_topics: {template!r} is of any night; name the topics of those to audit"
        )
    if value["subscription"]:
        raise UsageError("--subscription: the source is --kafka_topics already; leave one out")
    if value["kafka_topic"] and (value["pubsub_topic"] or value["archive"]):
        raise UsageError(
            "--kafka_topic: the destination is --pubsub_topic or --archive already; leave one out"
        )
    if not (value["kafka_topic"] or value["pubsub_topic"] or value["archive"]):
        raise UsageError(
            "--pubsub_topic: missing; with --kafka_topics the audit needs a destination: "
            "--pubsub_topic, --archive or --kafka_topic"
        )
    if resource_names.matches(value["kafka_topics"], value["kafka_topic"]):
        raise UsageError(
            f"--kafka_topic: {value['kafka_topic']} is in --kafka_topics; audit it against another"
        )


def _check_to_kafka(value: Mapping[str, Any]) -> None:
    if not value["kafka_topic"]:
        raise UsageError(
            "--kafka_topics, --kafka_topic: missing; give --kafka_topics and where they went, or "
            "--kafka_topic and where it came from"
        )
    if value["subscription"] and value["pubsub_topic"]:
        raise UsageError(
            "--pubsub_topic: the source is that of --subscription already; leave one out"
        )
    if not _pubsub_side(value):
        raise UsageError(
            "--subscription: missing; with --kafka_topic the audit needs a source: "
            "--subscription, --pubsub_topic, --archive or --kafka_topics"
        )
    for name in ("offsets", "group_id"):
        if value[name]:
            raise UsageError(f"--{name}: means nothing without --kafka_topics; leave it out")


def _check_range(value: Mapping[str, Any]) -> None:
    begin, end = value["from_ms"], value["to_ms"]
    if value["offsets"] and (begin is not None or end is not None):
        raise UsageError("--offsets: says what is audited, as --from and --to do; leave one out")
    if begin is not None and end is not None and begin >= end:
        raise UsageError("--to: is not later than --from, and leaves nothing")
    for topic, _ in value["offsets"]:
        if not resource_names.matches(value["kafka_topics"], topic):
            raise UsageError(f"--offsets: topic {topic!r} of the file is not in --kafka_topics")


def _pubsub_side(value: Mapping[str, Any]) -> bool:
    return bool(value["subscription"] or value["pubsub_topic"] or value["archive"])
