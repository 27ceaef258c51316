"""Checks both sides within seconds, before anything is read; and does what is done once, first.

Clients retry an unreachable service for minutes without a word, so every call here has its own
deadline, and all of them together have one. What changes something (`--create_topics`,
`--reset_offsets`, `--seek`) is done only after every check has passed.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial

from pipelines.checks import quiet_clients, retried, run_all
from pipelines.options import KAFKA_TO_PS, Options
from transforms.errors import PreflightError
from transforms.kafka import clients as kafka
from transforms.kafka.client import Admin, Offsets, Partition, TopicInfo
from transforms.limits import KAFKA_DEFAULT_MAX_MESSAGE_BYTES
from transforms.pubsub import client as pubsub
from transforms.pubsub.client import SubscriptionInfo

CALL_S = 4.0
"""Deadline of one call to a service."""

CHECKS_S = 5.5
"""Deadline of all checks together; with the start and end of Python and Beam below 10 s."""

ACTION_S = 20.0
"""Deadline of one thing done after the checks; a new topic waits for its partitions' leaders."""

Say = Callable[[str], None]
_say: Say = logging.getLogger(__name__).info


@dataclass(frozen=True)
class Facts:
    """What a pipeline starts from; each side fills in what it has found.

    Attributes:
      partitions: those that kafka_to_ps would read now.
      start: where those without a committed offset begin; the rest begin at their first offset.
      ack_deadline_s: of the subscription that ps_to_kafka reads.
      max_message_bytes: the largest record batch that the Kafka topic admits.
    """

    partitions: tuple[Partition, ...] = ()
    start: Offsets = field(default_factory=dict)
    ack_deadline_s: int = 10
    max_message_bytes: int = KAFKA_DEFAULT_MAX_MESSAGE_BYTES


def check(options: Options, say: Say = _say, clock: Callable[[], float] = time.time) -> Facts:
    """Checks both sides, then does what the flags want done once.

    Args:
      say: told, in one line each, what was changed and what looks odd.
      clock: seconds since the epoch, for `--seek`.
    Raises:
      PreflightError: one line for each thing that is not as needed.
    """
    with quiet_clients(options.debug):
        if options.pipeline == KAFKA_TO_PS:
            return _kafka_to_ps(options, say)
        return _ps_to_kafka(options, say, int(clock() * 1000))


def _open_kafka(options: Options) -> Admin:
    """Says at once what a client would say only at its time-out: that nobody listens there."""
    servers = options.bootstrap_servers.split(",")
    problems = []
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CALL_S / len(servers)).close()
            return kafka.open_admin(options.kafka, CALL_S)
        except OSError as error:
            problems.append(f"{server} ({_why(error)})")
    raise PreflightError(
        f"connect to Kafka: nobody listens at {', '.join(problems)}; check --bootstrap_servers "
        "and the network"
    )


def _why(error: OSError) -> str:
    return "no such host" if isinstance(error, socket.gaierror) else error.strerror or str(error)


# -- kafka_to_ps -------------------------------------------------------------------------------


def _kafka_to_ps(options: Options, say: Say) -> Facts:
    brokers, topic = f"Kafka at {options.bootstrap_servers}", options.pubsub_topic
    found = run_all(
        {
            brokers: partial(retried, partial(_kafka_source, options)),
            topic: partial(_pubsub_topic, topic),
        },
        CHECKS_S,
    )
    facts: Facts = found[brokers]
    if not facts.partitions:
        say(f"read {_topics(options)}: no topic matches yet; waiting for one")
    if options.reset_offsets:
        action = f"reset group {options.group_id}"
        run_all({action: partial(retried, partial(_reset_offsets, options, facts))}, ACTION_S)
        say(f"{action}: all {len(facts.partitions)} partitions now begin at {options.start.kind}")
    return facts


def _pubsub_topic(name: str) -> None:
    with closing(pubsub.open_admin(CALL_S)) as admin:
        admin.topic(name)


def _kafka_source(options: Options) -> Facts:
    topics = options.kafka_topics
    with closing(_open_kafka(options)) as admin:
        if not topics[0].startswith("^"):
            missing = sorted(set(topics) - set(admin.topics(topics)))
            if missing:
                raise PreflightError(
                    f"read {', '.join(missing)}: no such topic at {options.bootstrap_servers}; "
                    "create it, correct --kafka_topics, or wait for it with a ^regex"
                )
        partitions = admin.partitions(topics)
        committed = admin.committed(options.group_id)
        if options.reset_offsets:
            _refuse_members(options, admin)
            begin = set(partitions)
        else:
            _refuse_gaps(options, admin, {p: committed[p] for p in partitions if p in committed})
            begin = set(partitions) - set(committed)
        return Facts(tuple(partitions), _start(options, admin, begin, partitions))


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
    """Committed offsets whose records are gone would be skipped in silence."""
    what_to_do = (
        f"begin elsewhere with --reset_offsets and --start, or with another --group_id than "
        f"{options.group_id}"
    )
    _refuse_outside(admin, "continue", committed, what_to_do)


def _refuse_outside(admin: Admin, operation: str, offsets: Offsets, what_to_do: str) -> None:
    first, end = admin.beginning_offsets(offsets), admin.end_offsets(offsets)
    wrong = [
        f"{operation} {topic}/{number}: offset {offset} is not there, "
        f"the partition holds {first[topic, number]} to {end[topic, number]}"
        for (topic, number), offset in sorted(offsets.items())
        if not first[topic, number] <= offset <= end[topic, number]
    ]
    if wrong:
        more = f" ({len(wrong) - 1} more partitions too)" if len(wrong) > 1 else ""
        raise PreflightError(f"{wrong[0]}{more}; {what_to_do}")


def _refuse_members(options: Options, admin: Admin) -> None:
    members = admin.group_members(options.group_id)
    if members:
        raise PreflightError(
            f"reset group {options.group_id}: it still has members ({', '.join(members[:3])}); "
            "stop them first"
        )


def _reset_offsets(options: Options, facts: Facts) -> None:
    with closing(_open_kafka(options)) as admin:
        first = admin.beginning_offsets(facts.partitions)
        admin.commit(options.group_id, {**first, **facts.start})


def _topics(options: Options) -> str:
    return ",".join(options.kafka_topics)


# -- ps_to_kafka -------------------------------------------------------------------------------


def _ps_to_kafka(options: Options, say: Say, now_ms: int) -> Facts:
    _refuse_future(options, now_ms)
    brokers, subscription = f"Kafka at {options.bootstrap_servers}", options.subscription
    found = run_all(
        {
            subscription: partial(_subscription, subscription),
            brokers: partial(retried, partial(_kafka_destination, options)),
        },
        CHECKS_S,
    )
    topic: TopicInfo | None = found[brokers]
    if topic is None:
        action = f"create {options.kafka_topic}"
        created: TopicInfo = run_all({action: partial(_create_topic, options)}, ACTION_S)[action]
        say(f"{action}: done, with {created.partitions} partitions")
        topic = created
    if options.seek:
        action = f"seek {subscription}"
        run_all({action: partial(_seek, options, now_ms)}, ACTION_S)
        say(f"{action}: moved to {_target(options)}, for every reader of this subscription")
    info: SubscriptionInfo = found[subscription]
    return Facts(
        ack_deadline_s=info.ack_deadline_s,
        max_message_bytes=topic.max_message_bytes,
    )


def _subscription(name: str) -> SubscriptionInfo:
    with closing(pubsub.open_admin(CALL_S)) as admin:
        info = admin.subscription(name)
    if info.detached:
        raise PreflightError(
            f"read {name}: it is detached from its topic and gets no messages; create another"
        )
    return info


def _kafka_destination(options: Options) -> TopicInfo | None:
    """The destination; None if it is to be created."""
    name = options.kafka_topic
    with closing(_open_kafka(options)) as admin:
        info = admin.topics([name]).get(name)
    if info is None and options.create_topics is None:
        raise PreflightError(
            f"write {name}: no such topic at {options.bootstrap_servers}; create it, correct "
            "--kafka_topic, or set --create_topics=PARTITIONS:REPLICATION"
        )
    return info


def _create_topic(options: Options) -> TopicInfo:
    assert options.create_topics is not None
    name, layout = options.kafka_topic, options.create_topics
    with closing(_open_kafka(options)) as admin:
        admin.create_topic(name, layout.partitions, layout.replication)
        return admin.topics([name])[name]


def _refuse_future(options: Options, now_ms: int) -> None:
    """Seeking to a time to come would acknowledge every message until then."""
    seek = options.seek
    if seek and seek.timestamp_ms is not None and seek.timestamp_ms > now_ms:
        raise PreflightError(
            f"seek {options.subscription}: the time lies ahead and would drop every message until "
            "then; use --seek=now or an earlier time"
        )


def _seek(options: Options, now_ms: int) -> None:
    assert options.seek is not None
    seek = options.seek
    with closing(pubsub.open_admin(CALL_S)) as admin:
        if seek.kind == "snapshot":
            admin.seek(options.subscription, snapshot=seek.snapshot)
        else:
            admin.seek(
                options.subscription,
                timestamp_ms=now_ms if seek.kind == "now" else seek.timestamp_ms,
            )


def _target(options: Options) -> str:
    assert options.seek is not None
    if options.seek.kind == "snapshot":
        return options.seek.snapshot
    if options.seek.kind == "now":
        return "now"
    moment = datetime.fromtimestamp((options.seek.timestamp_ms or 0) / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds")
