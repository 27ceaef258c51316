"""Writes the tables of flags in README.md and docs/; `--check` fails on drift."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines import options
from pipelines.audit import options as audit_options
from pipelines.flags import Flag
from pipelines.redrive import options as redrive_options

_ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    _ROOT / "README.md": options.FLAGS,
    _ROOT / "docs" / "audit.md": audit_options.FLAGS,
    _ROOT / "docs" / "dead_letters.md": redrive_options.FLAGS,
}
"""The pages with a table, and whose flags stand in it."""

BEGIN = "<!-- flags:begin -->"
END = "<!-- flags:end -->"


def flag_tables(flags: Sequence[Flag]) -> str:
    """One Markdown table for each group of flags."""
    return "\n".join(_lines(flags)) + "\n"


def _lines(flags: Sequence[Flag]) -> Iterator[str]:
    group = ""
    for f in flags:
        if f.group != group:
            group = f.group
            yield from ("", f"**{group[0].upper()}{group[1:]}**", "")
            yield from ("| flag | what it does | default |", "| --- | --- | --- |")
        yield f"| {_name(f)} | {_escaped(f.help)}{_where(f)} | {_escaped(f.shown_default())} |"
    yield ""


def _name(f: Flag) -> str:
    value = f"={f.metavar}" if f.metavar else ""
    negation = f", `--{f.negation}`" if f.negation else ""
    return _escaped(f"`--{f.name}{value}`{negation}")


def _where(f: Flag) -> str:
    """Which pipelines take the flag, on which runners, and what may stand in for it."""
    notes = [f"{next(iter(f.where))} only"] if len(f.where) == 1 else []
    runners = {
        f.shown_runners(pipeline): pipeline for pipeline in f.where if f.shown_runners(pipeline)
    }
    for words, pipeline in runners.items():
        everywhere = all(f.shown_runners(p) == words for p in f.where)
        notes.append(words if everywhere else f"{words} in {pipeline}")
    if f.env:
        notes.append(f"or the variable `{f.env}`")
    return f" *({'; '.join(notes)})*" if notes else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def replaced(page: str, text: str, flags: Sequence[Flag]) -> str:
    """The text of a page with what stands between the markers made anew.

    Raises:
      ValueError: the markers are not there, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: the lines {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n{flag_tables(flags)}{END}{after}"


def main(argv: list[str]) -> int:
    """Writes the pages, or with `--check` only says whether they are in step."""
    status = 0
    for path, flags in PAGES.items():
        old = path.read_text(encoding="utf-8")
        new = replaced(path.name, old, flags)
        if new == old:
            continue
        if "--check" in argv:
            print(f"{path.name}: its flag tables are out of step; run `make docs`")
            status = 1
            continue
        path.write_text(new, encoding="utf-8")
        print(f"{path.name}: flag tables written")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
