"""Every limit of limits.py at -1, 0 and +1 on the real servers: whose fact it is, who keeps it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import Any
from unittest import mock

import pytest
from ends import PubSub, until
from google.pubsub_v1 import types
from google.pubsub_v1.services.subscriber import SubscriberClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.protocol.admin import DescribeLogDirsRequest
from kafka_clients import DEADLINE_S, Clients

from transforms import limits, origins
from transforms.errors import PreflightError, RefusedError, UnmappableError
from transforms.kafka.client import KafkaConfig, ProducerConfig
from transforms.mapping import ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.metrics import Counts
from transforms.pubsub.client import Publisher, Subscriber, to_wire, wire
from transforms.pubsub.leases import Leases
from transforms.pubsub.writer import PubsubSinkConfig, PubsubWriter
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig

PUBSUB: dict[str, tuple[Any, type[Exception] | None]] = {
    "PUBSUB_MAX_REQUEST_BYTES": (10_000_000, None),
    "PUBSUB_MAX_REQUEST_MESSAGES": (1_000, RefusedError),
    "PUBSUB_MAX_MESSAGE_BYTES": (10_000_000, None),
    "PUBSUB_MAX_ATTRIBUTES": (100, None),
    "PUBSUB_MAX_ATTRIBUTE_NAME_BYTES": (256, None),
    "PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES": (1_024, None),
    "PUBSUB_MAX_ORDERING_KEY_BYTES": (1_024, None),
    "PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S": (1_000_000, None),
    "PUBSUB_RESERVED_ATTRIBUTE_PREFIX": ("goog", None),
    "PUBSUB_MAX_ACK_REQUEST_BYTES": (524_288, None),
    "PUBSUB_MAX_ACK_DEADLINE_S": (600, None),
}
"""What https://cloud.google.com/pubsub/quotas#resource_limits says, and how the emulator refuses
+1: None where it lets that pass, and nothing but a check of ours keeps the limit."""

NAMES = {
    "PUBSUB_MIN_NAME_CHARACTERS": 3,
    "PUBSUB_MAX_NAME_CHARACTERS": 255,
    "KAFKA_MAX_TOPIC_NAME_CHARACTERS": 249,
}
"""Checked where flags are: `tests/unit/test_options.py`, `tests/unit/test_destinations.py`."""

KAFKA = {
    "KAFKA_MAX_PARTITION": 2**31 - 1,
    "KAFKA_DEFAULT_MAX_MESSAGE_BYTES": 1_048_588,
    "KAFKA_DEFAULT_MAX_OFFSET_METADATA_BYTES": 4_096,
}

below_at_and_over = pytest.mark.parametrize("over", [-1, 0, 1])


def test_every_limit_stands_in_a_table_with_its_number():
    stated = {name: number for name, (number, _) in PUBSUB.items()} | KAFKA | NAMES
    assert stated == {name: value for name, value in vars(limits).items() if name.isupper()}


def near(name: str, over: int) -> Any:
    """A limit and -1, 0 or +1; a prefix without its end, not at the beginning, or as it is."""
    number, _ = PUBSUB[name]
    if isinstance(number, str):
        return {-1: number[:-1], 0: f"x{number}", 1: number}[over]
    return number + over


# -- Pub/Sub ---------------------------------------------------------------------------------------

POLICY = ToPubsubPolicy(ordering_key="key", cluster_id="cluster")
ORIGIN = {"kafka.topic": "t", "kafka.partition": "0", "kafka.offset": "0"}
ORIGIN |= {"bridge.origins": origins.of_kafka("cluster", "t")}
ORIGIN_BYTES = len("".join([*ORIGIN, *ORIGIN.values()]))


def record(value: bytes = b"v", key: bytes = b"", **headers: str) -> KafkaRecord:
    pairs = tuple((name, text.encode()) for name, text in headers.items())
    return KafkaRecord("t", 0, 0, key=key or None, value=value, headers=pairs)


def whole(record: KafkaRecord) -> PubsubRecord:
    """The message that a record would be if Pub/Sub had no limits."""
    attributes = ORIGIN | {name: value.decode() for name, value in record.headers}
    if record.key:
        attributes["key"] = record.key[:1024].decode()  # so that an ordering key alone is over
    return PubsubRecord(record.value, attributes, (record.key or b"").decode())


def text(size_bytes: int) -> str:
    """Half as many characters as bytes, to see which of them are counted."""
    return "é" * (size_bytes // 2) + "e" * (size_bytes % 2)


RECORDS: dict[str, Callable[[Any], KafkaRecord]] = {
    "PUBSUB_MAX_MESSAGE_BYTES": lambda n: record(bytes(n - ORIGIN_BYTES)),
    "PUBSUB_MAX_ATTRIBUTES": lambda n: record(**{f"h{i}": "" for i in range(n - len(ORIGIN))}),
    "PUBSUB_MAX_ATTRIBUTE_NAME_BYTES": lambda n: record(**{text(n): "v"}),
    "PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES": lambda n: record(header=text(n)),
    "PUBSUB_MAX_ORDERING_KEY_BYTES": lambda n: record(key=text(n).encode()),
    "PUBSUB_RESERVED_ATTRIBUTE_PREFIX": lambda name: record(**{name: "v"}),
}


@below_at_and_over
@pytest.mark.parametrize("name", RECORDS)
def test_the_mapping_refuses_what_is_over_a_limit_or_leaves_it_out_and_says_why(name, over):
    source, reasons = RECORDS[name](near(name, over)), []
    try:
        message = to_pubsub(source, POLICY, reasons)
    except UnmappableError as error:
        message, reasons = None, [str(error)]
    assert (message == whole(source)) is (over <= 0)
    assert [str(PUBSUB[name][0]) in reason for reason in reasons] == [True] * (over > 0)


def request_bytes(topic: str, messages: Sequence[PubsubRecord]) -> int:
    request = types.PublishRequest(
        topic=topic, messages=[types.PubsubMessage(data=message.data) for message in messages]
    )
    size: int = types.PublishRequest.pb(request).ByteSize()
    return size


def two_messages(size_bytes: int, topic: str) -> list[PubsubRecord]:
    """Two messages whose common request has exactly this size."""
    first, second = PubsubRecord(bytes(1_000_000)), PubsubRecord(bytes(8_000_000))
    both_bytes = request_bytes(topic, [first, second])
    return [first, PubsubRecord(bytes(8_000_000 + size_bytes - both_bytes))]


REQUESTS: dict[str, Callable[[int, str], list[PubsubRecord]]] = {
    "PUBSUB_MAX_REQUEST_BYTES": two_messages,
    "PUBSUB_MAX_REQUEST_MESSAGES": lambda n, _: [PubsubRecord(b"%d" % i) for i in range(n)],
}


def assert_received(pubsub: PubSub, subscription: str, sent: list[PubsubRecord]) -> None:
    received: list[PubsubRecord] = []
    until(
        lambda: received.extend(pubsub.pull(subscription, 5.0)) or len(received) >= len(sent),
        f"{len(sent)} messages from {subscription}",
    )
    for messages in (received, sent):
        messages.sort(key=lambda message: message.data)
    assert [m[:3] for m in received] == [m[:3] for m in sent]  # data, attributes, ordering key


def publish(pubsub: PubSub, unique: str, name: str, n: Any) -> None:
    """Publishes in one request, past all checks of ours."""
    topic, subscription = pubsub.create(unique)
    sent = [whole(RECORDS[name](n))] if name in RECORDS else REQUESTS[name](n, topic)
    with closing(Publisher(topic, DEADLINE_S)) as publisher:
        publisher.publish([to_wire(message) for message in sent])
    assert_received(pubsub, subscription, sent)


@below_at_and_over
@pytest.mark.parametrize("name", REQUESTS)
def test_the_writer_makes_two_requests_of_what_is_over_the_limit_of_one(pubsub, unique, name, over):
    topic, subscription = pubsub.create(unique)
    messages, bridge = REQUESTS[name](near(name, over), topic), BridgeConfig("b", linger_ms=60_000)
    publisher = mock.Mock(wraps=Publisher(topic, DEADLINE_S))
    writer = PubsubWriter(PubsubSinkConfig(bridge, topic), Bridge(bridge), publisher)
    for message in messages:
        writer.write([message])
    writer.flush(DEADLINE_S)
    writer.close()
    requests = [call.args[0] for call in publisher.publish.mock_calls]
    assert max(map(len, requests)) <= near("PUBSUB_MAX_REQUEST_MESSAGES", 0)
    assert max(len(wire.request(topic, r)) for r in requests) <= near("PUBSUB_MAX_REQUEST_BYTES", 0)
    assert len(requests) == 2 or over <= 0
    assert_received(pubsub, subscription, messages)


def ack_ids(subscription: str, request_bytes: int, below: int, *first: str) -> list[str]:
    """These and ids of no message, each `below` so many bytes, for one request of this size."""
    request = types.AcknowledgeRequest(subscription=subscription, ack_ids=first)
    left = request_bytes - len(types.AcknowledgeRequest.serialize(request))
    count = left // below + 1
    framed = [left // count + (number < left % count) for number in range(count)]
    return [*first, *(f"{subscription}:".ljust(size - 3, "0") for size in framed)]


def acknowledge(pubsub: PubSub, unique: str, _: str, n: int) -> None:
    """A nack in one request of n bytes brings a message back, and after an ack nothing does."""
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"first")])
    with closing(Subscriber(subscription)) as subscriber:
        first = subscriber.pull(10, DEADLINE_S)
        with mock.patch.object(limits, "PUBSUB_MAX_ACK_REQUEST_BYTES", 2 * n):  # so it is not cut
            nacked = ack_ids(subscription, n, 5_000, *first.ack_ids)
            subscriber.modify_ack_deadline(nacked, 0, DEADLINE_S)
            again = subscriber.pull(10, DEADLINE_S)
            assert again.records == first.records
            subscriber.acknowledge(ack_ids(subscription, n, 5_000, *again.ack_ids), DEADLINE_S)
        subscriber.modify_ack_deadline(again.ack_ids, 0, DEADLINE_S)
        pubsub.send(topic, [PubsubRecord(b"second")])
        assert [m.data for m in subscriber.pull(10, DEADLINE_S).records] == [b"second"]


@below_at_and_over
@pytest.mark.parametrize("id_bytes", [170, 500])
def test_ack_requests_are_within_the_limit(pubsub, unique, id_bytes, over):
    _, subscription = pubsub.create(unique)
    limit_bytes, send = near("PUBSUB_MAX_ACK_REQUEST_BYTES", 0), SubscriberClient.acknowledge
    ids = ack_ids(subscription, limit_bytes + over, id_bytes)
    seen = mock.patch.object(SubscriberClient, "acknowledge", autospec=True, side_effect=send)
    with seen as sent, closing(Subscriber(subscription)) as subscriber:
        subscriber.acknowledge(ids, DEADLINE_S)
    requests = [types.AcknowledgeRequest(call.kwargs["request"]) for call in sent.mock_calls]
    assert [ack_id for request in requests for ack_id in request.ack_ids] == ids
    assert max(map(len, map(types.AcknowledgeRequest.serialize, requests))) <= limit_bytes


def extend_lease(pubsub: PubSub, unique: str, _: str, n: int) -> None:
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"v")])
    with closing(Subscriber(subscription)) as subscriber:
        pulled = subscriber.pull(1, DEADLINE_S)
        subscriber.modify_ack_deadline(pulled.ack_ids, n, DEADLINE_S)


@below_at_and_over
def test_no_lease_is_longer_than_a_subscriptions_deadline_can_be(pubsub, unique, over):
    longest_s, n = near("PUBSUB_MAX_ACK_DEADLINE_S", 0), near("PUBSUB_MAX_ACK_DEADLINE_S", over)
    topic, subscription = pubsub.create(unique)
    with pytest.raises(PreflightError, match="out of bounds") if over > 0 else nullcontext():
        pubsub.admin.create_subscription(f"{subscription}-2", topic, n)
        assert pubsub.admin.subscription(f"{subscription}-2").ack_deadline_s == n
    leases = Leases(None, subscription, n, 3600, Counts(), clock=lambda: 0.0)
    leases.stop()
    assert leases.lease_s == min(n, longest_s)


def publish_under_one_key(pubsub: PubSub, unique: str, _: str, n: int) -> None:
    """All of a second's quota at once; `pipelines.preflight --sample` tells what passes it."""
    topic, subscription = pubsub.create(unique)
    sent = [PubsubRecord(bytes(n), ordering_key="k")]
    pubsub.send(topic, sent)
    assert_received(pubsub, subscription, sent)


ATTEMPTS: dict[str, Callable[[PubSub, str, str, Any], None]] = {
    **dict.fromkeys([*RECORDS, *REQUESTS], publish),
    "PUBSUB_MAX_ACK_REQUEST_BYTES": acknowledge,
    "PUBSUB_MAX_ACK_DEADLINE_S": extend_lease,
    "PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S": publish_under_one_key,
}


@below_at_and_over
@pytest.mark.parametrize("name", PUBSUB)
def test_the_emulator_enforces_what_the_table_says_and_nothing_else(pubsub, unique, name, over):
    _, refusal = PUBSUB[name]
    with pytest.raises(refusal) if refusal and over > 0 else nullcontext():
        ATTEMPTS[name](pubsub, unique, name, near(name, over))


# -- Kafka -----------------------------------------------------------------------------------------

FRAMING_BYTES = 61 + 11
"""Of a batch and its only record, without key: https://kafka.apache.org/documentation/#messageformat"""


@pytest.fixture(params=["librdkafka", "kafka-python"])
def clients(stack, request):
    with closing(Clients(KafkaConfig(stack.bootstrap_servers, request.param))) as opened:
        yield opened


def bytes_on_disk(clients: Clients, topic: str, partition: int = 0) -> list[int]:
    """The size of one partition, as the broker says it; nothing if there is no such partition."""
    [broker] = clients.raw_admin().describe_log_dirs({topic: [partition]})
    [folder] = broker["log_dirs"]
    return [found["partition_size"] for t in folder["topics"] for found in t["partitions"]]


@below_at_and_over
def test_the_protocol_has_no_partition_over_the_limit_and_none_wraps_around(clients, unique, over):
    number, topic = KAFKA["KAFKA_MAX_PARTITION"] + over, clients.topic(unique)
    message = PubsubRecord(b"v", {"kafka.partition": str(number)})
    policy = ToKafkaPolicy(topic, partition="source")
    if over > 0:
        with pytest.raises(UnmappableError, match="no partition's number"):
            to_kafka(message, policy)
        asked = DescribeLogDirsRequest.DescribableLogDirTopic(topic=topic, partitions=[number])
        with pytest.raises(struct.error):
            DescribeLogDirsRequest(version=1, topics=[asked]).encode()
        return
    assert bytes_on_disk(clients, topic, number) == []
    producer = clients.producer()
    producer.produce([to_kafka(message, policy)])
    assert [type(failure.error) for failure in producer.flush(DEADLINE_S)] == [RefusedError]
    assert bytes_on_disk(clients, topic) == [0]


def test_the_default_limit_is_the_brokers_and_our_clients_own(clients, unique):
    default, admin = KAFKA["KAFKA_DEFAULT_MAX_MESSAGE_BYTES"], clients.raw_admin()
    topic = ConfigResource(ConfigResourceType.TOPIC, clients.topic(unique), ["max.message.bytes"])
    configs = admin.describe_configs([topic], include_synonyms=True, config_filter="all")
    synonyms = configs["topic"][unique]["max.message.bytes"]["synonyms"]
    assert [s["value"] for s in synonyms if s["source"] == "DEFAULT_CONFIG"] == [str(default)]
    assert ProducerConfig().max_message_bytes == default


@below_at_and_over
@pytest.mark.parametrize("client_bytes", [11_000_000, KAFKA["KAFKA_DEFAULT_MAX_MESSAGE_BYTES"]])
def test_a_topic_admits_record_batches_up_to_its_limit(clients, unique, client_bytes, over):
    limit_bytes = KAFKA["KAFKA_DEFAULT_MAX_MESSAGE_BYTES"]
    topic = clients.topic(unique, max_message_bytes=str(limit_bytes))
    value = bytes(limit_bytes + over - FRAMING_BYTES)
    producer = clients.producer(max_message_bytes=client_bytes)
    producer.produce([KafkaRecord(topic, 0, timestamp_ms=7, value=value)])
    accepted = over <= 0
    refusals = [type(failure.error) for failure in producer.flush(DEADLINE_S)]
    assert refusals == [RefusedError] * (not accepted)
    assert bytes_on_disk(clients, topic) == [(limit_bytes + over) * accepted]
    assert [read.value for read in clients.read(topic, accepted)] == [value] * accepted


@below_at_and_over
def test_an_offset_carries_metadata_up_to_the_limit(clients, unique, over):
    topic, admin = clients.topic(unique), clients.admin()
    text = "x" * (KAFKA["KAFKA_DEFAULT_MAX_OFFSET_METADATA_BYTES"] + over)
    with pytest.raises(PreflightError, match="metadata") if over > 0 else nullcontext():
        admin.commit(unique, {(topic, 0): 0}, {(topic, 0): text})
    found = {part: commit.metadata for part, commit in admin.committed(unique).items()}
    assert found == ({} if over > 0 else {(topic, 0): text})
