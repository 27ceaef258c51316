"""How an audit gets on: a live line on a terminal, a log line every 10 s otherwise."""

from __future__ import annotations

import contextlib
import datetime
import logging
import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipelines import output
from pipelines.progress import Part, fit
from transforms.control import Clock

_log = logging.getLogger(__name__)


class Meter:
    """What was read of each side."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._began = self._part_began = clock()
        self._part = ""
        self.read: dict[str, int] = {}

    def begin(self, part: str) -> None:
        """From now on this is read."""
        self._part, self._part_began = part, self._clock()
        self.read[part] = 0

    def add(self, messages: int) -> None:
        self.read[self._part] += messages

    @property
    def seconds(self) -> float:
        return self._clock() - self._began

    def line(self, width: int | None = None) -> str:
        """What is read, how fast, how much of each, since when.

        Args:
          width: columns; the time is left out where there is no room for it.
        """
        if not self._part:
            return "audit checking"
        rate = self.read[self._part] / max(self._clock() - self._part_began, 0.001)
        parts = [f"audit reading {self._part}", f"{rate:,.0f} msg/s"]
        parts += [f"{part} {n:,}" for part, n in self.read.items()]
        seconds = str(datetime.timedelta(seconds=int(self.seconds)))
        return fit([*map(Part, parts), Part(seconds, dispensable=1)], width)


@contextlib.contextmanager
def shown(meter: Meter) -> Iterator[None]:
    """Shows it, while something is read."""
    if output.on_terminal():
        console = Console(stderr=True, highlight=False)
        with Live(console=console, auto_refresh=False, redirect_stdout=False, transient=True) as on:

            def show() -> None:
                text = Text(meter.line(console.width), no_wrap=True, overflow="ellipsis")
                on.update(text, refresh=True)

            with output.repeating(show, output.LIVE_PERIOD_S):
                yield
    else:

        def log() -> None:
            _log.info("%s", meter.line())

        with output.repeating(log, output.LOG_PERIOD_S):
            yield
