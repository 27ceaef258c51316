"""Rules that both Kafka clients keep: time-outs, sizes, which topics are meant, what is logged."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Sequence

SESSION_TIMEOUT_MS = 10_000
"""A member that died is replaced after this."""

ASSIGNOR = "roundrobin"
"""How the members of a group share its partitions; both clients know it by this name."""

HEARTBEAT_INTERVAL_MS = SESSION_TIMEOUT_MS // 3

FETCH_MAX_WAIT_MS = 100
"""How long a broker holds an idle fetch. It answers one request of a connection at a time, so what
comes behind a fetch (metadata, offsets, the fetch after a seek) waits that long too."""

CLOSE_TIMEOUT_S = 10.0
"""Longest that closing a client takes; what does not end by then is left behind."""


def fetch_limits(fetch_bytes: int) -> tuple[int, int]:
    """The largest answer to a fetch, and one partition's share of it, in bytes.

    Half of what may be prefetched waits in the client, half is under way.
    """
    answer_bytes = max(1_000_000, fetch_bytes // 2)
    return answer_bytes, min(answer_bytes, 10_000_000)


def select_topics(
    topics: Sequence[str], known: Iterable[str], internal: Collection[str] = ()
) -> list[str]:
    """The known ones of a list of topics; or those that one `^regex` matches from the beginning of
    their names, sorted, without internal ones.
    """
    if topics and topics[0].startswith("^"):
        matches = re.compile(topics[0]).match
        return sorted(name for name in known if matches(name) and name not in internal)
    names = set(known)
    return [name for name in dict.fromkeys(topics) if name in names]


class Repeats:
    """Lets a line pass once in half a minute, and of all clients' lines one a second: they repeat
    theirs at every attempt to connect, and tell one lost connection in six lines.

    Lines that differ in numbers only are the same.
    """

    _AGAIN_AFTER_S = 30.0
    _APART_S = 1.0
    _MOST = 1000
    _last_passed_s = -_APART_S

    def __init__(self) -> None:
        self._passed_s: dict[str, float] = {}

    def let_pass(self, line: str) -> bool:
        line = re.sub(r"[0-9]+", "", line)
        now = time.monotonic()
        if now - self._passed_s.get(line, -self._AGAIN_AFTER_S) < self._AGAIN_AFTER_S:
            return False
        if now - Repeats._last_passed_s < self._APART_S:
            return False
        Repeats._last_passed_s = now
        if len(self._passed_s) > self._MOST:
            self._passed_s.clear()
        self._passed_s[line] = now
        return True
