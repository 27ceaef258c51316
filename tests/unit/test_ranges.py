"""Sets of numbers as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.ranges import Ranges

NUMBERS = st.sets(st.integers(0, 60))


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([0], "0"),
        ([1, 0], "0-1"),
        ([*range(100), 105], "0-99,105"),
        ([5, 7, 6, 9], "5-7,9"),
    ],
)
def test_the_text_is_short_and_in_order(numbers, text):
    assert str(Ranges().with_numbers(numbers)) == text


@given(NUMBERS, NUMBERS, st.integers(0, 60))
def test_it_is_a_set_of_numbers(before, added, number):
    ranges = Ranges().with_numbers(before).with_numbers(added)
    both = before | added
    assert {n for n in range(70) if n in ranges} == both
    assert ranges == Ranges().with_numbers(both)
    assert ranges.first_missing(number) == min(set(range(number, 130)) - both)
    assert ranges.beyond(number) == Ranges().with_numbers(n for n in both if n > number)


@given(NUMBERS)
def test_text_is_read_back_as_it_was(numbers):
    ranges = Ranges().with_numbers(numbers)
    assert Ranges.from_text(str(ranges)) == ranges


def test_spans_are_added_without_counting_through_them():
    ranges = Ranges().with_spans([(0, 10**12), (5, 7), (10**12 + 2, 10**12 + 2)])
    assert str(ranges) == "0-1000000000000,1000000000002"


@pytest.mark.parametrize("text", ["x", "1,", "-1", "1-", "1--2", " 1", "3-2", "1,,2", "²", "1\n"])
def test_what_is_no_such_text_is_refused(text):
    with pytest.raises(ValueError, match=r"not of the form|backwards"):
        Ranges.from_text(text)
