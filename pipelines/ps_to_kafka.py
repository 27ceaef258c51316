"""Pub/Sub -> Kafka: `python -m pipelines.ps_to_kafka --help`."""

from __future__ import annotations

import sys
from typing import Any

from pipelines import runtime
from pipelines.options import PS_TO_KAFKA, Options, Runner
from pipelines.preflight import Facts
from transforms import origins
from transforms.convert import ToKafka
from transforms.kafka.client import ProducerConfig
from transforms.kafka.sink import KafkaSinkConfig, WriteToKafka
from transforms.mapping import Attributes, ToKafkaPolicy
from transforms.pubsub.session import PubsubSourceConfig
from transforms.pubsub.source import ReadFromPubSub
from transforms.registry import BridgeConfig


def policy(options: Options, facts: Facts) -> ToKafkaPolicy:
    """How messages are mapped."""
    return ToKafkaPolicy(
        topic=options.kafka_topic,
        attributes=Attributes(options.attributes),
        key=options.key.kind,
        key_attribute=options.key.name,
        partition=options.partition,
        origin=origins.of_pubsub(facts.pubsub_topic) if options.drops_returns else "",
    )


def destination(options: Options, facts: Facts) -> str:
    """The origin (see `transforms.origins`) whose messages are returns; empty lets all pass."""
    if not options.drops_returns:
        return ""
    return origins.of_kafka(facts.cluster_id, options.kafka_topic)


def build(pipeline: Any, options: Options, facts: Facts, bridge: BridgeConfig) -> Any:
    """Attaches the graph: read from Pub/Sub, map, write to Kafka."""
    source = PubsubSourceConfig(
        bridge=bridge,
        subscription=options.subscription,
        ack_deadline_s=facts.ack_deadline_s,
        max_lease_s=options.max_lease_s,
        pull=options.pull,
        shards=options.shards,
        service=options.workers_pubsub,
    )
    sink = KafkaSinkConfig(
        bridge=bridge,
        kafka=options.kafka,
        producer=ProducerConfig(
            linger_ms=options.linger_ms,
            delivery_timeout_s=options.delivery_timeout_s,
            buffer_bytes=options.max_in_flight_bytes // 4,
            max_message_bytes=facts.topic.max_message_bytes,
            metadata_interval_ms=int(options.metadata_interval_s * 1000),
        ),
        rules=facts.topic,
    )
    native = options.runner is Runner.DATAFLOW
    return (
        pipeline
        | "ReadFromPubSub" >> ReadFromPubSub(source, native)
        | "ToKafka" >> ToKafka(bridge, policy(options, facts), destination(options, facts))
        | "WriteToKafka" >> WriteToKafka(sink)
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return runtime.main(PS_TO_KAFKA, build, argv)


if __name__ == "__main__":
    sys.exit(main())
