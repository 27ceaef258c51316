"""Latency, start and growth: what their figures say, and the parts they are made with."""

from __future__ import annotations

import time

import pytest

from benchmarks import growth, latency, start, turns
from benchmarks.ends import PubsubInlet, PubsubOutlet
from benchmarks.feed import Feed, Reader
from benchmarks.relay import serving
from benchmarks.results import Row
from benchmarks.sampling import Sample
from benchmarks.stack import pointed_at
from benchmarks.turns import Case
from transforms.errors import TransferError


class Memory:
    """Both ends of a stream without anything between; each message comes twice, if told so."""

    def __init__(self, times: int = 1) -> None:
        self._times = times
        self._there: list[bytes] = []

    def send(self, payloads) -> None:
        self._there += list(payloads) * self._times

    def receive(self) -> tuple[float, list[bytes]]:
        there, self._there = self._there, []
        time.sleep(0.001)
        return time.monotonic(), there

    def close(self) -> None:
        """Nothing is open."""


def moved(ends: Memory, count: int, first: int = 0) -> Reader:
    feed = Feed(lambda: ends, 10_000, count, 100, 0.001)
    with Reader(lambda: ends, feed, count, first) as reader, feed:
        while feed.alive or reader.received < count:
            reader.check()
            feed.check()
    return reader


def test_a_feed_sends_each_number_once_and_its_reader_checks_them_off() -> None:
    reader = moved(Memory(), 300)
    assert (reader.distinct, reader.received, reader.duplicated) == (300, 300, 0)


def test_duplicates_are_told() -> None:
    reader = moved(Memory(2), 50)
    assert (reader.distinct, reader.duplicated) == (50, 50)


def test_delays_of_the_warm_up_are_not_kept() -> None:
    assert len(moved(Memory(), 100, first=40).take_delays_s()) == 60


def test_a_feed_that_fails_says_so() -> None:
    def refuse() -> Memory:
        raise TransferError("no")

    feed = Feed(refuse, 1, 1, 100)
    with feed:
        while feed.alive:
            pass
    with pytest.raises(TransferError, match="no"):
        feed.check()


def test_the_relay_hands_on_all_that_is_published_once_and_in_order() -> None:
    topic, subscription = "projects/p/topics/t", "projects/p/subscriptions/t"
    payloads = [b"%d" % n for n in range(2_500)]
    came: list[bytes] = []
    with serving() as port, pointed_at(f"127.0.0.1:{port}"):
        inlet, outlet = PubsubInlet(topic), PubsubOutlet(subscription)
        inlet.send(payloads[:1_500])
        inlet.send(payloads[1_500:])
        while len(came) < len(payloads):
            came += outlet.receive()[1]
        inlet.close()
        outlet.close()
    assert came == payloads


def test_the_figures_of_a_run_are_in_milliseconds() -> None:
    figures = latency.figures([n / 1_000 for n in range(1, 1_001)])
    assert figures == {"p50 ms": 501, "p99 ms": 991, "max ms": 1_000}


def test_rows_take_turns_and_one_that_fails_is_not_tried_again(tmp_path) -> None:
    order: list[str] = []

    def works(_folder) -> dict[str, float]:
        order.append("works")
        return {"msg/s": len(order)}

    def fails(_folder) -> dict[str, float]:
        order.append("fails")
        raise TransferError("lost")

    cases = [Case("a", "one", works), Case("a", "two", fails), Case("b", "one", works)]
    found: list[Row] = []
    turns.measure(cases, 2, order.append, found, lambda name, _: name == "a")
    one, two = found
    assert [text for text in order if "," not in text] == ["works", "fails", "works"]
    assert one.figures == {"msg/s": [1, 5]}
    assert (two.problem, two.figures) == ("lost", {})


def test_an_interrupt_leaves_what_was_measured() -> None:
    def interrupted(_folder) -> dict[str, float]:
        raise KeyboardInterrupt

    found: list[Row] = []
    cases = [Case("a", "one", lambda _: {"msg/s": 1.0}), Case("a", "two", interrupted)]
    with pytest.raises(KeyboardInterrupt):
        turns.measure(cases, 5, lambda _: None, found)
    assert found == [Row("a", "one", {"msg/s": [1.0]})]


def slower(from_done: int) -> list[Sample]:
    """A backlog of 1,000 at 100 messages a second, and at 50 from a point on."""
    done, at_s, found = 0, 0.0, []
    while done < 1_000:
        found.append(Sample(at_s, done, 0.0))
        done, at_s = done + 10, at_s + (0.1 if done < from_done else 0.2)
    return found


def test_a_rate_that_falls_with_what_is_left_is_told() -> None:
    assert growth.compared(slower(1_000), 1_000)["end / begin"] == pytest.approx(1)
    figures = growth.compared(slower(500), 1_000)
    assert figures["begin msg/s"] == pytest.approx(100)
    assert figures["end / begin"] == pytest.approx(0.5, rel=0.02)


def test_a_backlog_that_was_seen_once_has_no_rate() -> None:
    with pytest.raises(TransferError, match="use more messages"):
        growth.compared([Sample(0, 0, 0), Sample(1, 1_000, 0)], 1_000)


def test_every_row_has_a_name_of_its_own() -> None:
    class System:
        name = "one"

    names = [
        (case.name, case.system)
        for module in (growth, latency, start)
        for case in module.cases(None, "", [System()])
    ]
    assert len(set(names)) == len(names)
