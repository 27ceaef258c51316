"""What kafka_to_ps needs: topics whose records are still there, and a topic to publish to."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from functools import partial
from operator import attrgetter

from pipelines.checks import retried, run_all
from pipelines.options import Options
from pipelines.preflight import common, dead_letters
from pipelines.preflight.common import ACTION_S, CALL_S, CHECKS_S, Facts, Say
from transforms.errors import PreflightError
from transforms.kafka.client import Admin, Offsets, Partition, TopicInfo
from transforms.kafka.client_rules import ASSIGNOR
from transforms.pubsub import client as pubsub


def check(options: Options, say: Say) -> Facts:
    brokers, topic = f"Kafka at {options.bootstrap_servers}", options.pubsub_topic
    found = run_all(
        {
            brokers: partial(retried, partial(_kafka_source, options)),
            topic: partial(_pubsub_topic, options),
            "dead letters": partial(retried, partial(dead_letters.check, options)),
        },
        CHECKS_S,
    )
    facts: Facts
    largest: TopicInfo | None
    facts, largest = found[brokers]
    if largest is not None and largest.described:
        dead_letters.refuse_too_small(
            options, largest.name, largest.max_message_bytes, found["dead letters"]
        )
    if not facts.partitions:
        say(f"read {_topics(options)}: no topic matches yet; waiting for one")
    if options.reset_offsets:
        action = f"reset group {options.group_id}"
        run_all({action: partial(retried, partial(_reset_offsets, options, facts))}, ACTION_S)
        say(f"{action}: all {len(facts.partitions)} partitions now begin at {options.start.kind}")
    return facts


def _pubsub_topic(options: Options) -> None:
    needs = common.moved_here(options, pubsub.PUBLISH)
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        admin.topic(options.pubsub_topic, *needs)


def _kafka_source(options: Options) -> tuple[Facts, TopicInfo | None]:
    """What is found, and the topic with the largest messages."""
    topics = options.kafka_topics
    with closing(common.open_kafka(options.kafka)) as admin:
        found = admin.topics(topics)
        if not topics[0].startswith("^"):
            missing = sorted(set(topics) - set(found))
            if missing:
                raise PreflightError(
                    f"read {', '.join(missing)}: no such topic at {options.bootstrap_servers}; "
                    "create it, correct --kafka_topics, or wait for it with a ^regex"
                )
        for info in found.values():
            common.require("READ", info)
        common.require_group(admin, options.group_id)
        if options.assignment == "group":
            _refuse_others(options, admin)
        partitions = admin.partitions(topics)
        committed = admin.committed(options.group_id)
        if options.reset_offsets:
            _refuse_members(options, admin)
            begin = set(partitions)
        else:
            _refuse_gaps(options, admin, {p: committed[p] for p in partitions if p in committed})
            begin = set(partitions) - set(committed)
        facts = Facts(
            tuple(partitions),
            _start(options, admin, begin, partitions),
            cluster_id=admin.cluster_id(),
        )
        return facts, max(found.values(), key=attrgetter("max_message_bytes"), default=None)


def _start(
    options: Options, admin: Admin, begin: Collection[Partition], existing: Collection[Partition]
) -> Offsets:
    """Explicit offsets for the partitions that `--start` is about; none means the first offset."""
    start = options.start
    if start.kind == "latest":
        return admin.end_offsets(begin)
    if start.kind == "timestamp":
        assert start.timestamp_ms is not None
        return admin.offsets_for_time(begin, start.timestamp_ms)
    if start.kind == "earliest":
        return {}
    given = start.offsets or {}
    for topic, number in given:
        if (topic, number) not in existing:
            raise PreflightError(
                f"start {topic}/{number}: no such partition at {options.bootstrap_servers}; "
                "correct the file of --start"
            )
    wanted = {partition: offset for partition, offset in given.items() if partition in begin}
    _refuse_outside(admin, "start", wanted, "correct the file of --start")
    return wanted


def _refuse_gaps(options: Options, admin: Admin, committed: Offsets) -> None:
    """Committed offsets whose records are gone, unless the bridge is to go on behind them."""
    if options.on_offset_gap == "continue":
        return
    what_to_do = (
        "go on at the next one that exists with --on_offset_gap=continue, or choose where with "
        "--start and --reset_offsets"
    )
    _refuse_outside(admin, "continue", committed, what_to_do)


def _refuse_outside(admin: Admin, operation: str, offsets: Offsets, what_to_do: str) -> None:
    first, end = admin.beginning_offsets(offsets), admin.end_offsets(offsets)
    wrong = [
        f"{operation} {topic}/{number}: offset {offset} is not there, "
        f"the partition holds {first[topic, number]} to {end[topic, number]}"
        + (
            f"; {offset} to {first[topic, number] - 1} are gone unread"
            if offset < first[topic, number]
            else ""
        )
        for (topic, number), offset in sorted(offsets.items())
        if not first[topic, number] <= offset <= end[topic, number]
    ]
    if wrong:
        more = f" ({len(wrong) - 1} more partitions too)" if len(wrong) > 1 else ""
        raise PreflightError(f"{wrong[0]}{more}; {what_to_do}")


def _refuse_others(options: Options, admin: Admin) -> None:
    """Members that share the group by another assignor keep the bridge out of it."""
    assignor = admin.group_assignor(options.group_id)
    if assignor not in ("", ASSIGNOR):
        members = ", ".join(admin.group_members(options.group_id)[:3])
        raise PreflightError(
            f"join group {options.group_id}: it has members ({members}) that share it by the "
            f"assignor {assignor}, and bridges share by {ASSIGNOR}; stop them first"
        )


def _refuse_members(options: Options, admin: Admin) -> None:
    members = admin.group_members(options.group_id)
    if members:
        raise PreflightError(
            f"reset group {options.group_id}: it still has members ({', '.join(members[:3])}); "
            "stop them first"
        )


def _reset_offsets(options: Options, facts: Facts) -> None:
    with closing(common.open_kafka(options.kafka)) as admin:
        first = admin.beginning_offsets(facts.partitions)
        admin.commit(options.group_id, {**first, **facts.start})


def _topics(options: Options) -> str:
    return ",".join(options.kafka_topics)
