"""What the audit needs: two sides that can be read, and what of them; before anything is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines import reaching
from pipelines.audit.options import Options
from pipelines.checks import check_again, quiet_clients, run_all
from pipelines.reaching import CALL_S, CHECKS_S
from transforms.audit.kafka_ledger import Asked
from transforms.errors import PreflightError
from transforms.kafka.client import Admin, Offsets, Partition, offsets_of
from transforms.pubsub import client as pubsub
from transforms.pubsub.temporary import Past
from transforms.ranges import Ranges
from transforms.times import rfc3339

_log = logging.getLogger(__name__)

MARGIN_MS = 3_600_000
"""The destination is read from so long before `--from`: clocks of producers may be ahead."""


@dataclass(frozen=True)
class KafkaFacts:
    """What the cluster says.

    Attributes:
      cluster_id: its own name for itself.
      asked: what is audited of each partition of the source.
      begin: where the destination's partitions are read from, if the destination is Kafka.
      letters: where those of the topic of dead letters begin.
    """

    cluster_id: str
    asked: Mapping[Partition, Asked] = field(default_factory=dict)
    begin: Offsets = field(default_factory=dict)
    letters: Offsets = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What is found.

    Attributes:
      began_ms: when the audit began, milliseconds since the epoch.
      past: what is read of the Pub/Sub side; None for an archive.
      letters: what is read of a Pub/Sub topic of dead letters.
      doubts: why what is missing may have been delivered all the same.
    """

    began_ms: int
    kafka: KafkaFacts
    past: Past | None = None
    letters: Past | None = None
    doubts: tuple[str, ...] = ()


def check(options: Options, now_ms: int) -> Facts:
    """Checks both sides at once, within 10 s with the start of Python.

    Raises:
      PreflightError: one line for each thing that is not as needed.
    """
    brokers, topic = f"Kafka at {options.bootstrap_servers}", _pubsub_side(options)
    checks: dict[str, Callable[[], Any]] = {
        brokers: partial(check_again, partial(_kafka, options)),
    }
    if topic:
        checks[topic] = partial(_past, options, now_ms)
    letters_in_files = options.dead_letter is not None and options.dead_letter.kind == "files"
    if options.archive or letters_in_files:
        reaching.use_files_as(options.impersonate_service_account)
    if options.archive:
        checks["archive"] = partial(_archive, options.archive)
    if options.dead_letter and options.dead_letter.kind == "pubsub":
        checks["dead letters"] = partial(_letters, options, options.dead_letter.name, now_ms)
    with quiet_clients(options.debug):
        found = run_all(checks, CHECKS_S)
    kafka: KafkaFacts = found[brokers]
    past: Past | None = found.get(topic)
    doubts = [*_doubts_of_kafka(kafka.begin), *_doubts_of_pubsub(past)]
    return Facts(now_ms, kafka, past, found.get("dead letters"), tuple(doubts))


def _pubsub_side(options: Options) -> str:
    """The topic or subscription that is looked at; empty where an archive is read, or Kafka."""
    return "" if options.archive else options.subscription or options.pubsub_topic


# -- Kafka -----------------------------------------------------------------------------------------


def _kafka(options: Options) -> KafkaFacts:
    with closing(reaching.open_kafka(options.kafka)) as admin:
        return KafkaFacts(
            admin.cluster_id(),
            _asked(options, admin) if options.from_kafka else {},
            _begin(options, admin) if options.kafka_topic else {},
            _begin_of_letters(options, admin),
        )


def _asked(options: Options, admin: Admin) -> dict[Partition, Asked]:
    parts = _partitions(options, admin, options.kafka_topics, "--kafka_topics")
    if options.offsets:
        for topic, number in options.offsets:
            if (topic, number) not in parts:
                raise PreflightError(
                    f"audit {topic}/{number}: no such partition at {options.bootstrap_servers}; "
                    "correct the file of --offsets"
                )
        parts = list(options.offsets)
    first, end = admin.beginning_offsets(parts), admin.end_offsets(parts)
    begin = dict(first)
    if options.from_ms is not None:
        begin = admin.offsets_for_time(parts, options.from_ms)
    stop = end if options.to_ms is None else admin.offsets_for_time(parts, options.to_ms)
    committed = _committed(options, admin, parts) if options.group_id else end
    asked = {}
    for part in parts:
        wanted = options.offsets.get(part)
        if wanted is None:
            # Whether offsets before the log's first one belong to the time, nobody knows any more.
            start = 0 if options.from_ms is not None and begin[part] == first[part] else begin[part]
            wanted = _span(start, min(stop[part], end[part]))
        elif wanted.spans and wanted.spans[-1][1] >= end[part]:
            raise PreflightError(
                f"audit {part[0]}/{part[1]}: offset {wanted.spans[-1][1]} is not there, its end is "
                f"{end[part]}; correct the file of --offsets"
            )
        there = wanted.between(first[part], end[part])
        read = there.between(first[part], committed.get(part, 0))
        expired = wanted.count - there.count
        asked[part] = Asked(read, expired, there.count - read.count)
    return asked


def _committed(options: Options, admin: Admin, parts: Collection[Partition]) -> Offsets:
    found = offsets_of(admin.committed(options.group_id))
    if not any(part in found for part in parts):
        raise PreflightError(
            f"read the offsets of group {options.group_id}: it has committed none of these topics; "
            "correct --group_id, or leave it out to audit all"
        )
    return found


def _span(start: int, end: int) -> Ranges:
    return Ranges(((start, end - 1),) if end > start else ())


def _begin(options: Options, admin: Admin) -> dict[Partition, int]:
    """Where the destination is read from. With lossless, records keep timestamps of their own."""
    parts = _partitions(options, admin, (options.kafka_topic,), "--kafka_topic")
    if options.from_ms is None or options.lossless:
        return admin.beginning_offsets(parts)
    return admin.offsets_for_time(parts, max(0, options.from_ms - MARGIN_MS))


def _begin_of_letters(options: Options, admin: Admin) -> dict[Partition, int]:
    place = options.dead_letter
    if place is None or place.kind != "kafka":
        return {}
    return admin.beginning_offsets(_partitions(options, admin, (place.name,), "--dead_letter"))


def _partitions(
    options: Options, admin: Admin, topics: tuple[str, ...], flag: str
) -> list[Partition]:
    return reaching.readable(admin, topics, options.bootstrap_servers, flag)


# -- Pub/Sub and archives --------------------------------------------------------------------------


def _past(options: Options, now_ms: int) -> Past:
    topic, filter_, owner = options.pubsub_topic, "", options.pubsub_topic
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        if options.subscription:
            info = admin.subscription(options.subscription)
            if info.detached:
                raise PreflightError(
                    f"audit {info.name}: it is detached from its topic; give --pubsub_topic"
                )
            topic, filter_, owner = info.topic, info.filter, info.name
        retention_s = admin.retention_s(topic, pubsub.ATTACH)
        if options.snapshot:
            of = admin.snapshot_topic(options.snapshot, pubsub.SEEK_TO)
            if of != topic:
                raise PreflightError(
                    f"seek to {options.snapshot}: it is of {of}, not of {topic}; correct --snapshot"
                )
    margin_ms = MARGIN_MS if options.from_kafka else 0
    since_ms = _since_ms(topic, retention_s, now_ms, has_snapshot=bool(options.snapshot))
    if options.from_ms is not None:
        since_ms = max(since_ms, options.from_ms - margin_ms)
    return Past(topic, _project(owner), filter_, since_ms, options.snapshot)


def _since_ms(topic: str, retention_s: int, now_ms: int, has_snapshot: bool) -> int:
    """Where a topic's past begins.

    Raises:
      PreflightError: it has none.
    """
    if has_snapshot:
        return 0
    if not retention_s:
        raise PreflightError(
            f"read the past of {topic}: it keeps none; give --snapshot, or --archive, or let it "
            "keep what comes from now on: gcloud pubsub topics update "
            f"{topic} --message-retention-duration=7d"
        )
    return max(0, now_ms - retention_s * 1000)


def _letters(options: Options, topic: str, now_ms: int) -> Past:
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        retention_s = admin.retention_s(topic, pubsub.ATTACH)
    since_ms = _since_ms(topic, retention_s, now_ms, has_snapshot=False)
    return Past(topic, _project(topic), since_ms=since_ms)


def _project(resource: str) -> str:
    return "/".join(resource.split("/")[:2])


def _archive(folder: str) -> None:
    from transforms import filesystem

    url = filesystem.checked(folder)
    listing = partial(filesystem.below, url)
    filesystem.ask(PreflightError, "list", url, listing, CALL_S)


# -- doubts ----------------------------------------------------------------------------------------


def _doubts_of_kafka(begin: Offsets) -> list[str]:
    """A destination's log that does not begin at its first record."""
    late = sorted(f"{topic}/{n}@{at}" for (topic, n), at in begin.items() if at > 0)
    return [f"the destination is read from {', '.join(late[:5])} on"] if late else []


def _doubts_of_pubsub(past: Past | None) -> list[str]:
    if past is None:
        return []
    if past.snapshot:
        return [f"{past.topic} is read as {past.snapshot} has it, not before"]
    since = rfc3339(past.since_ms or 0, to="seconds")
    return [f"{past.topic} is read from {since} on, not before"]
