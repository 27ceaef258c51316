"""What the console needs: a source that exists and may be read; before anything is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines import reaching
from pipelines.checks import check_again, quiet_clients, run_all
from pipelines.console.options import Options
from pipelines.reaching import CALL_S, CHECKS_S
from transforms.errors import PreflightError
from transforms.kafka.client import Admin, Offsets, Partition
from transforms.pubsub import client as pubsub
from transforms.pubsub.temporary import Past

Span = tuple[int, int]
"""(first offset, the one behind the last)"""


@dataclass(frozen=True)
class Facts:
    """What is found.

    Attributes:
      held: what each partition holds, of those that are printed.
      begin: where each of them begins; empty where the newest are asked for.
      past: what of a Pub/Sub topic is read; None for other sources.
      retention_s: how long the topic keeps what is published; 0 where it does not.
    """

    held: Mapping[Partition, Span] = field(default_factory=dict)
    begin: Offsets = field(default_factory=dict)
    past: Past | None = None
    retention_s: int = 0

    @property
    def offsets(self) -> int:
        """How many offsets Kafka holds."""
        return sum(end - first for first, end in self.held.values())


def check(options: Options, now_ms: int) -> Facts:
    """Checks the source, and the schema registry if there is one, within 10 s with the start of
    Python.

    Raises:
      PreflightError: one line for each thing that is not as needed.
    """
    checks: dict[str, Callable[[], Any]]
    if options.kafka_topics:
        source = f"Kafka at {options.bootstrap_servers}"
        checks = {source: partial(check_again, partial(_kafka, options))}
    elif options.pubsub_topic:
        source = options.pubsub_topic
        checks = {source: partial(_topic, options, now_ms)}
    else:
        source = options.subscription
        checks = {source: partial(_subscription, options)}
    if options.registry is not None:
        checks["schema registry"] = options.registry.check
    with quiet_clients(options.debug):
        facts: Facts = run_all(checks, CHECKS_S)[source]
    return facts


def _kafka(options: Options) -> Facts:
    with closing(reaching.open_kafka(options.kafka)) as admin:
        parts = _partitions(options, admin)
        if options.start is not None and options.start.offsets:
            parts = _named(options, parts)
        first, end = admin.beginning_offsets(parts), admin.end_offsets(parts)
        held = {part: (first[part], end[part]) for part in parts}
        return Facts(held, _begin(options, admin, held))


def _partitions(options: Options, admin: Admin) -> list[Partition]:
    servers, selection = options.bootstrap_servers, options.selection
    if not selection.templates:
        return reaching.readable(admin, selection.topics, servers, "--kafka_topics")
    if selection.required:
        reaching.readable(admin, selection.required, servers, "--kafka_topics")
    parts = admin.partitions(selection.now())
    if not parts and not options.follow:
        raise PreflightError(
            f"read {', '.join(selection.templates)}: no topic of {selection.tonight()} or the "
            f"{options.days_back} nights before at {servers}; correct --kafka_topics or "
            "--change_hour, raise --days_back, or wait with --follow"
        )
    return parts


def _named(options: Options, parts: list[Partition]) -> list[Partition]:
    """The partitions of the file of --start."""
    assert options.start is not None
    for topic, number in options.start.offsets or ():
        if (topic, number) not in parts:
            raise PreflightError(
                f"start {topic}/{number}: no such partition at {options.bootstrap_servers}; "
                "correct the file of --start"
            )
    return list(options.start.offsets or ())


def _begin(options: Options, admin: Admin, held: Mapping[Partition, Span]) -> Offsets:
    start = options.start
    if start is None and not options.follow:
        return {}
    if start is None or start.kind == "latest":
        return {part: end for part, (_, end) in held.items()}
    if start.kind == "timestamp":
        assert start.timestamp_ms is not None
        return admin.offsets_for_time(held, start.timestamp_ms)
    if start.kind == "earliest":
        return {part: first for part, (first, _) in held.items()}
    for (topic, number), at in (start.offsets or {}).items():
        first, end = held[topic, number]
        if not first <= at <= end:
            raise PreflightError(
                f"start {topic}/{number}: offset {at} is not there, the partition holds {first} to "
                f"{end}; correct the file of --start"
            )
    return start.offsets or {}


def _topic(options: Options, now_ms: int) -> Facts:
    topic, start = options.pubsub_topic, options.start
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        retention_s = admin.retention_s(topic, pubsub.ATTACH)
    from_now = options.follow if start is None else start.kind == "latest"
    since_ms = None
    if retention_s and not from_now:
        since_ms = max(0, now_ms - retention_s * 1000)
        if start is not None and start.timestamp_ms is not None:
            since_ms = max(since_ms, start.timestamp_ms)
    project = "/".join(topic.split("/")[:2])
    return Facts(past=Past(topic, project, since_ms=since_ms), retention_s=retention_s)


def _subscription(options: Options) -> Facts:
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        info = admin.subscription(options.subscription, pubsub.CONSUME)
    if info.detached:
        raise PreflightError(
            f"read {info.name}: it is detached from its topic and gets no messages; correct "
            "--subscription"
        )
    return Facts()
