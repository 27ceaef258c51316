"""What the bridge is to reach, each as a comparison of what one run has measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.cells import BARE, BRIDGE, CONNECTOR
from benchmarks.results import Results, ratio, shown
from benchmarks.soak_figures import Verdict


@dataclass(frozen=True)
class Figure:
    """One unit of one row."""

    row: str
    unit: str
    system: str = BRIDGE


@dataclass(frozen=True)
class Target:
    """A figure, or how many times another one it is, and its limit.

    Attributes:
      at_least: whether the limit is the least, and not the most.
    """

    name: str
    figure: Figure
    limit: float
    against: Figure | None = None
    at_least: bool = False

    @property
    def needs(self) -> list[Figure]:
        """What has to be measured for it."""
        return [self.figure, self.against] if self.against is not None else [self.figure]


_RATE, _CPU, _RSS = "msg/s", "CPU us/msg", "peak RSS MB"
_WAYS = {"kafka_to_ps": "Kafka -> Pub/Sub", "ps_to_kafka": "Pub/Sub -> Kafka"}
_CPU_LIMITS = {
    # against the bare loop, against Google's connector, on kafka-python against that
    "kafka_to_ps": (0.9, 0.30, 0.8),
    "ps_to_kafka": (1.3, 0.20, 0.6),
}


def _of_throughput() -> Iterator[Target]:
    for way, arrow in _WAYS.items():
        base, by_python = f"{way}/emulator/1kB", f"{way}/emulator/kafka-python"
        instant, large = f"{way}/instant/1kB", f"{way}/instant/74kB"
        bare_cpu, connector_cpu, python_cpu = _CPU_LIMITS[way]
        of_connector = Figure(base, _CPU, CONNECTOR)
        yield Target(
            f"{arrow}: throughput against the bare loop, instant service",
            Figure(instant, _RATE),
            0.9,
            Figure(instant, _RATE, BARE),
            at_least=True,
        )
        yield Target(
            f"{arrow}: CPU a message against the bare loop, instant service",
            Figure(instant, _CPU),
            bare_cpu,
            Figure(instant, _CPU, BARE),
        )
        yield Target(
            f"{arrow}: CPU a message against Google's connector",
            Figure(base, _CPU),
            connector_cpu,
            of_connector,
        )
        yield Target(
            f"{arrow}: CPU a message against Google's connector, on kafka-python",
            Figure(by_python, _CPU),
            python_cpu,
            of_connector,
        )
        yield Target(
            f"{arrow}: 74 kB against the bare loop, instant service",
            Figure(large, _RATE),
            0.95,
            Figure(large, _RATE, BARE),
            at_least=True,
        )
        yield Target(f"{arrow}: peak RSS at full rate, MB", Figure(base, _RSS), 300)


def _of_shapes() -> Iterator[Target]:
    for way, arrow in _WAYS.items():
        at_500 = f"latency/{way}/500"
        yield Target(f"{arrow}: latency at 500 msg/s, p50, ms", Figure(at_500, "p50 ms"), 15)
        yield Target(f"{arrow}: latency at 500 msg/s, p99, ms", Figure(at_500, "p99 ms"), 60)
        yield Target(f"{arrow}: start to first message, s", Figure(f"start/{way}", "start s"), 5)
        yield Target(
            f"{arrow}: a backlog of 1 M, its end against its begin",
            Figure(f"growth/{way}/backlog/1M", "end / begin"),
            0.95,
            at_least=True,
        )


TARGETS = [*_of_throughput(), *_of_shapes()]


def judge(target: Target, results: Results) -> Verdict:
    """Whether a target is met, and the figures that say so."""
    found = []
    for figure in target.needs:
        row = results.find(figure.row, figure.system)
        if row is None or row.problem or figure.unit not in row.figures:
            why = row.problem if row is not None and row.problem else "not measured"
            return Verdict(target.name, False, f"{figure.row}, {figure.system}: {why}")
        found.append(row.figures[figure.unit])
    sense, unit = (">=" if target.at_least else "<="), target.figure.unit
    if target.against is None:
        (values,) = found
        value = statistics.median(values)
        text = f"{shown(values)} {unit}, target {sense} {target.limit:g}"
    else:
        ours, its = found
        value = ratio(ours, its, target.figure.row == target.against.row)
        compared = f"{shown(ours)} against {shown(its)} {unit}"
        text = f"{value:.2f}, target {sense} {target.limit:g} ({compared})"
    return Verdict(
        target.name, value >= target.limit if target.at_least else value <= target.limit, text
    )
