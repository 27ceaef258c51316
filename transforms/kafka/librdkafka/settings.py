"""What librdkafka is told: the user's properties between what they may change and what not."""

from __future__ import annotations

from typing import Any

from transforms.kafka import config as properties
from transforms.kafka.client import ConsumerConfig, KafkaConfig, ProducerConfig
from transforms.kafka.client_rules import (
    ASSIGNOR,
    FETCH_MAX_WAIT_MS,
    HEARTBEAT_INTERVAL_MS,
    SESSION_TIMEOUT_MS,
    fetch_limits,
)
from transforms.kafka.librdkafka import login
from transforms.kafka.login import login as login_of
from transforms.kafka.property_table import Role

_NO_GROUP = "none"
"""librdkafka wants a name, and asks who coordinates such a group; it never joins it."""

_UNKNOWN_TOPIC_MS = 10_000
"""A topic that the brokers have not heard of for so long does not exist."""


def _connection(cluster: KafkaConfig, role: Role) -> dict[str, Any]:
    plain = properties.opened(cluster.properties, role, cluster.role)
    return {
        **properties.for_librdkafka(plain, role),
        **login.settings(login_of(plain)),
        "bootstrap.servers": cluster.bootstrap_servers,
        "log.connection.close": False,
        "allow.auto.create.topics": False,
    }


def of_consumer(cluster: KafkaConfig, config: ConsumerConfig) -> dict[str, Any]:
    """All settings of a consumer but its callbacks."""
    answer_bytes, share_bytes = fetch_limits(config.fetch_bytes)
    return {
        "socket.timeout.ms": int(config.request_timeout_s * 1000),
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": HEARTBEAT_INTERVAL_MS,
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": FETCH_MAX_WAIT_MS,
        "check.crcs": True,
        **_connection(cluster, "consumer"),
        "fetch.max.bytes": answer_bytes,
        "max.partition.fetch.bytes": share_bytes,
        "receive.message.max.bytes": max(100_000_000, answer_bytes + 1_000_000),
        "queued.max.messages.kbytes": answer_bytes // 1024,
        "fetch.queue.backoff.ms": 10,
        "group.id": config.group_id or _NO_GROUP,
        **({"group.instance.id": config.instance_id} if config.instance_id else {}),
        "max.poll.interval.ms": config.max_poll_interval_ms,
        "topic.metadata.refresh.interval.ms": config.metadata_interval_ms,
        "partition.assignment.strategy": ASSIGNOR,
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
    }


def of_producer(cluster: KafkaConfig, config: ProducerConfig) -> dict[str, Any]:
    """All settings of a producer but its callbacks."""
    max_bytes = config.max_message_bytes
    timeout_ms = config.delivery_timeout_s * 1000
    return {
        "batch.size": min(1_000_000, max_bytes),
        **_connection(cluster, "producer"),
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": config.compression,
        "linger.ms": config.linger_ms,
        "message.timeout.ms": max(1, int(timeout_ms)),
        "topic.metadata.refresh.interval.ms": config.metadata_interval_ms,
        "topic.metadata.propagation.max.ms": min(_UNKNOWN_TOPIC_MS, int(timeout_ms / 2)),
        "message.max.bytes": max(1000, max_bytes),
        "queue.buffering.max.kbytes": max(config.buffer_bytes, max_bytes) // 1024 + 1,
        "delivery.report.only.error": True,
    }
