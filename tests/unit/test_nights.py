"""When nights begin and end, and which names are theirs; with clocks that are passed in."""

from __future__ import annotations

import os
import time
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms import nights

HOURS = st.integers(0, 23)
DATES = st.dates(date(2000, 1, 1), date(2099, 12, 31))


def at(text: str) -> float:
    """Seconds since the epoch of a time in UTC, or with a zone."""
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


@pytest.mark.parametrize(
    ("change_hour", "when", "night"),
    [
        (0, "2026-11-20T00:00:00", "2026-11-20"),
        (0, "2026-11-20T23:59:59.999", "2026-11-20"),
        (12, "2026-11-20T11:59:59.999", "2026-11-19"),
        (12, "2026-11-20T12:00:00", "2026-11-20"),
        (22, "2026-11-20T21:59:59.999", "2026-11-20"),
        (22, "2026-11-20T22:00:00", "2026-11-21"),
        (13, "2026-11-20T13:00:00", "2026-11-21"),
        (23, "2026-12-31T23:00:00", "2027-01-01"),
        (1, "2027-01-01T00:59:59.999", "2026-12-31"),
        (0, "2024-02-29T00:00:00", "2024-02-29"),
        (12, "2024-02-29T11:00:00", "2024-02-28"),
        (22, "2024-02-28T22:00:00", "2024-02-29"),
        (22, "2024-02-29T22:00:00", "2024-03-01"),
        (22, "2026-02-28T22:00:00", "2026-03-01"),
        # The hour that clocks of Europe and America are changed at, as they show it.
        (0, "2026-03-29T03:30:00+02:00", "2026-03-29"),
        (22, "2026-11-01T01:30:00-04:00", "2026-11-01"),
        (22, "2026-11-01T01:30:00-05:00", "2026-11-01"),
    ],
)
def test_a_night_changes_at_its_hour_of_utc(change_hour, when, night):
    assert str(nights.night_of(at(when), change_hour)) == night


@given(DATES, HOURS)
def test_nights_follow_each_other_without_a_gap_and_last_a_day(night, change_hour):
    begin_ms, end_ms = nights.begin_ms(night, change_hour), nights.end_ms(night, change_hour)
    assert end_ms - begin_ms == 86_400_000
    assert end_ms == nights.begin_ms(night + timedelta(days=1), change_hour)
    assert nights.night_of(begin_ms / 1000, change_hour) == night
    assert nights.night_of((end_ms - 1) / 1000, change_hour) == night
    assert nights.night_of(end_ms / 1000, change_hour) == night + timedelta(days=1)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati", "bad/zone"])
def test_the_local_time_zone_has_no_say(zone, monkeypatch):
    monkeypatch.setitem(os.environ, "TZ", zone)
    time.tzset()
    try:
        now_s = at("2026-03-29T00:30:00")
        night = nights.night_of(now_s, 22)
        assert night == date(2026, 3, 29)
        assert nights.begin_ms(night, 22) == 1000 * at("2026-03-28T22:00:00")
        assert nights.names(["ztf_%Y%m%d"], night) == ("ztf_20260329",)
        assert nights.night_value("yesterday", now_s, 22) == date(2026, 3, 28)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_window_passes_over_a_leap_day():
    found = nights.latest(date(2024, 3, 1), 2)
    assert [str(night) for night in found] == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert nights.latest(date(2024, 3, 1), 0) == [date(2024, 3, 1)]


@pytest.mark.parametrize(
    ("text", "night"),
    [
        ("2024-02-29", "2024-02-29"),
        ("today", "2026-11-21"),
        ("yesterday", "2026-11-20"),
        ("-1", "2026-11-20"),
        ("-21", "2026-10-31"),
        ("2023-02-29", None),
        ("20240229", None),
        ("-0", None),
        ("1", None),
        ("tonight", None),
        ("", None),
    ],
)
def test_a_night_is_a_date_or_so_many_before_tonight(text, night):
    now_s = at("2026-11-20T22:00:00")
    if night is None:
        with pytest.raises(ValueError, match="is not a night; write YYYY-MM-DD, today, yesterday"):
            nights.night_value(text, now_s, 22)
    else:
        assert str(nights.night_value(text, now_s, 22)) == night


@pytest.mark.parametrize(
    ("moves", "shown"),
    [
        ([0, 5, 3, 4, 6], [0, 5, 5, 5, 6]),
        ([10_000, 6_400, 6_399, 6_500], [10_000, 10_000, 6_399, 6_500]),
    ],
)
def test_a_clock_that_jumps_back_a_little_ends_no_night_that_has_begun(moves, shown):
    times = iter([moves[0], *moves])
    clock = nights.SteadyClock(lambda: next(times))
    assert [clock() for _ in moves] == shown


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["t_%Y%m%d", "t%y%j", "%d.%m.%Y", "%Y-%j-%y", "a%%b%Y%m%d%Y"])
@given(night=DATES)
def test_a_name_tells_its_night(template, night):
    nights.check_template(template)
    [name] = nights.names([template], night)
    assert nights.date_of(["other_%Y%m%d", template], name) == night


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("t_%Y%m%d", "t_20230229"),
        ("t_%Y%m%d", "t_20231301"),
        ("t_%Y%m%d", "t_2023022"),
        ("t_%Y%m%d", "t_20230228\n"),
        ("t_%Y%m%d", "t_٢٠٢٣٠٢٢٨"),
        ("t_%Y%m%d", "t.20230228"),
        ("t.%Y%m%d", "tx20230228"),
        ("t_%Y%j", "t_2023366"),
        ("t_%Y%j", "t_2023000"),
        ("t_%Y%m%d_%j", "t_20230228_060"),
        ("t_%Y%m%d_%d", "t_20230228_27"),
        ("t_%Y%m%d", "t_00000101"),
    ],
)
def test_any_other_name_has_no_night(template, name):
    assert nights.date_of([template], name) is None


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("t_%Y%m", "names several nights alike"),
        ("t_%m%d", "names several nights alike"),
        ("t_%j", "names several nights alike"),
        ("t_%%Y%m%d", "names several nights alike"),
        ("t_%Y%m%d_%H", "'%H' is no part"),
        ("t_%Y%m%d_%p", "'%p' is no part"),
        ("t_%Y%-m%d", "'%-' is no part"),
        ("t_%Y%m%d%", "'%' is no part"),
    ],
)
def test_a_template_has_one_whole_date_and_nothing_else_of_time(template, says):
    with pytest.raises(ValueError, match=says):
        nights.check_template(template)
