"""The stream of sample alerts: it keeps its rate and its end, and waits when the bridge does."""

from __future__ import annotations

import threading
import time

import pytest

from pipelines import alerts, feed
from pipelines.feed import Feed
from transforms.errors import DeliveryError, PreflightError


@pytest.fixture(autouse=True)
def cheap_alerts(monkeypatch) -> None:
    monkeypatch.setattr(alerts, "alert", lambda number: b"%d" % number)


def wait_for(condition) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.002)


def test_alerts_come_in_order_until_the_limit() -> None:
    sent: list[bytes] = []
    with Feed(sent.append, lambda: len(sent), rate=1000, limit=1500) as stream:
        wait_for(lambda: stream.sent == 1500)
        stream._thread.join(10)
    assert sent == [b"%d" % number for number in range(1500)]


def test_it_keeps_its_rate() -> None:
    sent: list[bytes] = []
    began = time.monotonic()
    with Feed(sent.append, lambda: len(sent), rate=100):
        wait_for(lambda: len(sent) >= 50)
    assert time.monotonic() - began >= 0.45


def test_it_waits_for_a_bridge_that_stands_still_and_goes_on_with_it(monkeypatch) -> None:
    monkeypatch.setattr(feed, "MAX_AHEAD", 30)
    sent: list[bytes] = []
    carried = 0
    asked = threading.Semaphore(0)

    def ask() -> int:
        asked.release()
        return carried

    with Feed(sent.append, ask, rate=200):
        for _ in range(4):
            asked.acquire(timeout=10)
        assert len(sent) == 30
        carried = 25
        wait_for(lambda: len(sent) == 55)


def test_a_count_that_cannot_be_had_is_asked_for_again() -> None:
    sent: list[bytes] = []
    answers = iter([PreflightError("no coordinator yet")])

    def ask() -> int:
        for error in answers:
            raise error
        return len(sent)

    with Feed(sent.append, ask, rate=500):
        wait_for(lambda: len(sent) > 500)
    assert next(answers, None) is None, "the count was never asked for"
    assert len(sent) > 500


def test_a_failure_to_send_is_said_and_ends_the_stream(caplog) -> None:
    def refuse(_alert: bytes) -> None:
        raise DeliveryError("publish projects/p/topics/t: gone")

    with Feed(refuse, lambda: 0) as stream:
        stream._thread.join(10)
        assert not stream._thread.is_alive()
    assert "the stream of sample alerts ends: publish projects/p/topics/t: gone" in caplog.text
