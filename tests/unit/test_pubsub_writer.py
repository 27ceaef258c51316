"""Publishing: batches within the service's limits, order per key, and what a refusal does."""

from __future__ import annotations

import threading
import time

import pytest
from google.pubsub_v1 import types
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import limits
from transforms.destinations import parse
from transforms.errors import DeliveryError, RefusedError, TopicError
from transforms.missing_topics import AGAIN_AFTER_S
from transforms.pubsub.client import wire
from transforms.pubsub.writer import PubsubSinkConfig, PubsubWriter, _started_pool
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig

TOPIC = "projects/p/topics/t"


class ScriptedPublisher:
    """Keeps each request; refuses requests that hold a message called `poison`."""

    def __init__(self) -> None:
        self.requests: list[list] = []
        self.topics: list[str] = []
        self.absent: set[str] = set()
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def publish(self, messages, topic=""):
        assert self.gate.wait(10)
        messages = types.PublishRequest.pb(
            types.PublishRequest.deserialize(wire.request(topic, messages))
        ).messages
        if self.error is not None:
            raise self.error
        if any(message.data == b"poison" for message in messages):
            raise RefusedError(f"publish {TOPIC}: invalid")
        if topic in self.absent:
            raise TopicError(f"publish {topic}: it does not exist; create it")
        with self.lock:
            self.requests.append(messages)
            self.topics.append(topic)

    @property
    def published(self) -> list[bytes]:
        return [message.data for request in self.requests for message in request]

    def close(self):
        pass


@pytest.fixture
def publisher():
    return ScriptedPublisher()


def writer_for(publisher, **settings) -> PubsubWriter:
    bridge = BridgeConfig("test", **{"linger_ms": 2, "delivery_timeout_s": 10} | settings)
    return PubsubWriter(PubsubSinkConfig(bridge, TOPIC), Bridge(bridge), publisher)


@pytest.fixture
def writer(publisher):
    opened = writer_for(publisher)
    yield opened
    opened.close()


def test_where_threads_cannot_be_had_none_is_left_waiting(monkeypatch):
    start, started = threading.Thread.start, []

    def start_three(thread):
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_three)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        _started_pool()
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from([0, 10, 900_000, 9_999_000])),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 40),
    st.sampled_from([1_000_000, 100_000_000]),
)
def test_every_request_is_within_the_limits_of_one_key_and_in_order(
    messages, together, max_in_flight_bytes
):
    publisher = ScriptedPublisher()
    writer = writer_for(publisher, max_in_flight_bytes=max_in_flight_bytes)
    records = [
        PubsubRecord(bytes(size), {"n": str(number)}, key)
        for number, (key, size) in enumerate(messages)
    ]
    for start in range(0, len(records), together):
        writer.write(records[start : start + together])
    writer.flush(10)
    writer.close()
    order: dict[str, list[int]] = {}
    for request in publisher.requests:
        assert len(request) <= limits.PUBSUB_MAX_REQUEST_MESSAGES
        size_bytes = sum(message.ByteSize() for message in request) + len(TOPIC)
        assert size_bytes <= limits.PUBSUB_MAX_REQUEST_BYTES
        assert len({message.ordering_key for message in request}) == 1
        for message in request:
            order.setdefault(message.ordering_key, []).append(int(message.attributes["n"]))
    assert sum(len(numbers) for numbers in order.values()) == len(messages)
    assert all(sorted(order[key]) == order[key] for key in order if key)


def test_no_request_holds_more_than_1000_messages(writer, publisher):
    publisher.gate.clear()
    for number in range(2_500):
        writer.write([PubsubRecord(b"x", {"n": str(number)}, "one")])
    publisher.gate.set()
    writer.flush(10)
    assert max(len(request) for request in publisher.requests) == 1_000
    assert len(publisher.published) == 2_500


def test_a_partial_batch_leaves_after_the_linger_while_nothing_else_happens(writer, publisher):
    sent = threading.Event()
    publish = publisher.publish
    publisher.publish = lambda *request: (publish(*request), sent.set())
    writer.write([PubsubRecord(b"x")])
    assert sent.wait(10)


@pytest.mark.parametrize("key", ["", "one"])
def test_a_refused_request_is_bisected_until_the_culprit_stands_alone(writer, publisher, key):
    publisher.gate.clear()
    for number in range(20):
        data = b"poison" if number == 13 else b"%d" % number
        writer.write([PubsubRecord(data, message_id=f"id-{number}", ordering_key=key)])
    publisher.gate.set()
    with pytest.raises(RefusedError, match=r"projects/p/topics/t.*id-13"):
        writer.flush(10)
    assert not writer.clean
    assert set(publisher.published) == {b"%d" % n for n in range(13)}
    with pytest.raises(RefusedError):
        writer.flush(10)


@pytest.mark.parametrize("key", ["", "one"])
def test_a_refused_message_is_given_up_and_the_others_arrive_in_order(publisher, monkeypatch, key):
    settings = BridgeConfig("test", linger_ms=2)
    bridge = Bridge(settings)
    given = []
    monkeypatch.setattr(bridge, "give_up", lambda *letter: given.append(letter))
    writer = PubsubWriter(PubsubSinkConfig(settings, TOPIC), bridge, publisher)
    publisher.gate.clear()
    poison = {3, 4, 13}
    records = [KafkaRecord("t", 0, number) for number in range(20)]
    for number, record in enumerate(records):
        data = b"poison" if number in poison else b"%d" % number
        writer.write([PubsubRecord(data, ordering_key=key, made_from=record)])
    publisher.gate.set()
    writer.flush(10)
    assert publisher.published == [b"%d" % n for n in range(20) if n not in poison]
    assert [original for original, *_ in given] == [records[n] for n in sorted(poison)]
    for original, error, stage, attempts in given:
        assert f"t/0@{original.offset}" in str(error)
        assert (type(error), stage) == (RefusedError, "write")
        assert attempts > 3
    assert bridge.counts.totals()["delivered"] == 17
    assert writer.clean
    writer.close()


def test_a_failed_publish_fails_the_flush_and_the_next_write(writer, publisher):
    publisher.error = DeliveryError("publish t: no answer")
    writer.write([PubsubRecord(b"x")])
    with pytest.raises(DeliveryError, match="no answer"):
        writer.flush(10)
    with pytest.raises(DeliveryError, match="no answer"):
        writer.write([PubsubRecord(b"y")])


def test_a_flush_that_is_not_confirmed_in_time_says_how_many(writer, publisher):
    publisher.gate.clear()
    writer.write([PubsubRecord(b"x")])
    with pytest.raises(DeliveryError, match=r"1 messages not confirmed within 0\.05 s"):
        writer.flush(0.05)
    publisher.gate.set()
    writer.flush(10)
    assert writer.clean


@pytest.mark.parametrize("key", ["", "one"])
@pytest.mark.parametrize("together", [1, 10])
def test_writing_blocks_while_the_limit_is_in_flight(publisher, together, key):
    writer = writer_for(publisher, max_in_flight_bytes=4_000)
    publisher.gate.clear()
    records = [PubsubRecord(bytes(500), ordering_key=key) for _ in range(10)]

    def write():
        for start in range(0, 10, together):
            writer.write(records[start : start + together])

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    assert writer._in_flight <= 3
    publisher.gate.set()
    thread.join(10)
    writer.flush(10)
    assert len(publisher.published) == 10
    writer.close()


# -- each message to a topic of its own ------------------------------------------------------------

PREFIX = "projects/p/topics/"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def routed(publisher, monkeypatch, clock=time.monotonic) -> tuple[PubsubWriter, list]:
    """A writer to the topic that each record was read from, and what it gives up."""
    settings = BridgeConfig("test", linger_ms=2, delivery_timeout_s=10)
    bridge = Bridge(settings)
    given: list = []
    monkeypatch.setattr(bridge, "give_up", lambda *letter: given.append(letter))
    template = parse("pubsub", f"{PREFIX}{{kafka.topic}}")
    config = PubsubSinkConfig(settings, template.text, template=template)
    return PubsubWriter(config, bridge, publisher, clock), given


def from_topic(topic: str, number: int, key: str = "") -> PubsubRecord:
    return PubsubRecord(b"%d" % number, {}, key, made_from=KafkaRecord(topic, 0, number))


def test_a_request_has_messages_of_one_topic_and_a_key_keeps_its_order_in_each(
    publisher, monkeypatch
):
    writer, given = routed(publisher, monkeypatch)
    for start in range(0, 3_000, 10):
        numbers = [*range(start, start + 10, 2), *range(start + 1, start + 10, 2)]
        writer.write(
            [from_topic(["even", "odd"][n % 2], n, ["k", ""][n % 3 == 0]) for n in numbers]
        )
    writer.flush(10)
    writer.close()
    assert given == []
    order: dict = {}
    for topic, request in zip(publisher.topics, publisher.requests, strict=True):
        assert len({message.ordering_key for message in request}) == 1
        for message in request:
            assert topic == f"{PREFIX}{['even', 'odd'][int(message.data) % 2]}"
            order.setdefault((topic, message.ordering_key), []).append(int(message.data))
    assert sum(map(len, order.values())) == 3_000
    for topic in ("even", "odd"):
        numbers = order[f"{PREFIX}{topic}", "k"]
        assert sorted(numbers) == numbers


@pytest.mark.parametrize("key", ["", "k"])
def test_a_topic_that_is_not_there_is_tried_again_after_a_while_and_the_others_go_on(
    publisher, monkeypatch, key
):
    clock = Clock()
    writer, given = routed(publisher, monkeypatch, clock)
    publisher.absent = {f"{PREFIX}later"}
    for number in range(4):
        writer.write([from_topic(["there", "later"][number % 2], number, key)])
        writer.flush(10)
    assert sorted(publisher.published) == [b"0", b"2"]
    publisher.absent = set()
    clock.now_s += AGAIN_AFTER_S - 1
    writer.write([from_topic(["there", "later"][n % 2], n, key) for n in (4, 5, 6)])
    clock.now_s += 1
    writer.write([from_topic("later", 7, key)])
    writer.flush(10)
    assert sorted(publisher.published) == [b"0", b"2", b"4", b"6", b"7"]
    assert [(original.offset, stage) for original, _, stage, _ in given] == [
        (1, "write"),
        (3, "write"),
        (5, "write"),
    ]
    error = given[-1][1]
    assert type(error) is RefusedError
    assert f"{PREFIX}later: it does not exist (later/0@5" in str(error)
    assert str(error).endswith("set --dead_letter, or create it")
    assert writer.clean
    writer.close()


def test_the_topic_of_all_messages_that_is_not_there_ends_the_run(publisher):
    publisher.error = TopicError(f"publish {TOPIC}: it does not exist")
    writer = writer_for(publisher)
    writer.write([PubsubRecord(b"x")])
    with pytest.raises(TopicError, match="does not exist"):
        writer.flush(10)
    writer.close()


def test_a_failure_ends_the_bundle_although_messages_still_wait(publisher):
    publisher.gate.clear()
    publisher.error = DeliveryError("publish t: not confirmed")
    writer = writer_for(publisher, linger_ms=20)
    for _ in range(1_000):
        writer.write([PubsubRecord(b"x")])
    writer.write([PubsubRecord(b"waits")])
    publisher.gate.set()
    time.sleep(0.2)
    ended: list[str] = []

    def end() -> None:
        with pytest.raises(DeliveryError, match="not confirmed"):
            writer.flush(5)
        writer.close()
        ended.append("yes")

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(10)
    assert ended
