"""Times as people and programs write them: RFC 3339, in UTC. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)


def rfc3339(ms: int, to: str = "milliseconds") -> str:
    """A time as flags take it; one that no calendar has stays a number: `12345 ms`.

    Args:
      ms: milliseconds since the epoch.
      to: `milliseconds` or `seconds`; the rest is cut off.
    """
    return in_calendar(ms, to) or f"{ms} ms"


def in_calendar(ms: int, to: str = "milliseconds") -> str | None:
    """The same; None outside of the years 1 to 9999."""
    try:
        return f"{(_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec=to)}Z"
    except OverflowError:
        return None
