"""What is left of given ranges: exactly what is wanted, and an end for each partition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transforms.kafka import remaining
from transforms.kafka.remaining import Remaining
from transforms.ranges import Ranges

P, Q = ("t", 0), ("t", 1)


@given(
    wanted=st.sets(st.integers(0, 300), min_size=1),
    begin=st.integers(0, 300),
    holes=st.sets(st.integers(0, 300)),
    polls=st.lists(st.integers(1, 40), min_size=1),
)
def test_each_wanted_offset_is_taken_once_whatever_the_polls_bring(wanted, begin, holes, polls):
    """Holes: offsets without a record, which the position passes."""
    ranges = Ranges().with_numbers(wanted)
    left = Remaining({P: ranges, Q: Ranges()})
    at, taken, turn = begin, [], 0
    while left.partitions:
        done, far = left.advance({P: at})
        assert not far
        if done:
            break
        count = polls[turn % len(polls)]
        turn += 1
        taken += [n for n in range(at, at + count) if n not in holes and left.wants(P, n)]
        at += count
    assert taken == [n for n in sorted(wanted) if n >= begin and n not in holes]
    assert left.capped(P, at) == min(at, max(wanted) + 1)


def test_what_is_far_is_sought_and_what_is_near_is_read_through(monkeypatch):
    monkeypatch.setattr(remaining, "READ_THROUGH", 100)
    left = Remaining({P: Ranges(((0, 9), (50, 59), (1000, 1009)))})
    assert left.advance({P: 10}) == ([], {})
    assert left.advance({P: 60}) == ([], {P: 1000})
    assert left.count({P: 1000}, [P]) == 10
    assert left.advance({P: 1010}) == ([P], {})
