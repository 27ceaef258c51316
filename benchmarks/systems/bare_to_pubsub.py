"""The bare loop from Kafka to Pub/Sub."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import grpc
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from benchmarks.systems.bare import BATCH_S
from transforms.kafka.client import ConsumerConfig, KafkaConfig

_POLL = 500
_REQUEST_MESSAGES, _REQUEST_BYTES = 1_000, 2_000_000
_ATTRIBUTES_BYTES = 150
_REQUESTS = 8
_CALL_S = 60.0

_Message: Any = type(types.PubsubMessage.pb(types.PubsubMessage()))
_Request: Any = type(types.PublishRequest.pb(types.PublishRequest()))

Read = Callable[[], list[Any]]
"""Protobuf messages of what there is; waits a moment for it."""


def run(options: argparse.Namespace) -> None:
    """Reads, publishes, waits for all of it, commits; for ever."""
    channel = grpc.insecure_channel(
        options.pubsub,
        options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)],
    )
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    pool = ThreadPoolExecutor(_REQUESTS)

    def publish(messages: list[Any]) -> None:
        request = _Request(topic=options.pubsub_topic, messages=messages)
        publisher.publish(request=types.PublishRequest.wrap(request), timeout=_CALL_S)

    of_client = librdkafka if options.client == "librdkafka" else kafka_python
    read, commit = of_client(options)
    most_requests = max(_REQUESTS, options.max_in_flight_bytes // 4 // _REQUEST_BYTES)
    while True:
        under_way: set[Future[None]] = set()
        for batch in _batches(read):
            under_way.add(pool.submit(publish, batch))
            while len(under_way) > most_requests:
                done, under_way = wait(under_way, return_when="FIRST_COMPLETED")
                for future in done:
                    future.result()
        for future in under_way:
            future.result()
        commit()


def _batches(read: Read) -> Iterator[list[Any]]:
    """The requests of one commit."""
    ends_s = time.monotonic() + BATCH_S
    waiting: list[Any] = []
    size_bytes = 0
    while time.monotonic() < ends_s:
        for message in read():
            waiting.append(message)
            size_bytes += len(message.data) + _ATTRIBUTES_BYTES
            if len(waiting) == _REQUEST_MESSAGES or size_bytes >= _REQUEST_BYTES:
                yield waiting
                waiting, size_bytes = [], 0
    if waiting:
        yield waiting


def librdkafka(options: argparse.Namespace) -> tuple[Read, Callable[[], object]]:
    """On confluent-kafka: what reads, and what commits what was read."""
    import confluent_kafka

    from transforms.kafka.librdkafka import settings

    kafka = KafkaConfig(options.bootstrap_servers)
    config = ConsumerConfig(options.group_id, fetch_bytes=options.max_in_flight_bytes // 8)
    consumer = confluent_kafka.Consumer(
        settings.of_consumer(kafka, config)
        | {"auto.offset.reset": "earliest", "enable.auto.offset.store": True}
        | {"enable.partition.eof": False}
    )
    consumer.subscribe([options.kafka_topic])
    with_metadata = options.attributes != "none"

    def read() -> list[Any]:
        messages: list[Any] = []
        first = consumer.poll(0.1)
        if first is None:
            return messages
        # `consume` alone waits for as many as are asked for, more than are there of large ones.
        for record in (first, *consumer.consume(_POLL - 1, 0)):
            if record.error():
                raise confluent_kafka.KafkaException(record.error())
            if not with_metadata:
                messages.append(_Message(data=record.value()))
                continue
            attributes = {
                "kafka.topic": record.topic(),
                "kafka.partition": str(record.partition()),
                "kafka.offset": str(record.offset()),
                "kafka.timestamp": str(record.timestamp()[1]),
            }
            headers: Any = record.headers() or ()
            for name, value in headers:
                attributes[name] = value.decode()
            messages.append(_Message(data=record.value(), attributes=attributes))
        return messages

    def commit() -> None:
        try:
            consumer.commit(asynchronous=False)
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() != confluent_kafka.KafkaError._NO_OFFSET:
                raise

    return read, commit


def kafka_python(options: argparse.Namespace) -> tuple[Read, Callable[[], object]]:
    """On kafka-python: what reads, and what commits what was read."""
    from kafka import KafkaConsumer

    from transforms.kafka.client_rules import fetch_limits

    answer_bytes, share_bytes = fetch_limits(options.max_in_flight_bytes // 8)
    consumer = KafkaConsumer(
        options.kafka_topic,
        bootstrap_servers=options.bootstrap_servers,
        group_id=options.group_id,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_bytes=answer_bytes,
        max_partition_fetch_bytes=share_bytes,
        metrics_enabled=False,
    )
    with_metadata = options.attributes != "none"

    def read() -> list[Any]:
        messages = []
        for records in consumer.poll(100, _POLL).values():
            for record in records:
                if not with_metadata:
                    messages.append(_Message(data=record.value))
                    continue
                attributes = {
                    "kafka.topic": record.topic,
                    "kafka.partition": str(record.partition),
                    "kafka.offset": str(record.offset),
                    "kafka.timestamp": str(record.timestamp),
                }
                for name, value in record.headers:
                    attributes[name] = value.decode()
                messages.append(_Message(data=record.value, attributes=attributes))
        return messages

    return read, consumer.commit
