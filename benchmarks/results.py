"""What a benchmark found: rows of figures, as JSON and as tables. No processes, no clock."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.cells import BARE


@dataclass
class Row:
    """What was measured of one system in one cell.

    Attributes:
      name: the cell, the same for all systems that are compared in it; `--only` matches it.
      system: `System.name`.
      figures: by unit ("msg/s", "CPU us/msg", "p99 ms" ...), one value for each run.
      problem: why there are no figures, or none that may be believed; empty where all is well.
    """

    name: str
    system: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    problem: str = ""

    def add(self, figures: Mapping[str, float]) -> None:
        """Takes the figures of one more run."""
        for unit, value in figures.items():
            self.figures.setdefault(unit, []).append(value)

    def median(self, unit: str) -> float | None:
        """Over its runs; None where it was not measured."""
        values = self.figures.get(unit)
        return statistics.median(values) if values else None


@dataclass
class Results:
    """Everything that one run of the benchmark found.

    Attributes:
      machine: what it ran on.
      systems: by name, versions and settings.
      runs: of each row; the figures are medians over them.
      complete: nothing was left out or made smaller.
    """

    machine: dict[str, str]
    systems: dict[str, dict[str, str]]
    runs: int
    complete: bool
    rows: list[Row] = field(default_factory=list)

    def find(self, name: str, system: str) -> Row | None:
        return next((r for r in self.rows if (r.name, r.system) == (name, system)), None)

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @staticmethod
    def read(path: Path) -> Results:
        """What `text` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return Results(**{**found, "rows": [Row(**row) for row in found["rows"]]})


def ratio(one: Sequence[float], other: Sequence[float], taken_in_turn: bool = True) -> float:
    """How many times `other` it is: the median over pairs of runs, which were made one after the
    other, so that a machine whose speed drifts drifts for both; of what has no pair, of medians."""
    if taken_in_turn and len(one) == len(other):
        return statistics.median(a / b for a, b in zip(one, other, strict=True))
    return statistics.median(one) / statistics.median(other)


# -- tables ----------------------------------------------------------------------------------------

_SHOWN_RATIOS = ("msg/s", "CPU us/msg")
_NOT_SHOWN = ("seconds",)


@dataclass(frozen=True)
class Table:
    """A title, the names of its columns, and its lines."""

    title: str
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]


def tables(results: Results) -> list[Table]:
    """One for each kind of row, the first part of their names."""
    kinds: dict[str, list[Row]] = {}
    for row in results.rows:
        kinds.setdefault(row.name.partition("/")[0], []).append(row)
    return [_table(kind, rows, results) for kind, rows in kinds.items()]


def _table(kind: str, rows: Sequence[Row], results: Results) -> Table:
    measured = dict.fromkeys(unit for row in rows for unit in row.figures)
    units = [unit for unit in measured if unit not in _NOT_SHOWN]
    compared = [
        unit for unit in _SHOWN_RATIOS if any(_against_bare(r, unit, results) for r in rows)
    ]
    ratios = [f"{unit}, of the {BARE}'s" for unit in compared]
    lines = []
    for row in rows:
        found = [shown(row.figures.get(unit, [])) for unit in units]
        if row.problem:
            found = [row.problem, *[""] * (len(units) - 1)] if units else []
        against = [_against_bare(row, unit, results) for unit in compared]
        lines.append([row.name, row.system, *found, *against])
    return Table(kind, ["row", "system", *units, *ratios], lines)


def _against_bare(row: Row, unit: str, results: Results) -> str:
    bare = results.find(row.name, BARE)
    if bare is None or bare is row or row.problem or bare.problem:
        return ""
    ours, its = row.figures.get(unit), bare.figures.get(unit)
    return f"{ratio(ours, its):.2f}" if ours and its else ""


def shown(values: Sequence[float]) -> str:
    """Median, and minimum and maximum where there is more than one."""
    if not values:
        return ""
    middle = _number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({_number(min(values))}-{_number(max(values))})"


def _number(value: float) -> str:
    """With three figures, or all of them before the point."""
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{places}f}"


def markdown(found: Iterable[Table]) -> str:
    """The tables as a page has them."""
    lines = []
    for table in found:
        lines += ["", f"**{table.title}**", "", f"| {' | '.join(table.columns)} |"]
        lines.append("|---|---|" + "---:|" * (len(table.columns) - 2))
        lines += [f"| {' | '.join(line)} |" for line in table.lines]
    return "\n".join([*lines, ""])


def settings(results: Results) -> str:
    """Machine and systems as a page has them."""
    lines = ["", "**machine**", ""]
    lines += [f"* {name}: {value}" for name, value in results.machine.items()]
    for system, described in results.systems.items():
        lines += ["", f"**{system}**", ""]
        lines += [f"* {name}: {value}" for name, value in described.items()]
    return "\n".join([*lines, ""])
