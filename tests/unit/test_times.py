"""Times in words: as flags take them, and whatever number stands for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import flag_values
from transforms.times import in_calendar, rfc3339

FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""Of the years 1 to 9999."""


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_795_219_199_999, "2026-11-20T23:59:59.999Z"),
        (LAST_MS, "9999-12-31T23:59:59.999Z"),
        (LAST_MS + 1, f"{LAST_MS + 1} ms"),
        (FIRST_MS, "0001-01-01T00:00:00.000Z"),
        (FIRST_MS - 1, f"{FIRST_MS - 1} ms"),
        (2**63, f"{2**63} ms"),
        (-(2**63), f"{-(2**63)} ms"),
    ],
)
def test_a_time_has_its_words_and_another_number_stays_one(ms, text):
    assert rfc3339(ms) == text
    assert in_calendar(ms) == (None if text.endswith(" ms") else text)


def test_seconds_are_rounded_down():
    assert rfc3339(1_999, to="seconds") == "1970-01-01T00:00:01Z"
    assert rfc3339(-1, to="seconds") == "1969-12-31T23:59:59Z"


@given(st.integers(0, LAST_MS))
def test_flags_take_what_is_shown(ms):
    assert flag_values.timestamp_ms(rfc3339(ms)) == ms
