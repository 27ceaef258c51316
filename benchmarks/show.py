"""What a person sees of the results: on the terminal, and in docs/performance.md.

    python -m benchmarks.show [--check]

writes what `benchmarks/results/results.json` says into the page.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import results as found
from benchmarks import targets
from benchmarks.processes import ROOT
from benchmarks.results import Results
from benchmarks.soak_figures import Verdict

PAGE = ROOT / "docs" / "performance.md"
JSON = ROOT / "benchmarks" / "results" / "results.json"
BEGIN, END = "<!-- results: begin (python -m benchmarks.show) -->", "<!-- results: end -->"


def tables(results: Results, console: Console) -> None:
    """Prints what was measured."""
    for table in found.tables(results):
        drawn = RichTable(title=table.title, title_justify="left")
        for number, column in enumerate(table.columns):
            is_name = number < 2
            drawn.add_column(column, justify="left" if is_name else "right", no_wrap=is_name)
        for line in table.lines:
            drawn.add_row(*line)
        console.print(drawn)


def verdicts(judged: Sequence[Verdict], console: Console) -> None:
    """Prints which targets are met."""
    for verdict in judged:
        word = "met   " if verdict.met else "MISSED"
        console.print(f"{word} {verdict.criterion}: {verdict.figures}", highlight=False)


def page(results: Results) -> str:
    """What stands in the page between the marks."""
    judged = [targets.judge(target, results) for target in targets.TARGETS]
    whole = "all rows" if results.complete else "some rows"
    lines = ["", f"Of {whole}, {results.runs} runs of each but growth's, which has 3 at most."]
    lines += ["", "**targets**", "", "| target | figure | |", "|---|---|---|"]
    lines += [f"| {v.criterion} | {v.figures} | {'met' if v.met else 'missed'} |" for v in judged]
    tables = found.markdown(found.tables(results))
    return "\n".join(lines) + "\n" + tables + found.settings(results)


def main(arguments: Sequence[str]) -> int:
    """Writes or checks the page; returns the exit status."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = f"{head}{BEGIN}\n{page(Results.read(JSON))}\n{END}{tail}"
    if made == text:
        return 0
    if "--check" in arguments:
        print(f"{PAGE.name}: not what {JSON.name} says; python -m benchmarks.show", file=sys.stderr)
        return 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
