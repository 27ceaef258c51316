"""Writes what is made from the flags: their tables in README.md and docs/, the metadata of the flex
templates, the body of a launch; `--check` fails on drift."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines import options
from pipelines.audit import options as audit_options
from pipelines.console import options as console_options
from pipelines.flags import ARCHIVE, BACKFILL, BRIDGES, PIPELINES, Flag, Pipeline
from pipelines.flex_templates import launch, metadata
from pipelines.flex_templates.place import example_place
from pipelines.redrive import options as redrive_options

_ROOT = Path(__file__).resolve().parent.parent
PAGES: dict[Path, tuple[Sequence[Flag], Sequence[Pipeline]]] = {
    _ROOT / "README.md": (options.FLAGS, BRIDGES),
    _ROOT / "docs" / "archive.md": (options.FLAGS, [ARCHIVE]),
    _ROOT / "docs" / "backfill.md": (options.FLAGS, [BACKFILL]),
    _ROOT / "docs" / "audit.md": (audit_options.FLAGS, PIPELINES),
    _ROOT / "docs" / "console.md": (console_options.FLAGS, PIPELINES),
    _ROOT / "docs" / "dead_letters.md": (redrive_options.FLAGS, PIPELINES),
}
"""The pages with a table, whose flags stand in it, and for which pipelines."""

TEMPLATES = {_ROOT / "templates" / f"{pipeline}.json": pipeline for pipeline in PIPELINES}
"""The files of metadata."""

LAUNCH = _ROOT / "deploy" / "scheduler" / "backfill.json"
"""The body with which a schedule launches one of them: the example of it."""

BEGIN = "<!-- flags:begin -->"
END = "<!-- flags:end -->"


def flag_tables(flags: Sequence[Flag], pipelines: Sequence[Pipeline]) -> str:
    """One Markdown table for each group of flags, of those that one of the pipelines takes."""
    return "\n".join(_lines(flags, pipelines)) + "\n"


def _lines(flags: Sequence[Flag], pipelines: Sequence[Pipeline]) -> Iterator[str]:
    group = ""
    for f in flags:
        takers = [pipeline for pipeline in pipelines if pipeline in f.where]
        if not takers:
            continue
        if f.group != group:
            group = f.group
            yield from ("", f"**{group[0].upper()}{group[1:]}**", "")
            yield from ("| flag | what it does | default |", "| --- | --- | --- |")
        cells = (
            _name(f),
            _escaped(f.help_for(takers[0])) + _where(f, takers, pipelines),
            _escaped(f.shown_default()),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _name(f: Flag) -> str:
    value = f"={f.metavar}" if f.metavar else ""
    value = f"[{value}]" if f.bare else value
    negation = f", `--{f.negation}`" if f.negation else ""
    return _escaped(f"`--{f.name}{value}`{negation}")


def _where(f: Flag, takers: Sequence[Pipeline], pipelines: Sequence[Pipeline]) -> str:
    """Which pipelines take the flag, on which runners, and what may stand in for it."""
    notes = [f"{', '.join(takers)} only"] if len(takers) < len(pipelines) else []
    runners = {
        f.shown_runners(pipeline): pipeline for pipeline in takers if f.shown_runners(pipeline)
    }
    for words, pipeline in runners.items():
        everywhere = all(f.shown_runners(p) == words for p in takers)
        notes.append(words if everywhere else f"{words} in {pipeline}")
    if f.env:
        notes.append(f"or the variable `{f.env}`")
    return f" *({'; '.join(notes)})*" if notes else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def replaced(page: str, text: str, tables: str) -> str:
    """The text of a page with other tables between the markers.

    Raises:
      ValueError: the markers are not there, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: the lines {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n{tables}{END}{after}"


def _launch_of_the_schedule() -> str:
    example = launch.example(BACKFILL, example_place(BACKFILL, {}), {})
    return launch.text(launch.body(example))


def made() -> Iterator[tuple[Path, str, str]]:
    """Each file, what stands in it, and what should."""
    for path, (flags, pipelines) in PAGES.items():
        old = path.read_text(encoding="utf-8")
        yield path, old, replaced(path.name, old, flag_tables(flags, pipelines))
    for path, pipeline in TEMPLATES.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        yield path, old, metadata.text(pipeline)
    yield LAUNCH, LAUNCH.read_text(encoding="utf-8"), _launch_of_the_schedule()


def main(argv: list[str]) -> int:
    """Writes the files, or with `--check` only says whether they are in step."""
    if not all(path.exists() for path in PAGES):
        print(f"docs: {_ROOT} has no pages; run this in a checkout", file=sys.stderr)
        return 2
    status = 0
    for path, old, new in made():
        if new == old:
            continue
        if "--check" in argv:
            print(f"{path.name}: out of step with the flags; run `make docs`")
            status = 1
            continue
        path.write_text(new, encoding="utf-8")
        print(f"{path.name}: written")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
