"""What is said and done while a service does not answer."""

from __future__ import annotations

import logging

import pytest

from transforms.errors import CommitError, DeliveryError, UnavailableError
from transforms.health import COMMITS, DESTINATION, SOURCE, STALLED_S, Health, StallWatch
from transforms.metrics import Counts

GONE = UnavailableError("list topics: no answer")


class Fixture:
    def __init__(self, patience_s=300.0, monkeypatch=None) -> None:
        self.now = 0.0
        self.stopping = False
        self.counts = Counts()
        self.health = Health(patience_s, self.counts, lambda: self.stopping, lambda: self.now)
        if monkeypatch is not None:
            monkeypatch.setattr("transforms.health.time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_trouble_is_said_at_once_then_ever_more_rarely_and_its_end_once(caplog):
    caplog.set_level(logging.INFO, "transforms.health")
    f = Fixture()
    for tenth in range(1_200):
        f.now = tenth / 10
        f.health.failed(SOURCE, GONE)
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "degraded: list topics: no answer; given up in 300 s"
    assert len(said) == 8, "at 0, 1, 3, 7, 15, 31, 61, 91 s"
    assert f.counts.totals()["retries"] == 1_200
    f.now += 10
    for _ in range(3):
        f.health.answered(SOURCE)
    assert [r.getMessage() for r in caplog.records[8:]] == [
        "source: all is well again, after 130 s"
    ]


def test_a_service_that_fails_now_and_then_stays_in_trouble_until_it_is_calm():
    f = Fixture()
    f.health.failed(DESTINATION, GONE)
    f.now = 1.0
    f.health.answered(DESTINATION)
    assert f.health.in_trouble == (DESTINATION,)
    f.now = 3.0
    f.health.answered(DESTINATION)
    assert f.health.in_trouble == ()


def test_a_service_that_works_in_between_is_never_given_up():
    f = Fixture(patience_s=10)
    for second in range(60):
        f.now = float(second)
        f.health.failed(SOURCE, GONE)
        f.now += 0.5
        f.health.answered(SOURCE)
        f.health.check()
    assert f.health.in_trouble == (SOURCE,)


def test_degraded_seconds_are_those_in_which_anything_was_in_trouble():
    f = Fixture()
    f.health.failed(SOURCE, GONE)
    f.now = 5.0
    f.health.failed(COMMITS, CommitError("commit t/0: no answer"))
    f.now = 10.0
    f.health.answered(SOURCE)
    assert f.health.degraded_s == 10.0
    f.now = 12.0
    f.health.answered(COMMITS)
    f.now = 99.0
    assert f.health.degraded_s == 12.0


@pytest.mark.parametrize(("seconds", "over"), [(299.0, False), (300.0, True)])
def test_patience_with_attempts_that_fail_ends_with_the_cause_and_its_class(seconds, over):
    f = Fixture()
    f.health.check()
    f.health.failed(COMMITS, CommitError("commit t/0: not the coordinator"))
    f.now = seconds
    f.health.check()
    f.health.failed(COMMITS, CommitError("commit t/0: not the coordinator"))
    if not over:
        f.health.check()
        return
    with pytest.raises(CommitError, match=r"not the coordinator; so for 300 s \(--delivery_time"):
        f.health.check()


def test_insisting_asks_ever_more_rarely_until_there_is_an_answer(monkeypatch):
    f = Fixture(monkeypatch=monkeypatch)
    asked = []

    def ask() -> str:
        asked.append(f.now)
        if len(asked) < 8:
            raise GONE
        return "answer"

    assert f.health.insist(SOURCE, ask) == "answer"
    assert [round(at, 1) for at in asked] == [0, 0.2, 0.6, 1.4, 3.0, 6.2, 11.2, 16.2]


def test_insisting_ends_with_patience_and_with_a_stop(monkeypatch):
    f = Fixture(patience_s=10, monkeypatch=monkeypatch)

    def ask() -> None:
        raise GONE

    with pytest.raises(UnavailableError, match="no answer; so for"):
        f.health.insist(SOURCE, ask)
    f = Fixture(monkeypatch=monkeypatch)
    f.stopping = True
    with pytest.raises(UnavailableError, match=r"no answer$"):
        f.health.insist(SOURCE, ask)
    assert f.now == 0


def test_a_destination_that_confirms_nothing_is_in_trouble_until_it_does():
    f = Fixture()
    confirmed: list = [None]
    watch = StallWatch(
        f.health,
        DESTINATION,
        lambda: confirmed[-1],
        lambda seconds: DeliveryError(f"nothing for {seconds:g} s"),
        lambda: f.now,
    )

    def look(value, at):
        confirmed.append(value)
        f.now = at
        watch.look()
        return bool(f.health.in_trouble)

    assert not look([5], 1)
    assert not look([5], 1 + STALLED_S - 0.1)
    assert look([5], 1 + STALLED_S)
    assert look([5], 20)
    assert not look([6], 23)
    assert not look(None, 24)
    assert not look(None, 50), "nothing is in flight"
