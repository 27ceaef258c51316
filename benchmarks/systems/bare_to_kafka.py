"""The bare loop from Pub/Sub to Kafka."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import grpc
from google.api_core.exceptions import DeadlineExceeded
from google.pubsub_v1 import types
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from benchmarks.systems.bare import BATCH_S
from transforms.kafka.client import KafkaConfig, ProducerConfig

_PULL_MESSAGES = 1_000
_ACK_IDS = 2_500
"""Of one request, which may have 512 KiB; an id has some 170 bytes."""
_BATCH_MESSAGES = 10_000
_PULL_S, _CALL_S = 10.0, 60.0
_MAX_MESSAGE_BYTES = 11_000_000
_POLL_EVERY = 100

Headers = list[tuple[str, str | bytes | None]]
Produce = Callable[[bytes, Headers, int], object]
"""Hands on value, headers, and milliseconds since the epoch."""


def run(options: argparse.Namespace) -> None:
    """Pulls one request ahead, produces, waits for all of it, acknowledges; for ever."""
    channel = grpc.insecure_channel(
        options.pubsub,
        options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)],
    )
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    name = options.subscription

    def pull() -> Any:
        request = types.PullRequest(subscription=name, max_messages=_PULL_MESSAGES)
        try:
            answer = subscriber.pull(request=request, retry=None, timeout=_PULL_S)
        except DeadlineExceeded:
            return []
        return types.PullResponse.pb(answer).received_messages

    of_client = librdkafka if options.client == "librdkafka" else kafka_python
    produce, flush = of_client(options)
    with_metadata = options.attributes != "none"
    puller = ThreadPoolExecutor(1)
    pulling = puller.submit(pull)
    while True:
        ack_ids: list[str] = []
        size_bytes = 0
        ends_s = time.monotonic() + BATCH_S
        while (
            len(ack_ids) < _BATCH_MESSAGES
            and size_bytes < options.max_in_flight_bytes // 2
            and (left_s := ends_s - time.monotonic()) > 0
        ):
            if not wait([pulling], left_s).done:
                break
            received = pulling.result()
            pulling = puller.submit(pull)
            for item in received:
                message = item.message
                data, published = message.data, message.publish_time
                published_ms = published.seconds * 1000 + published.nanos // 1_000_000
                headers: Headers = []
                if with_metadata:
                    headers = [(key, value.encode()) for key, value in message.attributes.items()]
                    headers.append(("pubsub.messageId", message.message_id.encode()))
                    headers.append(("pubsub.publishTime", str(published_ms).encode()))
                produce(data, headers, published_ms)
                size_bytes += len(data)
                ack_ids.append(item.ack_id)
        flush()
        for start in range(0, len(ack_ids), _ACK_IDS):
            ids = ack_ids[start : start + _ACK_IDS]
            subscriber.acknowledge(subscription=name, ack_ids=ids, timeout=_CALL_S)


def librdkafka(options: argparse.Namespace) -> tuple[Produce, Callable[[], None]]:
    """On confluent-kafka: what produces, and what waits until all of it is confirmed."""
    import confluent_kafka

    from transforms.kafka.librdkafka import settings

    config = ProducerConfig(
        max_message_bytes=_MAX_MESSAGE_BYTES, buffer_bytes=options.max_in_flight_bytes // 8
    )
    producer = confluent_kafka.Producer(
        settings.of_producer(KafkaConfig(options.bootstrap_servers), config)
    )
    topic = options.kafka_topic
    failures: list[Any] = []
    until_poll = _POLL_EVERY

    def on_failed(error: Any, _: Any) -> None:
        failures.append(error)

    def produce(value: bytes, headers: Headers, timestamp_ms: int) -> None:
        nonlocal until_poll
        while True:
            try:
                producer.produce(
                    topic, value, headers=headers, timestamp=timestamp_ms, on_delivery=on_failed
                )
                break
            except BufferError:
                producer.poll(0.1)
        until_poll -= 1
        if not until_poll:
            until_poll = _POLL_EVERY
            producer.poll(0)

    def flush() -> None:
        if producer.flush(_CALL_S) or failures:
            raise SystemExit(f"not confirmed: {failures[:1]}")

    return produce, flush


def kafka_python(options: argparse.Namespace) -> tuple[Produce, Callable[[], None]]:
    """On kafka-python: what produces, and what waits until all of it is confirmed."""
    from kafka import KafkaProducer

    producer = KafkaProducer(
        bootstrap_servers=options.bootstrap_servers,
        batch_size=262_144,
        linger_ms=5,
        max_in_flight_requests_per_connection=1,
        max_request_size=_MAX_MESSAGE_BYTES,
        metrics_enabled=False,
    )
    topic = options.kafka_topic
    futures: list[Any] = []

    def produce(value: bytes, headers: Headers, timestamp_ms: int) -> None:
        futures.append(producer.send(topic, value, headers=headers, timestamp_ms=timestamp_ms))

    def flush() -> None:
        producer.flush(_CALL_S)
        for future in futures:
            future.get(0)
        futures.clear()

    return produce, flush
