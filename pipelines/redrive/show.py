"""What a person sees of a redrive: a table on standard output, a last line; and the report."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.printable import one_line
from pipelines.redrive.loop import Tally
from transforms.dead_letter import DeadLetter
from transforms.times import rfc3339

MOST_ROWS = 100

_PLAIN_WIDTH = 100_000
_COLUMNS = ("given up at", "class", "stage", "from", "bytes", "reason")


class Listing:
    """Letters as a table: the first 100, how many more, and totals by class. Never a payload."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []
        self._totals: Counter[str] = Counter()

    def add(self, letter: DeadLetter) -> None:
        """Takes a letter; keeps its row only."""
        self._totals[letter.error_class] += 1
        if len(self._rows) < MOST_ROWS:
            self._rows.append(_row(letter))

    def print(self, title: str, file: TextIO | None = None) -> None:
        """Prints it, if there is something: on a terminal as wide as that, else a line a letter."""
        file = file or sys.stdout
        if not self._rows:
            return
        lines = [Text(f"{title}:"), _table(self._rows, file.isatty())]
        if more := self._totals.total() - len(self._rows):
            lines.append(Text(f"and {more:,} more"))
        lines += [Text(f"{one_line(name)} {n:,}") for name, n in self._totals.most_common()]
        if file.isatty():
            console = Console(file=file, highlight=False)
        else:
            console = Console(file=file, width=_PLAIN_WIDTH, color_system=None, highlight=False)
        with console.capture() as text:
            for line in lines:
                console.print(line)
        file.writelines(f"{line.rstrip()}\n" for line in text.get().splitlines())
        file.flush()


def _row(letter: DeadLetter) -> tuple[str, ...]:
    name = letter.original.name
    cells = (
        rfc3339(letter.failed_at_ms, to="seconds"),
        letter.error_class,
        letter.stage,
        name,
        f"{letter.original.payload_bytes:,}",
        letter.error.removeprefix(f"map {name}: "),  # other columns say it
    )
    return tuple(map(one_line, cells))


def _table(rows: list[tuple[str, ...]], on_terminal: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in _COLUMNS:
        table.add_column(
            name,
            justify="right" if name == "bytes" else "left",
            no_wrap=name not in ("from", "reason") or not on_terminal,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def last_line(tally: Tally, dropped: int, dry_run: bool, why: str, seconds: float) -> str:
    """What became of the letters.

    Args:
      dropped: fields that were left out by the mapping.
      why: why the run ended, and what that means.
    """
    verb, sent = ("would send", tally.would_send) if dry_run else ("sent", tally.sent)
    figures = {
        "still failing": tally.failed.total(),
        "left": tally.left,
        "copies": tally.copies,
        "fields dropped": dropped,
    }
    said = [f"found {tally.found:,}", f"{verb} {sent:,}"]
    said += [f"{name} {number:,}" for name, number in figures.items() if number]
    return f"redrive: {', '.join(said)}; {why}; {seconds:,.1f} s"


def report(tally: Tally, dropped: int, seconds: float, error: str) -> dict[str, Any]:
    """The content of `--report`."""
    content: dict[str, Any] = {
        "found": tally.found,
        "sent": tally.sent,
        "would_send": tally.would_send,
        "failed": tally.failed.total(),
        "failed_by_class": dict(sorted(tally.failed.items())),
        "left": tally.left,
        "copies": tally.copies,
        "fields_dropped": dropped,
        "seconds": round(seconds, 3),
    }
    if error:
        content["error"] = " ".join(error.split())
    return content
