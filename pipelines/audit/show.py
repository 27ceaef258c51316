"""What a person sees of an audit: a table and what is missing; for programs JSON and a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from transforms.audit.rows import NUMBERS, Missing, Others, Row, total
from transforms.identity import id_of_key
from transforms.ranges import Span
from transforms.times import rfc3339

MOST_SHOWN = 10

_PLAIN_WIDTH = 100_000
_ALWAYS = ("expected", "delivered", "missing")


@dataclass(frozen=True)
class Result:
    """What an audit has found.

    Attributes:
      source, destination: for people.
      doubts: why what is missing may have been delivered all the same.
    """

    source: str
    destination: str
    rows: list[Row]
    missing: Missing
    others: Others
    doubts: tuple[str, ...]
    seconds: float

    @property
    def total(self) -> Row:
        return total(self.rows)


# -- for people ------------------------------------------------------------------------------------


def table(result: Result, file: TextIO | None = None) -> None:
    """Prints the table and what is missing: on a terminal as wide as that, else a line a row."""
    file = file or sys.stdout
    on_terminal = file.isatty()
    console = Console(
        file=file,
        width=None if on_terminal else _PLAIN_WIDTH,
        color_system="auto" if on_terminal else None,
        highlight=False,
    )
    with console.capture() as text:
        console.print(_table(result))
        for line in _missing_lines(result.missing):
            console.print(Text(line))
    file.writelines(f"{line.rstrip()}\n" for line in text.get().splitlines())
    file.flush()


def _table(result: Result) -> Table:
    rows = [*result.rows, result.total] if len(result.rows) > 1 else result.rows
    shown = [n for n in NUMBERS if n in _ALWAYS or getattr(result.total, n)]
    found = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    found.add_column("source", overflow="fold")
    for name in shown:
        found.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        cells = [f"{getattr(row, name):,}" for name in shown]
        style = "bold red" if row.missing else ""
        found.add_row(Text(row.name), *(Text(cell) for cell in cells), style=style)
    return found


def _missing_lines(missing: Missing) -> Iterator[str]:
    for (topic, number), walk in missing.spans.items():
        spans = walk()
        first = _texts(islice(spans, MOST_SHOWN))
        if first:
            more = sum(1 for _ in spans)
            yield f"missing {topic}/{number}: {','.join(first)}" + _more(more, "ranges")
    if missing.messages is not None:
        messages = missing.messages()
        first = [f"{id_of_key(key)} of {rfc3339(ms)}" for key, ms in islice(messages, MOST_SHOWN)]
        if first:
            yield f"missing messages: {', '.join(first)}" + _more(sum(1 for _ in messages), "")


def _more(more: int, what: str) -> str:
    return f" and {more:,} more {what}".rstrip() if more else ""


def last_line(result: Result) -> str:
    """What it comes to."""
    found = result.total
    figures = [f"expected {found.expected:,}", f"delivered {found.delivered:,}"]
    for name in NUMBERS[2:]:
        if number := getattr(found, name):
            figures.append(f"{name.replace('_', ' ')} {number:,}")
    if result.others.messages:
        figures.append(f"others {result.others.messages:,}")
    verdict = (
        "nothing is missing" if found.expected else "nothing was expected, and nothing is proved"
    )
    if found.missing:
        verdict = f"{found.missing:,} missing"
        if result.doubts:
            verdict += f" (but {'; '.join(result.doubts)})"
    return (
        f"audit: {result.source} against {result.destination}: {verdict}; {', '.join(figures)}; "
        f"{result.seconds:,.1f} s"
    )


# -- for programs ----------------------------------------------------------------------------------


def content(result: Result) -> dict[str, Any]:
    """The object of `--json`."""
    found: dict[str, Any] = {"source": result.source, "destination": result.destination}
    found |= _numbers(result.total)
    found["others"] = result.others.messages
    if result.missing.messages is None:
        found["partitions"] = {
            row.name: {**_numbers(row), "missing_offsets": ",".join(_texts(walk()))}
            for row, walk in zip(result.rows, result.missing.spans.values(), strict=True)
        }
    else:
        found["missing_messages"] = _messages(result.missing)
    return found | {"doubts": list(result.doubts), "seconds": round(result.seconds, 3)}


def missing_file(missing: Missing) -> dict[str, Any]:
    """The content of `--missing`."""
    if missing.messages is None:
        topics: dict[str, dict[str, str]] = {}
        for (topic, number), walk in missing.spans.items():
            if text := ",".join(_texts(walk())):
                topics.setdefault(topic, {})[str(number)] = text
        return topics
    times = [ms for _, ms in missing.messages()]
    around = {"from": rfc3339(min(times)), "to": rfc3339(max(times) + 1)} if times else {}
    return {**around, "messages": _messages(missing)}


def _messages(missing: Missing) -> dict[str, str]:
    assert missing.messages is not None
    return {id_of_key(key): rfc3339(ms) for key, ms in missing.messages()}


def _numbers(row: Row) -> dict[str, int]:
    return {name: number for name, number in asdict(row).items() if name != "name"}


def _texts(spans: Iterator[Span]) -> list[str]:
    return [str(first) if first == last else f"{first}-{last}" for first, last in spans]
