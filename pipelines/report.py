"""What a run has done: the last line for people, and `--report` for programs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pipelines.flags import End, Pipeline
from transforms.errors import CommitError
from transforms.metrics import SETTLED
from transforms.registry import Bridge

FIELDS = (
    "read",
    "delivered",
    "archived",
    "dead_lettered",
    "returns_dropped",
    "delivered_before",
    "redelivered",
    "redelivery_expected",
    "released",
    "fields_dropped",
    "commit_failures",
    "retries",
    "offsets_lost",
    "left_unread",
)
"""The counters in a report; their meaning is in `transforms.metrics.COUNTERS`."""


def content(bridge: Bridge, seconds: float) -> dict[str, Any]:
    """The report: counters, seconds, of them degraded, what was read of each Kafka topic, first and
    last offset of each partition, an error."""
    totals = bridge.counts.totals()
    offsets: dict[str, dict[str, dict[str, int]]] = {}
    for name, found in (("first", bridge.first_offsets), ("last", bridge.last_offsets)):
        for (topic, partition), offset in sorted(found.items()):
            offsets.setdefault(topic, {}).setdefault(str(partition), {})[name] = offset
    report: dict[str, Any] = {field: totals[field] for field in FIELDS}
    report["seconds"] = round(seconds, 3)
    report["degraded_seconds"] = round(bridge.health.degraded_s, 3)
    report["topics"] = bridge.counts.of_topics()
    report["offsets"] = offsets
    if bridge.failure is not None:
        report["error"] = " ".join(str(bridge.failure).split())
    return report


def write(path: Path, report: dict[str, Any]) -> None:
    """Writes a report, so that a reader sees the old file or the whole new one.

    What is not a regular file (a pipe, a device) is written to as it is; a link is followed.

    Raises:
      OSError: it cannot be written; the old file is as it was.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def last_line(
    bridge: Bridge, pipeline: Pipeline, source: End, seconds: float, elsewhere: bool = False
) -> str:
    """Why the run stopped, what became of what it had read, and how fast it was.

    Args:
      elsewhere: the counts are what a job server was told by the workers until their last bundles.
    """
    totals = bridge.counts.totals()
    delivered = totals["delivered"]
    figures = [
        f"read {totals['read']:,}",
        f"delivered {delivered:,}",
    ]
    for name in (
        "dead_lettered",
        "returns_dropped",
        "delivered_before",
        "redelivered",
        "fields_dropped",
        "left_unread",
    ):
        if totals[name]:
            figures.append(f"{name.replace('_', ' ')} {totals[name]:,}")
    outcome = "its workers counted" if elsewhere else _outcome(bridge, source)
    return (
        f"{pipeline} {_why(bridge)}; {outcome}: {', '.join(figures)} "
        f"in {seconds:,.1f} s, {delivered / max(seconds, 0.001):,.0f} msg/s"
    )


def _why(bridge: Bridge) -> str:
    if bridge.failure is not None:
        return "failed"
    reason = bridge.control.stop_reason
    return f"stopped ({reason})" if reason else "ended"


def _outcome(bridge: Bridge, source: End) -> str:
    """What a drain did."""
    totals = bridge.counts.totals()
    done = "acknowledged" if source == "pubsub" else "committed"
    settled = sum(totals[name] for name in SETTLED)
    unconfirmed = totals["read"] - settled
    given_back = max(totals["released"], unconfirmed)
    if isinstance(bridge.failure, CommitError):
        return f"what could not be {done} comes again"
    if given_back:
        return f"{given_back:,} were given back and come again"
    if not totals["read"]:
        return "there was nothing to deliver"
    how = "delivered" if totals["delivered"] == totals["read"] else "settled"
    return f"all that was read is {how} and {done}"
