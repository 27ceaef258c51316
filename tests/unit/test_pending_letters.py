"""Giving a message up: its letter is confirmed before anything is, or nothing is."""

from __future__ import annotations

import threading

import pytest

from transforms.errors import DeliveryError, RefusedError, UnmappableError
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig

POISON = UnmappableError("map t/0@1: too large")


class ScriptedSink:
    """Keeps what is written; fails while `down`."""

    def __init__(self) -> None:
        self.writes: list[list] = []
        self.down = False
        self.closed = False

    def write(self, letters, timeout_s):
        if self.down:
            raise DeliveryError("write dead letters: nobody answers")
        self.writes.append(list(letters))

    def close(self):
        self.closed = True


@pytest.fixture
def sink():
    return ScriptedSink()


@pytest.fixture
def bridge(sink):
    return Bridge(BridgeConfig("test", direction="ps_to_kafka", open_dead_letters=lambda: sink))


def record(offset: int, size: int = 1) -> KafkaRecord:
    return KafkaRecord("t", 0, offset, value=bytes(size))


def test_without_a_place_the_error_ends_the_run():
    bridge = Bridge(BridgeConfig("test"))
    with pytest.raises(UnmappableError):
        bridge.give_up(record(1), POISON, "map")
    assert bridge.failure is POISON
    bridge.flush_dead_letters(1)


def test_two_messages_of_one_name_are_two_letters_and_one_that_is_repeated_is_one(bridge, sink):
    made_anew = record(1, size=2)
    for original in (record(1), made_anew, record(1)):
        bridge.give_up(original, POISON, "map")
    bridge.flush_dead_letters(1)
    assert [letter.original for letter in sink.writes[0]] == [record(1), made_anew]


def test_a_letter_holds_the_original_and_its_context(bridge, sink):
    message = PubsubRecord(b"d", {"a": "1"}, "o", "55", 66)
    bridge.give_up(message, RefusedError("publish t: refused", "try later"), "write", attempts=3)
    assert (sink.writes, bridge.counts.totals()["dead_lettered"]) == ([], 0)
    bridge.flush_dead_letters(1)
    [[letter]] = sink.writes
    assert letter.original == message
    assert (letter.direction, letter.stage, letter.attempts) == ("ps_to_kafka", "write", 3)
    assert (letter.error_class, letter.error) == ("RefusedError", "publish t: refused; try later")
    assert bridge.counts.totals()["dead_lettered"] == 1
    bridge.flush_dead_letters(1)
    assert len(sink.writes) == 1


def test_while_the_place_is_down_no_flush_succeeds_and_no_letter_is_forgotten_or_doubled(
    bridge, sink
):
    sink.down = True
    bridge.give_up(record(1), POISON, "map")
    for _ in range(2):
        with pytest.raises(DeliveryError):
            bridge.flush_dead_letters(1)
        assert not bridge.flush_writers(1)
        bridge.give_up(record(1), POISON, "map")
    sink.down = False
    bridge.give_up(record(2), POISON, "map")
    assert bridge.flush_writers(1)
    assert [letter.original.offset for letter in sink.writes[0]] == [1, 2]
    assert bridge.counts.totals()["dead_lettered"] == 2


def test_a_flush_waits_no_longer_than_it_may_for_one_that_is_under_way(bridge, sink):
    may_write, write = threading.Event(), sink.write
    sink.write = lambda *args: may_write.wait(10) and write(*args)
    bridge.give_up(record(1), POISON, "map")
    other = threading.Thread(target=bridge.flush_dead_letters, args=(10,))
    other.start()
    with pytest.raises(DeliveryError, match=r"not confirmed within 0\.1 s"):
        bridge.flush_dead_letters(0.1)
    may_write.set()
    other.join(10)
    bridge.flush_dead_letters(1)
    assert [len(letters) for letters in sink.writes] == [1]


@pytest.mark.parametrize(("count", "size"), [(500, 1), (2, 10_000_000)])
def test_many_or_large_letters_do_not_wait_for_the_end_of_a_bundle(bridge, sink, count, size):
    for offset in range(count - 1):
        bridge.give_up(record(offset, size), POISON, "map")
    assert sink.writes == []
    bridge.give_up(record(count, size), POISON, "map")
    assert [len(letters) for letters in sink.writes] == [count]


def test_the_place_is_closed_with_the_bridge(bridge, sink):
    bridge.give_up(record(1), POISON, "map")
    bridge.flush_dead_letters(1)
    bridge.close()
    assert sink.closed
