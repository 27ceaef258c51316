"""Observing nights: when a night begins and ends, and the topics that are named after it. Pure.

A night is named by a date and changes at one hour, both of UTC; the clock is passed in, in seconds
since the epoch, and no local time zone has a say.

    change_hour <= 12   night D lasts from D at that hour to the next day at that hour
    change_hour > 12    night D begins the day before D at that hour, and ends on D
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta

Clock = Callable[[], float]
"""Seconds since the epoch."""

_DAY_S = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_BACK_S = 3_600

_DIRECTIVE = re.compile("%(.?)", re.DOTALL)
_DIGITS = {"Y": 4, "y": 2, "m": 2, "d": 2, "j": 3}
"""How many digits each directive of a date stands for."""


# -- nights --------------------------------------------------------------------------------------


def night_of(now_s: float, change_hour: int) -> date:
    """The night at a time."""
    return date.fromordinal(_EPOCH_DAY + int((now_s - _shift_s(change_hour)) // _DAY_S))


def begin_ms(night: date, change_hour: int) -> int:
    """When a night begins, in milliseconds since the epoch."""
    days = night.toordinal() - _EPOCH_DAY
    return (days * _DAY_S + _shift_s(change_hour)) * 1000


def end_ms(night: date, change_hour: int) -> int:
    """When it ends: the first millisecond of the next one."""
    return begin_ms(night, change_hour) + _DAY_S * 1000


def latest(tonight: date, days_back: int) -> list[date]:
    """So many nights before tonight, and tonight; the oldest first."""
    return [tonight - timedelta(days=back) for back in range(days_back, -1, -1)]


def night_value(text: str, now_s: float, change_hour: int) -> date:
    """`YYYY-MM-DD`, `today` for tonight, `yesterday`, or `-N` for N nights before tonight.

    Raises:
      ValueError: it is none of these.
    """
    tonight = night_of(now_s, change_hour)
    back = {"today": 0, "yesterday": 1}.get(text)
    if re.fullmatch("-[1-9][0-9]{0,4}", text):
        back = int(text[1:])
    if back is not None:
        return tonight - timedelta(days=back)
    try:
        if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a night; write YYYY-MM-DD, today, yesterday, or -N for N nights ago"
        ) from None


def _shift_s(change_hour: int) -> int:
    """From the night's midnight of UTC to its begin."""
    return (change_hour if change_hour <= 12 else change_hour - 24) * 3600


class SteadyClock:
    """A wall clock that stands still where its source goes back by up to an hour, so that a night
    that has begun does not end again. What is further back was wrong before, and is believed."""

    def __init__(self, source: Clock) -> None:
        self._source = source
        self._latest_s = source()

    def __call__(self) -> float:
        now_s = self._source()
        if not now_s <= self._latest_s <= now_s + _BACK_S:
            self._latest_s = now_s
        return self._latest_s


# -- names with a date in them -------------------------------------------------------------------


def is_template(text: str) -> bool:
    """Whether a text is meant as one: `%` is in no name of a topic."""
    return "%" in text


def check_template(text: str) -> None:
    """A template has the whole date of a night: `%Y` or `%y`, and `%m` and `%d`, or `%j`.

    Raises:
      ValueError: it has other directives, or names several nights alike.
    """
    found = set(_DIRECTIVE.findall(text))
    for directive in sorted(found - _DIGITS.keys() - {"%"}):
        raise ValueError(
            f"{text!r}: '%{directive}' is no part of a night's date; use %Y %y %m %d %j, %% for %"
        )
    if not (found & {"Y", "y"} and (found >= {"m", "d"} or "j" in found)):
        raise ValueError(
            f"{text!r} names several nights alike; give the whole date, such as %Y%m%d or %Y%j"
        )


def names(templates: Sequence[str], night: date) -> tuple[str, ...]:
    """The names of a night, in the order of the templates."""
    return tuple(night.strftime(template) for template in templates)


def date_of(templates: Sequence[str], name: str) -> date | None:
    """The night whose name this is by one of the templates: the inverse of `names`; of years with
    two digits those of this century. None for any other name."""
    for template in templates:
        night = _date_by(template, name)
        if night is not None and names([template], night) == (name,):
            return night
    return None


def _date_by(template: str, name: str) -> date | None:
    """The date that stands in a name where the template has it, if there is such a date."""
    match = re.fullmatch(_pattern(template), name, re.ASCII)
    if match is None:
        return None
    found = {directive: int(digits) for directive, digits in match.groupdict().items()}
    try:
        year = found["Y"] if "Y" in found else 2000 + found["y"]
        if "m" in found and "d" in found:
            return date(year, found["m"], found["d"])
        return date(year, 1, 1) + timedelta(days=found["j"] - 1)
    except (ValueError, OverflowError):
        return None


def _pattern(template: str) -> str:
    """A template as a regular expression; what stands in it twice is the same twice."""
    seen: set[str] = set()

    def one(part: re.Match[str]) -> str:
        directive = part[1]
        if directive == "%":
            return "%"
        if directive in seen:
            return f"(?P={directive})"
        seen.add(directive)
        return rf"(?P<{directive}>\d{{{_DIGITS[directive]}}})"

    literals = [re.escape(text) for text in _DIRECTIVE.split(template)[::2]]
    dates = [one(part) for part in _DIRECTIVE.finditer(template)]
    return "".join(a + b for a, b in zip(literals, [*dates, ""], strict=True))
