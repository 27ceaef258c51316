"""What ps_to_kafka needs: a subscription to pull from, and a topic to write to."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from functools import partial

from pipelines.checks import retried, run_all
from pipelines.options import Options
from pipelines.preflight import common, dead_letters
from pipelines.preflight.common import ACTION_S, CALL_S, CHECKS_S, Facts, Say
from transforms.dead_letters.places import Place
from transforms.errors import PreflightError
from transforms.kafka.client import TopicInfo
from transforms.limits import PUBSUB_MAX_MESSAGE_BYTES
from transforms.pubsub import client as pubsub
from transforms.pubsub.client import SubscriptionInfo


def check(options: Options, say: Say, now_ms: int) -> Facts:
    _refuse_future(options, now_ms)
    brokers, subscription = f"Kafka at {options.bootstrap_servers}", options.subscription
    found = run_all(
        {
            subscription: partial(_subscription, options),
            brokers: partial(retried, partial(_kafka_destination, options)),
            "dead letters": partial(retried, partial(dead_letters.check, options)),
        },
        CHECKS_S,
    )
    dead_letters.refuse_too_small(
        options, subscription, PUBSUB_MAX_MESSAGE_BYTES, found["dead letters"]
    )
    info: SubscriptionInfo = found[subscription]
    if options.dead_letter == Place("pubsub", info.topic):
        raise PreflightError(
            f"write dead letters to {info.topic}: {subscription} reads this topic; give dead "
            "letters a topic of their own"
        )
    topic, cluster_id = found[brokers]
    if topic is None:
        action = f"create {options.kafka_topic}"
        created: TopicInfo = run_all({action: partial(_create_topic, options)}, ACTION_S)[action]
        say(f"{action}: done, with {created.partitions} partitions")
        topic = created
    if options.seek:
        action = f"seek {subscription}"
        run_all({action: partial(_seek, options, now_ms)}, ACTION_S)
        say(f"{action}: moved to {_target(options)}, for every reader of this subscription")
    return Facts(
        ack_deadline_s=info.ack_deadline_s,
        topic=topic,
        cluster_id=cluster_id,
        pubsub_topic=info.topic,
    )


def _subscription(options: Options) -> SubscriptionInfo:
    needs = [pubsub.CONSUME] if options.seek else common.moved_here(options, pubsub.CONSUME)
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        info = admin.subscription(options.subscription, *needs)
    if info.detached:
        raise PreflightError(
            f"read {info.name}: it is detached from its topic and gets no messages; create another"
        )
    return info


def _kafka_destination(options: Options) -> tuple[TopicInfo | None, str]:
    """The destination, None if it is to be created; and the cluster's id."""
    name = options.kafka_topic
    with closing(common.open_kafka(options.kafka)) as admin:
        info = admin.topics([name]).get(name)
        cluster_id = admin.cluster_id()
    if info is not None:
        common.require("WRITE", info)
    if info is None and options.create_topics is None:
        raise PreflightError(
            f"write {name}: no such topic at {options.bootstrap_servers}; create it, correct "
            "--kafka_topic, or set --create_topics=PARTITIONS:REPLICATION"
        )
    return info, cluster_id


def _create_topic(options: Options) -> TopicInfo:
    assert options.create_topics is not None
    name, layout = options.kafka_topic, options.create_topics
    with closing(common.open_kafka(options.kafka)) as admin:
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
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
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
