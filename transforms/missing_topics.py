"""Topics that messages name and that cannot be written to, remembered for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from transforms.errors import RefusedError

AGAIN_AFTER_S = 30.0
"""A topic that is made later is written to after this, at the latest."""

_MOST = 10_000


class MissingTopics:
    """Keeps why each is refused, so that no message waits for the same answer; from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: dict[str, tuple[float, str, str]] = {}

    def add(self, topic: str, why: RefusedError) -> None:
        """A topic was found to be none that can be written to."""
        with self._lock:
            if len(self._found) >= _MOST:
                self._found.clear()
            self._found[topic] = self._clock() + AGAIN_AFTER_S, why.what, why.remedy

    def get(self, topic: str) -> RefusedError | None:
        """Why a topic is not worth another try yet; None if it is."""
        found = self._found.get(topic)
        if found is None:
            return None
        until_s, what, remedy = found
        if self._clock() < until_s:
            return RefusedError(what, remedy)
        with self._lock:
            self._found.pop(topic, None)
        return None
