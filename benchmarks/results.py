"""What a benchmark found: rows of figures, as JSON and as tables. No processes, no clock."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field


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
