"""Start: from the start of a system's process to the first message that it delivers.

    python -m benchmarks.start [--quick] [--runs N] [--only PATTERN]

The message waits in the source already, and the reader at the destination has its connection; files
are in the system's cache from the second run on. `CPU s` is what the system has used by then: on a
busy machine it says more than the clock. The rows `start/.../imports` are Python's with the
bridge's modules, and nothing else. Pub/Sub is `benchmarks.relay`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import relay, sampling, streams, turns
from benchmarks.ends import Outlet
from benchmarks.processes import ROOT
from benchmarks.stack import Kafka
from benchmarks.streams import DIRECTIONS, wait
from benchmarks.systems.bridge import Bridge
from benchmarks.systems.jobs import Direction, System
from benchmarks.turns import Case
from benchmarks.worker import Worker
from pipelines.local.stack import EmbeddedStack

_START_S = 120.0
_MESSAGE = b"the first one".ljust(1_000, b".")


class _Arrival(Worker):
    """Notes when the first message comes."""

    def __init__(self, open_outlet: Callable[[], Outlet]) -> None:
        super().__init__("arrival")
        self.is_open = False
        self.at_s = 0.0
        self._open_outlet = open_outlet

    def _run(self) -> None:
        with contextlib.closing(self._open_outlet()) as outlet:
            outlet.receive()  # nothing is there; the connection is, from then on
            self.is_open = True
            while not self.ended.is_set():
                at_s, payloads = outlet.receive()
                if payloads and not self.at_s:
                    self.at_s = at_s


def cases(kafka: Kafka, pubsub: str, systems: Sequence[System]) -> list[Case]:
    """All that is measured; `pubsub` is `HOST:PORT`."""
    found = []
    for direction in DIRECTIONS:
        for system in systems:
            run = partial(measure, system, direction, kafka, pubsub)
            found.append(Case(f"start/{direction}", system.name, run))
        found.append(Case(f"start/{direction}/imports", Bridge.name, partial(imports, direction)))
    return found


def measure(
    system: System, direction: Direction, kafka: Kafka, pubsub: str, folder: Path
) -> dict[str, float]:
    """One run.

    Raises:
      TransferError: nothing comes, or the system has ended.
    """
    with contextlib.ExitStack() as opened:
        job = opened.enter_context(streams.new(direction, kafka, pubsub, folder))
        arrival = _Arrival(streams.outlet(job))
        opened.enter_context(arrival)
        wait("read", lambda: arrival.is_open, _START_S, job, workers=[arrival])
        with contextlib.closing(streams.inlet(job)()) as inlet:
            inlet.send([_MESSAGE])
        began_s = time.monotonic()
        process = opened.enter_context(streams.running(system, job))
        wait("start", lambda: arrival.at_s > 0, _START_S, job, [process], [arrival])
        cpu_s = sampling.cpu_s(sampling.tree(process.pid))
        return {"start s": arrival.at_s - began_s, "CPU s": cpu_s}


def imports(direction: Direction, _folder: Path) -> dict[str, float]:
    """What Python takes to load the bridge."""
    command = [sys.executable, "-c", f"import pipelines.{direction}"]
    began_s, used_s = time.monotonic(), _children_cpu_s()
    subprocess.run(command, cwd=ROOT, check=True)
    return {"start s": time.monotonic() - began_s, "CPU s": _children_cpu_s() - used_s}


def _children_cpu_s() -> float:
    used = os.times()
    return used.children_user + used.children_system


def main() -> None:
    """Measures the bridge."""
    options = turns.options(__doc__)
    with EmbeddedStack(pubsub=False) as stack, relay.process() as pubsub:
        turns.show(cases(Kafka(stack.bootstrap_servers), pubsub, [Bridge()]), options)


if __name__ == "__main__":
    main()
