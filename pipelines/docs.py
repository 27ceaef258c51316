"""Writes the tables of README.md that come from `pipelines.options`; `--check` fails on drift."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pipelines.flags import Flag
from pipelines.options import FLAGS

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- flags:begin -->"
END = "<!-- flags:end -->"


def flag_tables() -> str:
    """One Markdown table for each group of flags."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    group = ""
    for f in FLAGS:
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


def replaced(text: str) -> str:
    """The text with what stands between the markers made anew.

    Raises:
      ValueError: the markers are not there, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md: the lines {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n{flag_tables()}{END}{after}"


def main(argv: list[str]) -> int:
    """Writes README.md, or with `--check` only says whether it is in step."""
    old = README.read_text(encoding="utf-8")
    new = replaced(old)
    if new == old:
        return 0
    if "--check" in argv:
        print("README.md: its flag tables are not those of pipelines/options.py; run `make docs`")
        return 1
    README.write_text(new, encoding="utf-8")
    print("README.md: flag tables written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
