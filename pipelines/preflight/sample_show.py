"""What preflight has found: a table on a terminal, plain columns in a pipe, or JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.options import PS_TO_KAFKA, Pipeline
from pipelines.preflight import sample_found
from pipelines.preflight.sample import BusyKey, Tally
from transforms.explain import DEAD_LETTER, FITS, KINDS, LEFT_OUT, RESTORED, RETURN, SPILLS
from transforms.limits import PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S

MAX_ROWS = 40
"""A table ends after so many; JSON has all."""

_ANY_WIDTH = 10_000
_NARROWEST = 24
_GAP = 3

_STYLES = {DEAD_LETTER: "red", RETURN: "yellow", LEFT_OUT: "yellow", SPILLS: "cyan", FITS: "green"}
_MEANINGS = {
    FITS: "everything is plain on the other side",
    SPILLS: "arrives whole; these fields as JSON",
    RESTORED: "becomes what it was before it was packed",
}


@dataclass
class Result:
    """All that preflight has to say.

    Attributes:
      there: as `sample_found.found` returns it.
      notes: lines of the checks and of reading.
      tally: of the sample; None if none was asked for.
      stops: whether the bridge would end at the first dead letter.
    """

    pipeline: Pipeline
    there: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    tally: Tally | None = None
    stops: bool = False
    seconds: float = 0.0


def to_json(result: Result) -> str:
    """One object; without a sample, none of its fields."""
    content: dict[str, Any] = {"pipeline": result.pipeline, **result.there, "notes": result.notes}
    tally = result.tally
    if tally is not None:
        content |= {
            "sampled": tally.sampled,
            "totals": {kind: tally.kinds[kind] for kind in KINDS},
            "kinds": [row._asdict() for row in tally.rows()],
            "largest": {
                "payload": tally.payload._asdict(),
                "mapped": {**tally.mapped._asdict(), "limit_bytes": tally.limit_bytes},
            },
            "ordering_keys": [key._asdict() for key in tally.busy_keys()],
        }
    return json.dumps({**content, "seconds": round(result.seconds, 3)}, indent=2)


def to_people(result: Result, file: TextIO) -> None:
    """Prints it; as wide as it needs to be, and without colour, where no terminal is."""
    console = Console(file=file, highlight=False)
    if console.is_terminal:
        print_on(console, result)
        return
    plain = io.StringIO()
    print_on(Console(file=plain, highlight=False, width=_ANY_WIDTH), result)
    for line in plain.getvalue().splitlines():
        print(line.rstrip(), file=file)


def print_on(console: Console, result: Result) -> None:
    """Prints it for people, within the console's width."""
    console.print(Text(f"{result.pipeline}: the checks passed, nothing was changed", "bold"))
    console.print(_pairs(sample_found.lines(result.pipeline, result.there)))
    if result.tally is not None:
        console.print()
        _sample(console, result.pipeline, result.tally)
    for note in result.notes:
        console.print(Text(note, "yellow"))
    if result.stops:
        warning = (
            "what becomes a dead letter needs --dead_letter: without it the first one ends the run"
        )
        console.print(Text(warning, "red"))


def _sample(console: Console, pipeline: Pipeline, tally: Tally) -> None:
    noun = "message" if pipeline == PS_TO_KAFKA else "record"
    counts = [f"{kind} {tally.kinds[kind]:,}" for kind in KINDS if tally.kinds[kind]]
    total = f"{tally.sampled:,} {noun}{'' if tally.sampled == 1 else 's'} sampled"
    console.print(Text(f"{total}: {', '.join(counts)}" if counts else total, "bold"))
    if not tally.sampled:
        return
    rows = [
        (
            Text(row.kind, _STYLES.get(row.kind, "")),
            Text(row.reason or _MEANINGS.get(row.kind, "")),
            Text(f"{row.records:,}", justify="right"),
            Text(row.example),
        )
        for row in tally.rows()
    ]
    _table(console, ("becomes", "why", f"{noun}s", "example"), rows[:MAX_ROWS])
    if len(rows) > MAX_ROWS:
        console.print(f"and {len(rows) - MAX_ROWS:,} more; --json has all")
    console.print(_pairs(_largest(pipeline, tally)))
    if busy := tally.busy_keys():
        _busy_keys(console, busy)


def _busy_keys(console: Console, busy: list[BusyKey]) -> None:
    limit = f"{PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S:,} bytes/s"
    console.print()
    console.print(Text(f"ordering keys that pass {limit}, Pub/Sub's limit", "bold"))
    rows = [
        (
            Text(key.key),
            Text(f"{key.records:,}", justify="right"),
            Text(f"{key.busiest_bytes_per_s:,}", justify="right"),
            Text(f"{key.mean_bytes_per_s:,}", justify="right"),
            Text(key.example),
        )
        for key in busy
    ]
    _table(console, ("key", "records", "busiest bytes/s", "mean bytes/s", "example"), rows)


def _largest(pipeline: Pipeline, tally: Tally) -> list[tuple[str, str]]:
    written = "record batch" if pipeline == PS_TO_KAFKA else "message"
    payload, mapped = tally.payload, tally.mapped
    found = [("largest payload", f"{payload.bytes:,} bytes, {payload.name}")]
    if mapped.name:
        limit = f"limit {tally.limit_bytes:,}"
        found.append((f"largest {written}", f"{mapped.bytes:,} bytes ({limit}), {mapped.name}"))
    if tally.key_count():
        limit = f"{PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S:,} bytes/s"
        busy = len(tally.busy_keys()) or "none"
        found.append(("ordering keys", f"{tally.key_count():,}, {busy} over {limit}"))
    return found


def _table(console: Console, titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """Prints a table whose second column is cut into lines; one row below the other where it is too
    narrow for that."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    widths = [
        max(cell_len(title), *(text.cell_len for text in column))
        for title, column in zip(titles, columns, strict=True)
    ]
    widths[1] = min(widths[1], _NARROWEST)
    if sum(widths) + _GAP * len(widths) > console.width:
        for row in rows:
            console.print()
            console.print(_pairs(list(zip(titles, row, strict=True))))
        console.print()
        return
    table = Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
        header_style="bold" if console.is_terminal else "",
    )
    for number, title in enumerate(titles):
        right = rows[0][number].justify == "right"
        table.add_column(title, justify="right" if right else "left", no_wrap=number != 1)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _pairs(pairs: Sequence[tuple[str, str | Text]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for what, text in pairs:
        plain = text.plain if isinstance(text, Text) else text
        style = text.style if isinstance(text, Text) else ""
        table.add_row(f"  {what}", Text(plain, style))
    return table
