"""How a run gets on, as one line of text made from the bridge's counts. No terminal, no threads."""

from __future__ import annotations

import datetime
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from pipelines.flags import End, Pipeline
from transforms.control import Clock
from transforms.metrics import SETTLED
from transforms.registry import Bridge

WINDOW_S = 5.0
"""A rate is taken over so long, or since the line before where that was longer ago."""


class _Sample(NamedTuple):
    at: float
    delivered: int
    payload_bytes: int


class Part(NamedTuple):
    """A piece of the line; where the line is too long, the highest `dispensable` goes first."""

    text: str
    dispensable: int = 0


class Meter:
    """Reads the counts of one bridge; the time begins when it is made.

    Args:
      name: of the pipeline.
      source: what it reads.
      finite: its source has an end, which it gets nearer to.
      files_only: it writes an archive alone, where much is delivered at once when files are closed.
      clock: seconds that only grow.
    """

    def __init__(
        self,
        bridge: Bridge,
        name: Pipeline,
        source: End,
        finite: bool = False,
        files_only: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self._bridge = bridge
        self._name = name
        self._source = source
        self._finite = finite
        self._files_only = files_only
        self._total: int | None = None
        self._clock = clock
        self._began = clock()
        self._stopped: float | None = None
        self._lag: int | None = None
        self._samples = deque([_Sample(self._began, 0, 0)])

    def stop(self) -> None:
        """The transfer is over: `seconds` stands still."""
        self._stopped = self._clock()

    @property
    def seconds(self) -> float:
        """Since the transfer began, until now or until it stopped."""
        return (self._clock() if self._stopped is None else self._stopped) - self._began

    def line(self, width: int | None = None) -> str:
        """Direction, state, rates over the last seconds, totals, what is left to do, time.

        Args:
          width: columns; what matters least is left out until the line fits, if it can.
        """
        control, totals = self._bridge.control, self._bridge.counts.totals()
        moved = totals["read" if self._files_only else "delivered"]
        rate, bytes_rate = self._rates(moved, totals["bytes"])
        trouble = ", ".join(self._bridge.health.in_trouble)
        state = "draining" if control.stop_reason else "running"
        if self._stopped is not None:
            state = "done" if self._is_done else "stopped"
        elif trouble:
            state = f"degraded ({trouble})"
        dead, returns = totals["dead_lettered"], totals["returns_dropped"]
        dropped = [Part(f"returns dropped {returns:,}", dispensable=1)] if returns else []
        for name in ("offsets_lost", "left_unread"):
            if totals[name]:
                dropped.append(Part(f"{name.replace('_', ' ')} {totals[name]:,}"))
        return fit(
            [
                Part(f"{self._name} {state}"),
                Part(f"{rate:,.0f} msg/s"),
                Part(f"{bytes_rate / 1e6:,.1f} MB/s", dispensable=2),
                Part(f"read {totals['read']:,}", dispensable=0 if self._files_only else 4),
                Part(f"{'in files' if self._files_only else 'delivered'} {totals['delivered']:,}"),
                *([Part(f"in files {archived:,}")] if (archived := totals["archived"]) else []),
                Part(self._left(totals), dispensable=1),
                *self._time_left(),
                Part(f"dead letters {dead:,}", dispensable=0 if dead else 5),
                *dropped,
                Part(str(datetime.timedelta(seconds=int(self.seconds))), dispensable=3),
            ],
            width,
        )

    def _rates(self, delivered: int, payload_bytes: int) -> tuple[float, float]:
        """Messages and bytes a second."""
        now = _Sample(self._clock(), delivered, payload_bytes)
        self._samples.append(now)
        while len(self._samples) > 2 and self._samples[1].at <= now.at - WINDOW_S:
            self._samples.popleft()
        then = self._samples[0]
        seconds = max(now.at - then.at, 0.001)
        return (
            (now.delivered - then.delivered) / seconds,
            (now.payload_bytes - then.payload_bytes) / seconds,
        )

    def _left(self, totals: dict[str, int]) -> str:
        """Kafka's lag; Pub/Sub tells no backlog, so there what is read and not yet confirmed."""
        if self._source == "pubsub":
            done = sum(totals[name] for name in (*SETTLED, "released"))
            return f"in flight {max(0, totals['read'] - done):,}"
        lag = self._bridge.lag() if self._stopped is None else None
        self._lag = self._lag if lag is None else lag
        if self._is_done:
            self._lag = 0
        what = "left" if self._finite else "lag"
        return f"{what} ?" if self._lag is None else f"{what} {self._lag:,}"

    @property
    def _is_done(self) -> bool:
        """Whether a finite run has ended by itself."""
        ended = self._stopped is not None and not self._bridge.control.stop_reason
        return self._finite and ended and self._bridge.failure is None

    def share(self) -> float | None:
        """How much of a finite source has been read, from 0 to 1; None where that is unknown."""
        if not self._finite or self._lag is None:
            return None
        self._total = max(self._lag, self._total or 0)
        return 1.0 - self._lag / self._total if self._total else 1.0

    def _time_left(self) -> list[Part]:
        share = self.share()
        if share is None:
            return []
        parts = [Part(f"{share:.0%}")]
        if 0 < share < 1 and self._stopped is None:
            left_s = int(self.seconds * (1 - share) / share)
            parts.append(Part(f"{datetime.timedelta(seconds=left_s)} left"))
        return parts


def fit(parts: Sequence[Part], width: int | None) -> str:
    """Joins the parts, without the most dispensable ones where they would pass `width`."""
    while True:
        line = "  ".join(part.text for part in parts)
        worst = max(part.dispensable for part in parts)
        if width is None or len(line) <= width or not worst:
            return line
        parts = [part for part in parts if part.dispensable < worst]
