"""The matrix in docs/runners.md, from the results of a run: a cell names a test that has passed.

    python tests/helpers/matrix.py build/conformance.xml            writes it
    python tests/helpers/matrix.py build/conformance.xml --check    fails if it says anything else

What did not run, for lack of Prism's program, keeps its cells unchecked.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).resolve().parents[2] / "docs" / "runners.md"
BEGIN, END = "<!-- matrix: begin (make conformance) -->", "<!-- matrix: end -->"

RUNNERS = ("in-process", "Prism", "external workers", "Dataflow", "Flink")
DIRECTIONS = ("ps_to_kafka", "kafka_to_ps")

COLUMNS = {
    "delivery of a stream": "test_every_byte_key_and_header_of_a_stream_arrives",
    "bounded": "test_a_bounded_run_takes_just_that_and_ends_by_itself",
    "commit point": "test_nothing_is_committed_or_acknowledged_before_it_is_confirmed",
    "restart": "test_killed_while_messages_are_in_flight_the_next_run_misses_nothing",
    "dead letters": "test_poison_becomes_a_dead_letter_and_the_stream_goes_on",
    "ordering": "test_each_key_keeps_its_order",
    "graceful stop": "test_sigterm_drains_delivers_and_commits_with_exit_status_0",
    "exactly-once": "",
}
"""What is promised, and the test of it; nothing is promised in the last one."""

UNTESTED, NO, NOT_RUN = "*untested*", "no", "not run"

GRAPHS = {
    "delivery of a stream": "test_names_kinds_and_coders_of_steps_are_those_that_are_kept",
    "bounded": "test_a_backfill_is_a_finite_source_of_our_own_in_a_batch_pipeline",
    "commit point": "test_nothing_shuffles_between_source_and_sink",
}
"""Of Dataflow, where nothing was run: the tests that look at the job that would be sent to it."""


class Case(NamedTuple):
    """One test of one run."""

    name: str
    passed: bool
    skipped: bool
    properties: Mapping[str, str]


def cases(path: Path) -> list[Case]:
    """What a run says."""
    found = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        bad = [case.find(kind) for kind in ("failure", "error")]
        skipped = case.find("skipped") is not None
        properties = {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
        passed = not skipped and bad == [None, None]
        found.append(Case(case.get("name", ""), passed, skipped, properties))
    return found


def cell(run: Iterable[Case], runner: str, direction: str, column: str) -> str:
    """What is known of one promise."""
    if column == "exactly-once":
        return NO
    if runner == "Dataflow":
        name = GRAPHS.get(column, "")
        mine = [case for case in run if case.name.partition("[")[0] == name]
        return f"graph only: `{name}`" if _all_passed(mine) else UNTESTED
    name = COLUMNS[column]
    mine = [case for case in run if case.name == f"{name}[{runner}-{direction}]"]
    if any(case.skipped for case in mine):
        return NOT_RUN
    if not _all_passed(mine):
        return UNTESTED
    return NO if any(case.properties.get("cell") == NO for case in mine) else f"`{name}`"


def _all_passed(mine: list[Case]) -> bool:
    return bool(mine) and all(case.passed for case in mine)


def table(run: list[Case]) -> list[list[str]]:
    """All rows, the first two columns being runner and direction."""
    return [
        [runner, direction, *(cell(run, runner, direction, column) for column in COLUMNS)]
        for runner in RUNNERS
        for direction in DIRECTIONS
    ]


def markdown(rows: list[list[str]]) -> str:
    """The table as the page has it: a part for each promise, since names of tests are long."""
    lines = []
    for number, column in enumerate(COLUMNS):
        lines += [
            "",
            f"**{column}**",
            "",
            "| runner | ps_to_kafka | kafka_to_ps |",
            "|---|---|---|",
        ]
        for there, back in zip(rows[::2], rows[1::2], strict=True):
            lines.append(f"| {there[0]} | {there[number + 2]} | {back[number + 2]} |")
    return "\n".join([*lines, ""])


def unchecked(fresh: str, committed: str) -> str:
    """The fresh table with the committed cells where nothing was run."""
    lines, before = fresh.split("\n"), committed.split("\n")
    if len(lines) != len(before):
        return fresh
    for number, line in enumerate(lines):
        parts, old = line.split(" | "), before[number].split(" | ")
        if len(parts) == len(old):
            pairs = zip(parts, old, strict=True)
            lines[number] = " | ".join(o if NOT_RUN in p else p for p, o in pairs)
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Writes or checks the page; returns the exit status."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    committed, _, tail = rest.partition(END)
    run = cases(Path(arguments[0]))
    made = unchecked("\n" + markdown(table(run)), committed)
    if made == committed:
        print("docs/runners.md: the matrix is what this run says")
        return 0
    if "--check" in arguments:
        for line in sorted(set(made.split("\n")) ^ set(committed.split("\n"))):
            print(f"  {line}", file=sys.stderr)
        print(
            "docs/runners.md: not what this run says; make conformance writes it", file=sys.stderr
        )
        return 1
    PAGE.write_text(head + BEGIN + made + END + tail, encoding="utf-8")
    print("docs/runners.md: the matrix is written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
