"""What both pipelines' checks share: what they find, their deadlines, and reaching the brokers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from transforms.errors import PreflightError
from transforms.kafka import clients as kafka
from transforms.kafka.client import Admin, KafkaConfig, Offsets, Partition, TopicInfo
from transforms.limits import KAFKA_DEFAULT_MAX_MESSAGE_BYTES

CALL_S = 4.0
"""Deadline of one call to a service."""

CHECKS_S = 5.5
"""Deadline of all checks together; with the start and end of Python and Beam below 10 s."""

ACTION_S = 20.0
"""Deadline of one thing done after the checks; a new topic waits for its partitions' leaders."""

Say = Callable[[str], None]


_UNKNOWN_TOPIC = TopicInfo("", 0, KAFKA_DEFAULT_MAX_MESSAGE_BYTES)


@dataclass(frozen=True)
class Facts:
    """What a pipeline starts from; each side fills in what it has found.

    Attributes:
      partitions: those that kafka_to_ps would read now.
      start: where those without a committed offset begin; the rest begin at their first offset.
      ack_deadline_s: of the subscription that ps_to_kafka reads.
      topic: the Kafka topic that ps_to_kafka writes.
      cluster_id: the Kafka cluster's own name for itself.
      pubsub_topic: `projects/P/topics/T` of the subscription that ps_to_kafka reads.
    """

    partitions: tuple[Partition, ...] = ()
    start: Offsets = field(default_factory=dict)
    ack_deadline_s: int = 10
    topic: TopicInfo = _UNKNOWN_TOPIC
    cluster_id: str = ""
    pubsub_topic: str = ""


def open_kafka(cluster: KafkaConfig) -> Admin:
    """Says at once what a client would say only at its time-out: that nobody listens there."""
    servers = cluster.bootstrap_servers.split(",")
    problems = []
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CALL_S / len(servers)).close()
            return kafka.open_admin(cluster, CALL_S)
        except OSError as error:
            problems.append(f"{server} ({_why(error)})")
    raise PreflightError(
        f"connect to Kafka: nobody listens at {', '.join(problems)}; check --bootstrap_servers "
        "and the network"
    )


def _why(error: OSError) -> str:
    return "no such host" if isinstance(error, socket.gaierror) else error.strerror or str(error)
