"""What a person and a program see of a soak."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.soak_figures import Verdict, percentile
from benchmarks.soak_run import Soak
from pipelines.local.stack import EmbeddedStack

ROWS = 10
MAX_WARNINGS = 10


def line(run: Soak, at_s: float) -> str:
    """How it gets on."""
    now = run.stages[-1]
    parts = [
        f"{at_s / 60:4.1f} min",
        f"sent {run.feed.sent:,}",
        f"in Kafka {run.lag.written:,}",
        f"back {run.reader.received:,}",
        f"commit lag {now['commit_lag_s']:.1f} s",
        f"delay p99 {now['delay_p99_s']:.2f} s",
    ]
    for bridge in run.bridges:
        last = bridge.samples[-1]
        parts.append(
            f"{bridge.name} {last.resident_bytes / 1e6:.1f} MB, {last.open_files} files, "
            f"{last.threads} threads"
        )
    return "  ".join(parts)


def show(run: Soak, verdicts: Sequence[Verdict]) -> None:
    """The table, what else the bridges logged, and a line for each verdict."""
    last = len(run.stages) - 1
    step = max(1, last // ROWS)
    print(
        "\nminute  rate  commit lag  delay p50   p99 s  "
        + "".join(
            f"{bridge.name + ' MB':>16}{'files':>7}{'threads':>9}{'CPU':>6}"
            for bridge in run.bridges
        )
    )
    for then in range(0, last - step + 1, step):
        print(row(run, then, then + step))
    for bridge in run.bridges:
        for text in bridge.warnings()[:MAX_WARNINGS]:
            print(f"{bridge.name} logged: {text}")
    for verdict in verdicts:
        print(f"{'ok  ' if verdict.met else 'FAIL'} {verdict.criterion}: {verdict.figures}")


def row(run: Soak, then: int, now: int) -> str:
    """One line of the table: what happened between two samples."""
    stages, seconds = run.stages[then : now + 1], run.stages[now]["at_s"] - run.stages[then]["at_s"]
    text = (
        f"{stages[-1]['at_s'] / 60:6.1f}"
        f"{(stages[-1]['received'] - stages[0]['received']) / seconds:6.0f}"
        f"{max(stage['commit_lag_s'] for stage in stages):10.1f} s"
        f"{percentile([stage['delay_p50_s'] for stage in stages], 50):11.3f}"
        f"{max(stage['delay_p99_s'] for stage in stages):8.3f}  "
    )
    for bridge in run.bridges:
        taken = bridge.samples[then : now + 1]
        cpu = (taken[-1].cpu_s - taken[0].cpu_s) / (taken[-1].at_s - taken[0].at_s)
        text += (
            f"{sum(s.resident_bytes for s in taken) / len(taken) / 1e6:16.1f}"
            f"{max(s.open_files for s in taken):7}{max(s.threads for s in taken):9}{cpu:6.0%}"
        )
    return text


def as_json(run: Soak, verdicts: Sequence[Verdict], where: str) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "machine": where,
        "minutes": run.minutes,
        "rate": run.rate,
        "verdicts": [verdict._asdict() for verdict in verdicts],
        "chain": run.stages,
        "commit_lags_s": [round(lag_s, 3) for lag_s in run.lag.lags_s],
        "bridges": {
            bridge.name: {
                "report": bridge.report(),
                "samples": [taken._asdict() for taken in bridge.samples],
            }
            for bridge in run.bridges
        },
    }


def machine(*stacks: EmbeddedStack) -> str:
    """Where this was measured."""
    packages = ("apache-beam", "confluent-kafka", "google-cloud-pubsub")
    return ", ".join(
        [
            f"{os.cpu_count()} cores",
            f"Python {platform.python_version()}",
            *(f"{package} {version(package)}" for package in packages),
            *(server.name for stack in stacks for server in stack.servers),
        ]
    )
