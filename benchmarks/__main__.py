"""How fast the bridge is, what it costs, and how that compares: side by side, in one run.

    python -m benchmarks [--only NAME,...] [--runs N] [--quick] [--no_peers] [--out FOLDER]
    python -m benchmarks --check
    python -m benchmarks --list

Every figure is that of a process of its own, seen from outside; the warm-up is left out. What is
compared takes turns: run 1 of all systems, run 2 of all systems ... If everything was measured, its
results go to `benchmarks/results/` and docs/performance.md; else to `build/bench/`; or to `--out`.

Exit status 1 if something could not be measured or, with `--check`, a target is missed; 2: wrong
usage, or the servers do not start; 130: interrupted, what was measured till then is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import (
    growth,
    latency,
    machine,
    plot,
    relay,
    show,
    start,
    targets,
    throughput,
    turns,
)
from benchmarks.cells import cells
from benchmarks.peers import PEERS
from benchmarks.processes import ROOT
from benchmarks.results import Results
from benchmarks.stack import Kafka
from benchmarks.systems.bare import Bare
from benchmarks.systems.bridge import Bridge
from benchmarks.systems.jobs import System
from benchmarks.throughput import Throughput
from benchmarks.turns import Case, Say, Wanted
from pipelines.local.child import Stopped, stop_signals
from pipelines.local.stack import EmbeddedStack
from transforms.errors import BridgeError

RESULTS, PARTS = ROOT / "benchmarks" / "results", ROOT / "build" / "bench"
RUNS, CHECK_RUNS, GROWTH_RUNS = 5, 3, 3
WIDTH = 150
"""Of tables that go elsewhere than to a terminal."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    if options.runs is None:
        options.runs = 1 if options.quick else CHECK_RUNS if options.check else RUNS
    if options.runs < 1:
        _parser().error(f"--runs: {options.runs} is less than 1")
    if options.check and options.quick:
        _parser().error("--check: not with --quick, whose figures have the start in them")
    known = known_rows()
    if options.list:
        print("\n".join(known))
        return 0
    for pattern in options.only.split(","):
        if not any(fnmatchcase(name, pattern) for name in known):
            _parser().error(f"--only: {pattern}: no such row; see --list, and quote a *")
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    try:
        with stop_signals():
            return _bench(options, console)
    except BridgeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_status
    except Stopped as stopped:
        return 128 + stopped.number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], prog="python -m benchmarks", allow_abbrev=False
    )
    parser.add_argument("--only", default="*", help="rows to measure: names, or patterns with *")
    parser.add_argument(
        "--runs",
        type=int,
        help=f"of each row (default {RUNS}; {CHECK_RUNS} with --check, 1 with --quick); growth has "
        f"{GROWTH_RUNS} at most",
    )
    parser.add_argument("--quick", action="store_true", help="few messages, one run: for trying")
    parser.add_argument(
        "--no_peers", dest="peers", action="store_false", help="only the bridge and the bare loop"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="measure what the targets need, and compare; of some targets with --only",
    )
    parser.add_argument("--list", action="store_true", help="print the names of all rows")
    parser.add_argument("--out", type=Path, help="write results here, whatever was measured")
    return parser


def _bench(options: argparse.Namespace, console: Console) -> int:
    wanted = _wanted(options)
    names = {s for cell in cells() for s in cell.systems if wanted(cell.name, s)}
    every: tuple[System, ...] = (Bridge(), Bare(), *PEERS)
    systems = {system.name: system for system in every if system.name in names}
    whole = options.only == "*" and options.peers and not options.quick and not options.check
    results = Results(
        machine.describe(turns.say),
        {name: dict(system.describe()) for name, system in systems.items()},
        options.runs,
        whole and options.runs >= RUNS,
    )
    try:
        measure(results, options, systems, wanted, turns.say)
    except Stopped:
        results.complete = False  # and so it is not taken for the whole
        if results.rows:
            _keep(results, options.out, console)
        raise
    return _told(results, options, wanted, console)


def _told(results: Results, options: argparse.Namespace, wanted: Wanted, console: Console) -> int:
    """The exit status, after people have read all there is to say."""
    _keep(results, options.out, console)
    status = 0
    for row in results.rows:
        if row.problem:
            status = 1
            print(f"bench: {row.name}, {row.system}: {row.problem}", file=sys.stderr)
    if options.check:
        asked = [t for t in targets.TARGETS if all(wanted(f.row, f.system) for f in t.needs)]
        verdicts = [targets.judge(target, results) for target in asked]
        show.verdicts(verdicts, console)
        status = 0 if verdicts and all(verdict.met for verdict in verdicts) else 1
    return status


def _keep(results: Results, out: Path | None, console: Console) -> None:
    """Shows the results, and writes them; the page, too, where everything was measured."""
    show.tables(results, console)
    whole = results.complete and not any(row.problem for row in results.rows)
    folder = (out or (RESULTS if whole else PARTS)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(results.text(), encoding="utf-8")
    plot.draw(results, folder)
    if whole and folder == RESULTS:
        show.main([])
    console.print(f"results are in {folder}", highlight=False)


def measure(
    results: Results,
    options: argparse.Namespace,
    systems: Mapping[str, System],
    wanted: Wanted,
    say: Say,
) -> None:
    """Everything that the options ask for; results take each row as it comes."""
    its_cells = [cell.quick if options.quick else cell for cell in cells()]
    absent = {name: system.absent() for name, system in systems.items()}
    with (
        EmbeddedStack(pubsub=False, say=say) as stack,
        relay.process() as relayed,
        Throughput(Kafka(stack.bootstrap_servers)) as throughputs,
    ):
        kafka = Kafka(stack.bootstrap_servers)
        for its_cases in (
            *throughput.cases(throughputs, its_cells, systems, absent),
            *_latency_and_start(kafka, relayed, options.quick),
        ):
            turns.measure(its_cases, options.runs, say, results.rows, wanted)
        growing = _growth(kafka, relayed, options.quick)
        turns.measure(growing, min(options.runs, GROWTH_RUNS), say, results.rows, wanted)


def known_rows() -> list[str]:
    """The names of all rows."""
    kafka: Any = None  # nothing is measured
    shapes = (latency.cases, start.cases, growth.cases)
    cases = [case for of_shape in shapes for case in of_shape(kafka, "", [Bridge()])]
    return [cell.name for cell in cells()] + [case.name for case in cases]


def _latency_and_start(kafka: Kafka, relayed: str, quick: bool) -> list[list[Case]]:
    fed = latency.QUICK if quick else latency.LONG
    return [
        latency.cases(kafka, relayed, [Bridge()], fed),
        start.cases(kafka, relayed, [Bridge()]),
    ]


def _growth(kafka: Kafka, relayed: str, quick: bool) -> list[Case]:
    fed, divisor = (latency.QUICK, growth.QUICK) if quick else (latency.LONG, 1)
    return growth.cases(kafka, relayed, [Bridge()], divisor, fed)


def _wanted(options: argparse.Namespace) -> Wanted:
    patterns = options.only.split(",")
    needed = {(f.row, f.system) for target in targets.TARGETS for f in target.needs}

    def wanted(name: str, system: str) -> bool:
        if options.check and (name, system) not in needed:
            return False
        if not options.peers and system in {peer.name for peer in PEERS}:
            return False
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    return wanted


if __name__ == "__main__":
    sys.exit(main())
