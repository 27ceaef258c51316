"""Kafka -> Pub/Sub: `python -m pipelines.kafka_to_ps --help`."""

from __future__ import annotations

import sys
from typing import Any

from pipelines import runtime
from pipelines.options import KAFKA_TO_PS, Options
from pipelines.preflight import Facts
from transforms import origins
from transforms.convert import ToPubsub
from transforms.kafka.client import ConsumerConfig
from transforms.kafka.selection import KafkaSourceConfig
from transforms.kafka.source import ReadFromKafka
from transforms.mapping import Attributes, ToPubsubPolicy
from transforms.pubsub.sink import PubsubSinkConfig, WriteToPubSub
from transforms.registry import BridgeConfig

_POLL_MARGIN_S = 60
"""A bundle may keep its consumer from polling for delivery timeout + commit interval; and this."""


def policy(options: Options, facts: Facts) -> ToPubsubPolicy:
    """How records are mapped."""
    return ToPubsubPolicy(
        Attributes(options.attributes),
        options.ordering_key,
        cluster_id=facts.cluster_id if options.drops_returns else "",
    )


def destination(options: Options) -> str:
    """The origin (see `transforms.origins`) whose messages are returns; empty lets all pass."""
    return origins.of_pubsub(options.pubsub_topic) if options.drops_returns else ""


def build(pipeline: Any, options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    """Attaches the graph: read from Kafka, map, publish to Pub/Sub."""
    longest_bundle_s = options.delivery_timeout_s + options.commit_interval_s
    source = KafkaSourceConfig(
        bridge=bridge,
        kafka=options.kafka,
        consumer=ConsumerConfig(
            group_id=options.group_id,
            instance_id=options.instance_id,
            max_poll_interval_ms=int((longest_bundle_s + _POLL_MARGIN_S) * 1000),
            metadata_interval_ms=int(options.metadata_interval_s * 1000),
            fetch_bytes=options.max_in_flight_bytes // 8,
        ),
        topics=options.kafka_topics,
        start=facts.start,
        assignment=options.assignment,
        shards=options.shards,
        on_offset_gap=options.on_offset_gap,
    )
    sink = PubsubSinkConfig(bridge, options.pubsub_topic, options.workers_pubsub)
    return (
        pipeline
        | "ReadFromKafka" >> ReadFromKafka(source)
        | "ToPubsub" >> ToPubsub(bridge, policy(options, facts), destination(options))
        | "WriteToPubSub" >> WriteToPubSub(sink)
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return runtime.main(KAFKA_TO_PS, build, argv)


if __name__ == "__main__":
    sys.exit(main())
