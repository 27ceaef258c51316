"""A system seen from outside: the CPU and memory of its processes, and how far it is.

The same for every system: Linux says what the processes have used, and the far end how many
messages have come. `window` and `figures` are pure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from transforms.errors import TransferError

PERIOD_S = 0.05

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_MEMORY_EVERY = 10
"""Samples between two looks at memory and at which processes there are."""


class Sample(NamedTuple):
    """One look.

    Attributes:
      done: messages confirmed so far, by the far end's count.
      cpu_s: user and system, of all the system's processes since they began.
    """

    at_s: float
    done: int
    cpu_s: float


class Window(NamedTuple):
    """What is measured: from one sample to another."""

    first: Sample
    last: Sample


class Watched(NamedTuple):
    """All that was seen of one run."""

    samples: list[Sample]
    peak_bytes: int


def window(samples: Sequence[Sample], count: int, warm_up: float) -> Window:
    """From the first look that found the warm-up passed to the last one that found progress before
    the end; both are where progress was made, so that neither begins or ends in a pause.

    The end itself is left out where it can be: the last commit waits for its time, without work.

    Args:
      count: how many messages there are in all.
      warm_up: so much of them is not measured, as a share; with 0 all is, the start included.
    Raises:
      TransferError: there are no two such looks.
    """
    steps = [now for before, now in itertools.pairwise(samples) if now.done > before.done]
    measured = [step for step in steps if step.done >= count * warm_up]
    if not warm_up:
        measured.insert(0, samples[0])
    if len(measured) > 2 and measured[-1].done >= count:
        measured.pop()
    if len(measured) < 2:
        raise TransferError(
            f"measure: {len(measured)} steps of progress after the warm-up; use more messages"
        )
    return Window(measured[0], measured[-1])


def figures(seen: Window, message_bytes: int, peak_bytes: int) -> dict[str, float]:
    """What a window says, by unit."""
    seconds, messages = seen.last.at_s - seen.first.at_s, seen.last.done - seen.first.done
    return {
        "msg/s": messages / seconds,
        "MB/s": messages * message_bytes / seconds / 1e6,
        "CPU us/msg": (seen.last.cpu_s - seen.first.cpu_s) / messages * 1e6,
        "peak RSS MB": peak_bytes / 1e6,
        "seconds": seconds,
    }


# -- what Linux says -------------------------------------------------------------------------------


def tree(process_id: int) -> list[int]:
    """A process and all that it has started, and they, as far as they run."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int(_stat(int(folder.name))[1])
                parents.setdefault(parent, []).append(int(folder.name))
    found = [process_id]
    for parent in found:
        found += parents.get(parent, [])
    return found


def trees(started: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Those of several processes together."""
    return [process_id for process in started for process_id in tree(process.pid)]


def cpu_s(processes: Sequence[int]) -> float:
    """User and system time, that of children that have ended and were waited for included."""
    ticks = 0
    for process_id in processes:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _stat(process_id)[11:15]))
    return ticks / _TICKS_A_SECOND


def peak_bytes(processes: Sequence[int]) -> int:
    """The most resident memory that each of them has had, in sum (VmHWM)."""
    kilobytes = 0
    for process_id in processes:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    kilobytes += int(line.split()[1])
    return kilobytes * 1024


def _stat(process_id: int) -> list[str]:
    """The fields after the name in parentheses: state, parent, ..., ticks at 11 to 14."""
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2].split()


def watch(
    started: Sequence[subprocess.Popen[bytes]],
    progress: Callable[[], int],
    count: int,
    deadline_s: float,
) -> Watched:
    """Looks at a system until all messages have come.

    Args:
      started: its processes, without those that they have started.
      progress: how many have.
      deadline_s: from now.
    Raises:
      TransferError: a process has ended, or not all have come in time.
    """
    began_s = time.monotonic()
    samples: list[Sample] = []
    most_bytes = 0
    processes: list[int] = []
    done = 0
    while done < count:
        now_s = time.monotonic() - began_s
        for process in started:
            if process.poll() is not None:
                raise TransferError(
                    f"it ended with status {process.returncode} after {done:,} messages"
                )
        if now_s > deadline_s:
            raise TransferError(f"{done:,} of {count:,} messages after {deadline_s:.0f} s")
        if len(samples) % _MEMORY_EVERY == 0:
            processes = trees(started)
            most_bytes = max(most_bytes, peak_bytes(processes))
        done = progress()
        samples.append(Sample(time.monotonic() - began_s, done, cpu_s(processes)))
        time.sleep(max(0.0, PERIOD_S - (time.monotonic() - began_s - now_s)))
    return Watched(samples, max(most_bytes, peak_bytes(trees(started))))
