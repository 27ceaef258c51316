"""The graph of every pipeline: one source, the mapping, one destination or that and an archive."""

from __future__ import annotations

from typing import Any

from pipelines.facts import Facts
from pipelines.options import BACKFILL, Options, Runner
from pipelines.policies import origin_of, resolved, to_kafka_policy, to_pubsub_policy
from transforms.convert import Routing, ToKafka, ToPubsub
from transforms.kafka.client import ConsumerConfig, ProducerConfig
from transforms.kafka.session import KafkaSourceConfig
from transforms.kafka.sink import WriteToKafka
from transforms.kafka.source import ReadFromKafka
from transforms.kafka.writer import KafkaSinkConfig
from transforms.pubsub.publish_times import PARK_S, PublishTimes
from transforms.pubsub.session import PubsubSourceConfig
from transforms.pubsub.sink import WriteToPubSub
from transforms.pubsub.source import ReadFromPubSub
from transforms.pubsub.writer import PubsubSinkConfig
from transforms.registry import BridgeConfig

_POLL_MARGIN_S = 60
"""A bundle may keep its consumer from polling for delivery timeout + commit interval; and this."""

_MARGIN_S = 5.0
_IDLE_S = 10.0
"""A subscription that has given nothing for so long is empty, unless `--idle_seconds` says more."""


def build(pipeline: Any, options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    """Attaches the graph. Nothing shuffles: source, mapping and destinations are one stage."""
    read = pipeline | _READS[options.route.source](options, facts, bridge)
    return [_WRITES[sink](read, options, facts, bridge) for sink in options.route.sinks]


# -- sources ---------------------------------------------------------------------------------------


def _from_kafka(options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    longest_bundle_s = options.delivery_timeout_s + options.commit_interval_s
    source = KafkaSourceConfig(
        bridge=bridge,
        kafka=options.kafka,
        consumer=ConsumerConfig(
            group_id=facts.group_id or options.group_id,
            instance_id=options.instance_id,
            max_poll_interval_ms=int((longest_bundle_s + _POLL_MARGIN_S) * 1000),
            metadata_interval_ms=int(options.metadata_interval_s * 1000),
            fetch_bytes=options.max_in_flight_bytes // 8,
        ),
        topics=facts.topics or options.kafka_topics,
        start=facts.start,
        assignment=options.assignment if facts.ranges is None else "shards",
        shards=options.shards,
        on_offset_gap=options.on_offset_gap,
        change_hour=options.change_hour,
        days_back=options.days_back,
        stops_at_night_end=options.stop is not None and not options.bounded,
        ranges=facts.ranges,
        state=options.state,
    )
    return "ReadFromKafka" >> ReadFromKafka(source)


def _from_pubsub(options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    source = PubsubSourceConfig(
        bridge=bridge,
        subscription=facts.subscription or options.subscription,
        ack_deadline_s=facts.ack_deadline_s,
        max_lease_s=options.max_lease_s,
        pull=options.pull,
        shards=options.shards,
        service=options.workers_pubsub,
        publish_times=_publish_times(options, facts),
    )
    # Beam's own source on Dataflow is one for streams.
    native = options.runner is Runner.DATAFLOW and source.publish_times is None
    return "ReadFromPubSub" >> ReadFromPubSub(source, native, options.id_label)


def _publish_times(options: Options, facts: Facts) -> PublishTimes | None:
    if options.pipeline != BACKFILL:
        return None
    idle_s = options.idle_seconds or _IDLE_S
    if options.subscription or options.force or facts.status or options.runner is Runner.DATAFLOW:
        # Others may have held messages, or a worker that was replaced.
        idle_s = max(idle_s, 1.5 * facts.ack_deadline_s + facts.backoff_s)
    if facts.status in ("begun", "writing"):
        idle_s = max(idle_s, PARK_S + _MARGIN_S)  # a run that was killed may have put some off
    to_ms = facts.now_ms if facts.wanted.to_ms is None else facts.wanted.to_ms
    return PublishTimes(facts.wanted.from_ms or 0, min(to_ms, facts.now_ms), idle_s)


def _from_archive(options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    from transforms.archive.source import ReadFromArchive

    source = archive_config(options, facts, bridge)
    return "ReadFromArchive" >> ReadFromArchive(source)


def archive_config(options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    """What is read of the archive."""
    from transforms.archive.source import ArchiveSourceConfig

    wanted = facts.wanted
    return ArchiveSourceConfig(
        bridge=bridge,
        url=options.from_archive,
        topics=wanted.topics,
        from_ms=wanted.from_ms,
        to_ms=wanted.to_ms,
        offsets=wanted.named_offsets(),
        state=facts.state,
    )


_READS = {"kafka": _from_kafka, "pubsub": _from_pubsub, "archive": _from_archive}


# -- destinations ----------------------------------------------------------------------------------


def _destination(options: Options, facts: Facts) -> str | Routing:
    """What `ToKafka` and `ToPubsub` are told of it."""
    template = resolved(options, facts)
    if template is None:
        return origin_of(options, facts)(options.kafka_topic or options.pubsub_topic)
    return Routing(template, origin_of(options, facts))


def _restores(options: Options) -> bool:
    return options.route.source == "archive"


def _to_pubsub(read: Any, options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    policy, destination = to_pubsub_policy(options, facts), _destination(options, facts)
    sink = PubsubSinkConfig(
        bridge, options.pubsub_topic, options.workers_pubsub, resolved(options, facts)
    )
    return (
        read
        | "ToPubsub" >> ToPubsub(bridge, policy, destination, _restores(options))
        | "WriteToPubSub" >> WriteToPubSub(sink)
    )


def _to_kafka(read: Any, options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    policy, destination = to_kafka_policy(options, facts), _destination(options, facts)
    layout = options.create_topics
    sink = KafkaSinkConfig(
        bridge=bridge,
        kafka=options.kafka,
        producer=ProducerConfig(
            linger_ms=options.linger_ms,
            delivery_timeout_s=options.delivery_timeout_s,
            buffer_bytes=options.max_in_flight_bytes // 8,
            max_message_bytes=facts.topic.max_message_bytes,
            metadata_interval_ms=int(options.metadata_interval_s * 1000),
        ),
        rules=facts.topic if options.template is None else None,
        create=(layout.partitions, layout.replication) if layout is not None else None,
    )
    return (
        read
        | "ToKafka" >> ToKafka(bridge, policy, destination, _restores(options))
        | "WriteToKafka" >> WriteToKafka(sink)
    )


def _to_archive(read: Any, options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    from transforms.archive.sink import WriteToArchive
    from transforms.archive.writer import ArchiveSinkConfig

    sink = ArchiveSinkConfig(
        bridge=bridge,
        url=options.archive,
        format=options.format,
        codec=options.compression,
        file_bytes=options.file_bytes,
        topic=facts.pubsub_topic.rpartition("/")[2],
        counted_as="delivered" if options.route.sinks == ("archive",) else "archived",
        schema_registry=options.schema_registry,
        schema_registry_login=options.schema_registry_login or None,
    )
    return read | "WriteToArchive" >> WriteToArchive(sink)


_WRITES = {"pubsub": _to_pubsub, "kafka": _to_kafka, "archive": _to_archive}
