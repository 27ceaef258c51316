"""What is compared takes turns: run 1 of everything, then run 2 of everything, and so on."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from benchmarks.results import Row, shown
from transforms.errors import TransferError, one_line

Say = Callable[[str], None]
"""Takes a line for people."""

Wanted = Callable[[str, str], bool]
"""Whether a row is measured, by its name and its system's."""


class Case(NamedTuple):
    """What is measured in one row.

    Attributes:
      measure: one run; takes an empty folder, returns figures by unit, raises TransferError.
      absent: why the system cannot be had; empty where it can.
    """

    name: str
    system: str
    measure: Callable[[Path], Mapping[str, float]]
    absent: str = ""


def everything(_name: str, _system: str) -> bool:
    """Wants every row."""
    return True


def measure(
    cases: Sequence[Case], runs: int, say: Say, into: list[Row], wanted: Wanted = everything
) -> None:
    """Measures all cases that are wanted; one that fails is not tried again.

    Args:
      say: told of each run.
      into: takes a row when it has its first figures or its problem; so an interrupt leaves those
        that were measured.
    """
    chosen = [case for case in cases if wanted(case.name, case.system)]
    found = {
        case: Row(case.name, case.system, problem=case.absent and f"absent: {case.absent}")
        for case in chosen
    }
    for number in range(runs):
        for case, row in found.items():
            if not row.problem:
                _measure(case, row)
                last = [f"{values[-1]:,.1f} {unit}" for unit, values in row.figures.items()]
                say(f"{row.name}, {row.system}: {row.problem or ', '.join(last)}")
            if not number:
                into.append(row)


def _measure(case: Case, row: Row) -> None:
    os.sync()  # what the broker wrote in the run before is not written to disk in this one
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            row.add(case.measure(Path(folder)))
    except TransferError as error:
        row.problem = str(error)
    except Exception as error:  # whatever it is, the others are measured
        row.problem = f"{type(error).__name__}: {one_line(error)}"


# -- one kind of measurement by itself -------------------------------------------------------------


def options(page: str | None) -> argparse.Namespace:
    """The command line of a module that measures one kind; its page is the module's docstring."""
    parser = argparse.ArgumentParser(description=(page or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small run of each: for trying")
    parser.add_argument("--runs", type=int, default=5, help="of each row (default 5)")
    parser.add_argument("--only", default="*", help="rows to measure, a pattern with *")
    found = parser.parse_args()
    found.runs = 1 if found.quick else found.runs
    return found


def show(cases: Sequence[Case], given: argparse.Namespace) -> None:
    """Measures what was asked for, and prints a line for each run and for each row."""

    def wanted(name: str, _system: str) -> bool:
        return fnmatchcase(name, given.only)

    found: list[Row] = []
    measure(cases, given.runs, say, found, wanted)
    for row in found:
        figures = "; ".join(f"{shown(values)} {unit}" for unit, values in row.figures.items())
        say(f"== {row.name}, {row.system}: {figures} {row.problem}")


def say(text: str) -> None:
    """A line that is there at once, in a pipe too."""
    print(text, flush=True)
