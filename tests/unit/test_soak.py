"""The soak's figures: what grows is told, and what only goes up and down is not."""

from __future__ import annotations

import pytest

from benchmarks import soak_figures as figures
from benchmarks.soak_figures import ROUND_S, Ages, Sample

MB = 1_000_000
PART = ("t", 0)


def samples(*megabytes: float, every_s: float = 5.0) -> list[Sample]:
    return [Sample(n * every_s, int(mb * MB), 10, 20, 0.0) for n, mb in enumerate(megabytes)]


def sawtooth(rise: float, phase: float = 0.0, leak: float = 0.0) -> list[Sample]:
    """Half an hour at 200 MB, with rounds of which each adds `rise`, and in all `leak` more.

    Args:
      phase: where in a round it begins, 0 to 1.
    """
    return samples(
        *(200 + rise * ((t / ROUND_S + phase) % 1) + leak * t / 1800 for t in range(0, 1800, 5))
    )


def test_the_first_half_is_warm_up() -> None:
    taken = samples(*range(100, 200), *[200] * 101)
    assert figures.growth(figures.second_half(taken)) == pytest.approx(0)
    assert figures.memory("p", taken).met


@pytest.mark.parametrize("phase", [0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize(("leak", "met"), [(0, True), (6, True), (12, False)])
def test_a_leak_is_told_beside_what_a_round_keeps_until_its_end(phase, leak, met) -> None:
    taken = sawtooth(13, phase, leak)
    assert figures.memory("p", taken).met is met
    assert figures.growth(figures.second_half(taken)) == pytest.approx(leak / 2 / 209, abs=0.002)


def test_open_files_may_vary_and_must_not_creep_up() -> None:
    assert figures.steady("p", "files", [9, 5, 6, 5, 6, 5]).met
    assert not figures.steady("p", "files", [5, 5, 5, 6, 6, 7]).met


@pytest.mark.parametrize(("worst_s", "met"), [(9.9, True), (10.0, False)])
def test_commit_lag_is_judged_by_its_worst(worst_s, met) -> None:
    assert figures.commit_lag([1.0, worst_s, 2.0], 5.0).met is met
    assert not figures.commit_lag([], 5.0).met


def test_the_age_of_what_is_not_committed_is_never_too_low() -> None:
    ages = Ages([PART], 0.0)
    assert ages.look(1.0, {PART: 0}, {}, 1.1) == 0
    # written after 1.0
    assert ages.look(2.0, {PART: 10}, {}, 2.5) == pytest.approx(1.5)
    assert ages.look(3.0, {PART: 20}, {PART: 9}, 3.5) == pytest.approx(2.5)
    # offset 10 was written after 2.0
    assert ages.look(4.0, {PART: 20}, {PART: 10}, 4.5) == pytest.approx(2.5)
    assert ages.look(5.0, {PART: 20}, {PART: 20}, 5.5) == 0


def test_percentiles() -> None:
    assert [figures.percentile(range(100), p) for p in (0, 50, 99, 100)] == [0, 50, 99, 99]
    assert figures.percentile([], 50) == 0
