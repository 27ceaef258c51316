"""What a soak says of its samples: figures, criteria, verdicts. No processes, no clock."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from transforms.control import Rounds
from transforms.kafka.client import Partition

MAX_GROWTH = 0.02
"""Resident memory of the second half may grow by so much of itself."""

ROUND_S = Rounds().max_seconds
"""The longest round of the in-process runner; what a round keeps is freed at its end."""

MAX_LAG_INTERVALS = 2
"""A record waits for its commit for less than so many `--commit_interval_s`."""


class Sample(NamedTuple):
    """What the system says of a process.

    Attributes:
      at_s: seconds since the feed began.
      cpu_s: of all its threads since the process began.
    """

    at_s: float
    resident_bytes: int
    open_files: int
    threads: int
    cpu_s: float


class Verdict(NamedTuple):
    """One criterion, whether it is met, and the figures that say so."""

    criterion: str
    met: bool
    figures: str


def second_half(samples: Sequence[Sample]) -> list[Sample]:
    """Those after the middle of the time; the first half is warm-up."""
    middle = (samples[0].at_s + samples[-1].at_s) / 2
    return [sample for sample in samples if sample.at_s >= middle]


def growth(samples: Sequence[Sample]) -> float:
    """How much resident memory grows over these samples, as a share of what it is at first.

    Compares the means of their beginning and their end, each as many whole rounds as fit in a half:
    wherever in a round they begin, what it keeps until its end weighs the same in both. What
    remains is growth, and is scaled from the time between the two to that of all samples.
    """
    begin_s, end_s = samples[0].at_s, samples[-1].at_s
    half_s = (end_s - begin_s) / 2
    window_s = half_s // ROUND_S * ROUND_S or half_s
    first = statistics.fmean(s.resident_bytes for s in samples if s.at_s < begin_s + window_s)
    last = statistics.fmean(s.resident_bytes for s in samples if s.at_s > end_s - window_s)
    return (last - first) / first * 2 * half_s / (2 * half_s - window_s)


def last_thirds(values: Sequence[int]) -> tuple[int, int]:
    """The largest of the second and of the last third; the first one is warm-up."""
    third = len(values) // 3
    return max(values[third : 2 * third]), max(values[2 * third :])


def memory(name: str, samples: Sequence[Sample]) -> Verdict:
    """Resident memory of the second half."""
    half = second_half(samples)
    megabytes = [sample.resident_bytes / 1e6 for sample in half]
    share = growth(half)
    return Verdict(
        f"{name}: resident memory of the second half grows by less than {MAX_GROWTH:.0%}",
        share < MAX_GROWTH,
        f"{share:+.2%}; mean {statistics.fmean(megabytes):.1f}, "
        f"min {min(megabytes):.1f}, max {max(megabytes):.1f} MB",
    )


def steady(name: str, what: str, values: Sequence[int]) -> Verdict:
    """A count that may go up and down, and must not creep up."""
    before, after = last_thirds(values)
    return Verdict(
        f"{name}: {what} do not grow",
        after <= before,
        f"at most {before} in the second third, {after} in the last",
    )


def commit_lag(lags_s: Sequence[float], interval_s: float) -> Verdict:
    """Seconds that the oldest record without a commit has waited, over the whole run."""
    limit_s = MAX_LAG_INTERVALS * interval_s
    worst_s = max(lags_s, default=float("inf"))
    return Verdict(
        f"kafka_to_ps: commit lag stays below {limit_s:g} s",
        worst_s < limit_s,
        f"p50 {percentile(lags_s, 50):.1f}, p99 {percentile(lags_s, 99):.1f}, max {worst_s:.1f} s",
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not below `percent` of them; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


class Ages:
    """How old the oldest record without a commit is.

    When a record was written is not known, but the last time at which its partition still ended
    before it is; the age is counted from there: up to one look too high, never too low.

    Args:
      partitions: all of them, empty at `now_s`.
    """

    def __init__(self, partitions: Iterable[Partition], now_s: float) -> None:
        self._ends = {part: deque([(now_s, 0)]) for part in partitions}

    def look(
        self,
        asked_s: float,
        ends: Mapping[Partition, int],
        committed: Mapping[Partition, int],
        now_s: float,
    ) -> float:
        """Takes what was found, and returns the age in seconds; 0 where all is committed.

        Args:
          asked_s: before the ends were asked for.
          now_s: after the committed offsets were read.
        """
        oldest_s = 0.0
        for part, history in self._ends.items():
            history.append((asked_s, ends[part]))
            done = committed.get(part, 0)
            while len(history) > 1 and history[1][1] <= done:
                history.popleft()
            if done < ends[part]:
                oldest_s = max(oldest_s, now_s - history[0][0])
        return oldest_s
