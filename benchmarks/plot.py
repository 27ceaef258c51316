"""The figures of throughput as bars; needs matplotlib, a package of development."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import Results, Row

UNITS = {"msg/s": "messages a second", "CPU us/msg": "CPU, microseconds a message"}
COLORS = {
    "bridge": "#1f77b4",
    "bare loop": "#7f7f7f",
    "Google's connector": "#d62728",
    "Google's connector, quick JIT": "#ff9896",
    "Benthos": "#2ca02c",
}
_ROW_INCHES = 0.28


def draw(results: Results, folder: Path) -> list[Path]:
    """One picture for each direction that was measured: median, minimum, maximum."""
    written = []
    for direction in ("kafka_to_ps", "ps_to_kafka"):
        rows = [r for r in results.rows if r.name.startswith(f"{direction}/") and not r.problem]
        if rows:
            written.append(folder / f"{direction}.png")
            _draw(direction, rows, written[-1])
    return written


def _draw(title: str, rows: Sequence[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(UNITS), figsize=(12, 1.5 + _ROW_INCHES * len(rows)), sharey=True
    )
    places = range(len(rows))
    for axis, (unit, label) in zip(axes, UNITS.items(), strict=True):
        values = [row.figures.get(unit, [0.0]) for row in rows]
        middles = [statistics.median(v) for v in values]
        errors = [
            [m - min(v) for m, v in zip(middles, values, strict=True)],
            [max(v) - m for m, v in zip(middles, values, strict=True)],
        ]
        colors = [COLORS.get(row.system, "#9467bd") for row in rows]
        axis.barh(places, middles, xerr=errors, color=colors, capsize=2)
        axis.set_xlabel(label)
        axis.grid(axis="x", alpha=0.3)
        if max(middles) > 50 * min(m for m in middles if m):
            axis.set_xscale("log")
    axes[0].set_yticks(
        places, [f"{r.name.partition('/')[2]}  {r.system}" for r in rows], fontsize=8
    )
    axes[0].invert_yaxis()
    figure.suptitle(f"{title}: median of {len(rows[0].figures['msg/s'])}, minimum, maximum")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
