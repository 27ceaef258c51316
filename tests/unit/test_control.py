"""When a run stops, and how many messages it may take; the clock is passed in."""

from __future__ import annotations

import pytest

from transforms.control import Bounds, Control, Rounds


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_no_more_than_max_messages_are_ever_taken(clock):
    control = Control(Bounds(max_messages=10), clock)
    assert control.reserve(7) == 7
    assert control.reserve(7) == 3
    assert control.exhausted
    assert control.reserve(7) == 0
    control.refund(2)
    assert not control.exhausted
    assert control.reserve(7) == 2


def test_max_rate_holds_over_any_second(clock):
    control = Control(Bounds(max_rate=50), clock)
    taken = 0
    for _ in range(1_000):
        clock.now += 0.01
        taken += control.reserve(100)
    assert 490 <= taken <= 505


def test_a_rate_below_one_a_second_still_lets_messages_pass(clock):
    control = Control(Bounds(max_rate=0.5), clock)
    taken = 0
    for _ in range(100):
        clock.now += 0.1
        taken += control.reserve(100)
    assert taken in (4, 5)


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [(Bounds(max_seconds=5), "--max_seconds=5"), (Bounds(idle_seconds=5), "--idle_seconds=5")],
)
def test_a_time_bound_stops_the_run_and_says_which(clock, bounds, reason):
    control = Control(bounds, clock)
    clock.now += 4.75
    control.idled(4.75)
    assert not control.stopping
    clock.now += 0.25
    control.idled(0.25)
    assert control.stopping
    assert reason in control.stop_reason


def test_a_message_begins_the_idle_time_anew(clock):
    control = Control(Bounds(idle_seconds=5), clock)
    control.idled(4.9)
    control.busy()
    control.idled(4.9)
    assert not control.stopping


def test_time_in_which_the_destination_blocks_is_not_idle(clock):
    control = Control(Bounds(idle_seconds=5), clock)
    clock.now += 60
    assert not control.stopping


def test_a_round_lasts_its_least_time_and_ends_by_bundles_or_time(clock):
    control = Control(Bounds(), clock)
    assert not control.round_over
    control.begin_round(Rounds(min_seconds=60, max_seconds=600, bundles=2))
    for _ in range(5):
        control.bundle_done()
    clock.now += 59
    assert not control.round_over
    clock.now += 1
    assert control.round_over
    control.begin_round(Rounds(min_seconds=60, max_seconds=600, bundles=2))
    clock.now += 599
    assert not control.round_over
    clock.now += 1
    assert control.round_over
