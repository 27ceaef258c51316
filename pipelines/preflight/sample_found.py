"""What a bridge would start from: both ends, for programs and in a few lines for people."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from functools import partial
from typing import Any

from pipelines import reaching
from pipelines.checks import check_again, quiet_clients, run_all
from pipelines.facts import Facts
from pipelines.options import KAFKA_TO_PS, Options
from pipelines.reaching import CHECKS_S
from transforms.kafka.client import offsets_of
from transforms.limits import PUBSUB_MAX_MESSAGE_BYTES

_SHOWN_TOPICS = 3


def found(options: Options, facts: Facts) -> dict[str, Any]:
    """Source, destination and dead letters.

    Raises:
      PreflightError: Kafka no longer answers.
    """
    place = options.dead_letter
    dead_letter = None if place is None else _with_scheme(place.kind, place.name)
    if options.pipeline == KAFKA_TO_PS:
        brokers = f"Kafka at {options.bootstrap_servers}"
        check = partial(check_again, partial(_kafka_source, options, facts))
        with quiet_clients(options.debug):
            source = run_all({brokers: check}, CHECKS_S)[brokers]
        destination = {
            "pubsub_topic": options.pubsub_topic,
            "max_message_bytes": PUBSUB_MAX_MESSAGE_BYTES,
        }
    else:
        source = {
            "subscription": options.subscription,
            "pubsub_topic": facts.pubsub_topic,
            "ack_deadline_s": facts.ack_deadline_s,
            "ordered": facts.ordered,
        }
        destination = {"kafka_topic": options.kafka_topic}
        if options.template is None:
            destination |= {
                "partitions": facts.topic.partitions,
                "max_message_bytes": facts.topic.max_message_bytes,
                "needs_keys": facts.topic.needs_keys,
                "max_timestamp_ahead_ms": facts.topic.max_timestamp_ahead_ms,
            }
    return {"source": source, "destination": destination, "dead_letter": dead_letter}


def _with_scheme(kind: str, name: str) -> str:
    return name if kind == "files" else f"{kind}://{name}"


def _kafka_source(options: Options, facts: Facts) -> dict[str, Any]:
    partitions = facts.partitions
    with closing(reaching.open_kafka(options.kafka)) as admin:
        topics = admin.topics(options.selection.now())
        committed = offsets_of(admin.committed(options.group_id))
        members = admin.group_members(options.group_id)
        first, ends = admin.beginning_offsets(partitions), admin.end_offsets(partitions)
    begins = {p: committed.get(p, facts.start.get(p, first[p])) for p in partitions}
    return {
        "topics": dict(sorted(Counter(topic for topic, _ in partitions).items())),
        "max_message_bytes": max((t.max_message_bytes for t in topics.values()), default=0),
        "group_id": options.group_id,
        "members": len(members),
        "committed_partitions": sum(p in committed for p in partitions),
        "start": options.start.kind,
        "offsets_to_read": sum(max(0, ends[p] - begins[p]) for p in partitions),
    }


def lines(pipeline: str, there: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, in words)"""
    source, destination = there["source"], there["destination"]
    ends = _kafka_to_ps if pipeline == KAFKA_TO_PS else _ps_to_kafka
    dead_letter = there["dead_letter"] or "none: the first message that needs it ends the run"
    return [*ends(source, destination), ("dead letters", dead_letter)]


def _kafka_to_ps(source: dict[str, Any], destination: dict[str, Any]) -> list[tuple[str, str]]:
    topics, committed = source["topics"], source["committed_partitions"]
    names = ", ".join(list(topics)[:_SHOWN_TOPICS]) or "no topic yet"
    if len(topics) > _SHOWN_TOPICS:
        names += f" and {len(topics) - _SHOWN_TOPICS} more topics"
    count = sum(topics.values())
    begin = f"{committed:,} of {_number(count, 'partition')} committed"
    if committed < count:
        begin += f", the rest begin at {source['start']}"
    return [
        (
            "from",
            f"{names}: {_number(count, 'partition')}, records of at most "
            f"{source['max_message_bytes']:,} bytes",
        ),
        (
            "group",
            f"{source['group_id']}: {begin}; {_number(source['offsets_to_read'], 'offset')} to "
            f"read; {_number(source['members'], 'member')} now",
        ),
        (
            "to",
            f"{destination['pubsub_topic']}: messages of at most "
            f"{destination['max_message_bytes']:,} bytes",
        ),
    ]


def _ps_to_kafka(source: dict[str, Any], destination: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            "from",
            f"{source['subscription']} of {source['pubsub_topic']}: ack deadline "
            f"{source['ack_deadline_s']} s{'' if source['ordered'] else ', no message ordering'}",
        ),
        ("to", f"{destination['kafka_topic']}: {', '.join(_rules(destination))}"),
    ]


def _rules(destination: dict[str, Any]) -> list[str]:
    if "partitions" not in destination:
        return ["named by each message, with rules of its own"]
    rules = [
        _number(destination["partitions"], "partition"),
        f"record batches of at most {destination['max_message_bytes']:,} bytes",
    ]
    if destination["needs_keys"]:
        rules.append("compacted, so that every record needs a key")
    if destination["max_timestamp_ahead_ms"] is not None:
        rules.append(
            f"timestamps at most {destination['max_timestamp_ahead_ms'] // 1000:,} s ahead"
        )
    return rules


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
