"""What became of each fault: a table for people, JSON for the documentation, and the judgement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streams import Stream, ToPubSub, each
from verifiable import Verdict

LOAD_MESSAGES_PER_S = 5_000


class Row(NamedTuple):
    """A line of the table; `up` and `overall` are messages a second, if a load was measured."""

    fault: str
    direction: str
    acked: int
    delivered: int
    lost: int
    changed: int
    duplicated: int
    effect: str
    up: int | None
    overall: int | None
    seed: int


PROPERTY = "fault"
"""Of a test's report: a row. Reports reach the table, whichever process ran the test."""


class Table:
    """Takes the result of each fault and direction, and judges it.

    Args:
      rows: where the lines are added.
      properties: of the test's report, get the lines, too.
      path: gets all of them as JSON, anew with each, so that a run that is cut short leaves some.
    """

    def __init__(
        self,
        rows: list[Row],
        properties: list[tuple[str, object]],
        full: bool,
        path: Path | None = None,
    ) -> None:
        self._rows = rows
        self._properties = properties
        self._full = full
        self._path = path

    def judge(
        self,
        fault: str,
        stream: Stream,
        verdict: Verdict,
        effects: dict[str, int],
        *,
        clean: bool = False,
        ordered: bool = False,
        load: bool = False,
    ) -> None:
        """Adds a row, then fails where a promise is broken, or where the fault had no effect.

        Args:
          effects: what the fault did, by name; at least one is not 0.
          clean: nothing may be there twice.
          ordered: each key or partition is in order; asked only where nothing is there twice.
          load: the figure while the bridge was up is to reach `LOAD_MESSAGES_PER_S`, in full form.
        """
        up, overall = stream.rates()
        said = ", ".join(f"{name} {number:,}" for name, number in effects.items() if number)
        row = Row(
            fault,
            stream.direction,
            verdict.acked,
            verdict.delivered,
            verdict.lost,
            verdict.changed,
            verdict.duplicated,
            said or "none",
            round(up) or None,
            round(overall) or None,
            stream.seed,
        )
        self._rows.append(row)
        self._properties.append((PROPERTY, row._asdict()))
        if self._path is not None:
            self._path.write_text(
                json.dumps([row._asdict() for row in self._rows], indent=2) + "\n"
            )
        about = f"{fault}, {stream.direction}, seed {stream.seed}: {verdict}"
        assert verdict.acked, f"nothing was sent: {about}"
        assert not verdict.lost, f"lost: {about}\n{stream.explain()}"
        assert not verdict.changed, f"changed: {about}"
        assert not (clean and verdict.duplicated), f"duplicated: {about}\n{stream.explain()}"
        assert not (ordered and not verdict.duplicated and verdict.reordered), f"order: {about}"
        assert said, f"the fault had no effect: {about}"
        if load and self._full:
            assert up >= LOAD_MESSAGES_PER_S, f"{up:,.0f} msg/s while the bridge was up: {about}"

    def judge_all(
        self, fault: str, streams: Sequence[Stream], load: bool = True, **effects: int
    ) -> None:
        """All arrives, each stream's one bridge stops cleanly, and each stream has its row.

        Args:
          effects: besides what the bridges say themselves.
        """

        def of_one(stream: Stream) -> None:
            verdict = stream.finish()
            if isinstance(stream, ToPubSub):
                assert stream.committed() == stream.ends(), "not all is committed"
            found = {**effects, **stream.effects(), "again": verdict.duplicated}
            self.judge(fault, stream, verdict, found, load=load)

        each(streams, of_one)


def lines(rows: Sequence[Row]) -> list[str]:
    """The table as text."""
    cells = [[_text(value) for value in row] for row in rows]
    header = [*Row._fields[:-3], "msg/s up", "msg/s overall", "seed"]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, *cells]
    ]


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
