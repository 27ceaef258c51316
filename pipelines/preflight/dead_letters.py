"""What `--dead_letter` needs: a place that is there, and can hold every dead letter."""

from __future__ import annotations

from contextlib import closing

from pipelines import reaching
from pipelines.facts import Facts
from pipelines.options import Options
from pipelines.reaching import CALL_S
from transforms.dead_letter import CONTEXT_BYTES
from transforms.dead_letters.places import Place
from transforms.errors import PreflightError
from transforms.kafka.client import TopicInfo
from transforms.limits import KAFKA_DEFAULT_MAX_MESSAGE_BYTES, PUBSUB_MAX_MESSAGE_BYTES
from transforms.pubsub import client as pubsub


def look(options: Options) -> int:
    """Checks that the place is there; returns the largest record batch that it admits.

    Raises:
      PreflightError: it is not, or loses what it is given.
    """
    place = options.dead_letter
    if place is None:
        return KAFKA_DEFAULT_MAX_MESSAGE_BYTES
    if place.kind == "kafka":
        return _kafka_topic(options, place.name).max_message_bytes
    if place.kind == "pubsub":
        needs = reaching.moved_here(options, pubsub.PUBLISH)
        with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
            if not admin.keeps_messages(place.name, *needs):
                raise PreflightError(
                    f"write dead letters to {place.name}: it has no subscription, and would keep "
                    "none; create one first"
                )
    else:
        from transforms.dead_letters import files

        reaching.use_files_as(options.impersonate_service_account)
        files.check(place.name, CALL_S)
    return KAFKA_DEFAULT_MAX_MESSAGE_BYTES


def _kafka_topic(options: Options, name: str) -> TopicInfo:
    with closing(reaching.open_kafka(options.kafka)) as admin:
        info = admin.topics([name]).get(name)
    if info is None:
        raise PreflightError(
            f"write dead letters to {name}: no such topic at {options.bootstrap_servers}; create "
            "it, or correct --dead_letter"
        )
    reaching.require("WRITE", info)
    if info.needs_keys:
        raise PreflightError(
            f"write dead letters to {name}: it is compacted, and would lose some; use a topic with "
            "cleanup.policy=delete"
        )
    return info


def refuse_unfit(options: Options, facts: Facts, place_bytes: int) -> None:
    """Refuses a place that the run itself reads, or whose limit is below that of the source.

    Args:
      place_bytes: the largest record batch that a Kafka topic for dead letters admits.
    Raises:
      PreflightError: says which, with both limits.
    """
    source = options.route.source
    if source == "pubsub":
        if options.dead_letter == Place("pubsub", facts.pubsub_topic):
            raise PreflightError(
                f"write dead letters to {facts.pubsub_topic}: {facts.subscription} reads this "
                "topic; give dead letters a topic of their own"
            )
        _refuse_too_small(options, facts.subscription, PUBSUB_MAX_MESSAGE_BYTES, place_bytes)
    largest = facts.largest
    if source == "kafka" and largest is not None and largest.described:
        _refuse_too_small(options, largest.name, largest.max_message_bytes, place_bytes)


def _refuse_too_small(options: Options, source: str, source_bytes: int, place_bytes: int) -> None:
    place = options.dead_letter
    if place is None or place.kind == "files":
        return
    if place.kind == "kafka":
        needed, limit, what_to_do = (
            source_bytes + CONTEXT_BYTES,
            place_bytes,
            f"set its max.message.bytes to {source_bytes + CONTEXT_BYTES} or more",
        )
    else:
        needed, limit, what_to_do = (
            source_bytes,
            PUBSUB_MAX_MESSAGE_BYTES,
            "use kafka://TOPIC or a folder",
        )
    if needed > limit:
        raise PreflightError(
            f"write dead letters to {place.name}: it cannot hold every message of {source}, which "
            f"may have {source_bytes} bytes: {needed} needed, limit {limit}; {what_to_do}"
        )
