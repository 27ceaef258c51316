"""What a migration looks like: a shell script whose comments say what there is to know, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.flags import KAFKA_TO_PS
from pipelines.migrate.settings import Kind, Note
from pipelines.migrate.translate import Command, Migration
from pipelines.preflight import sample_found
from pipelines.printable import one_line

_BEFORE = (Kind.FIRST,)
_AFTER = (Kind.DIFFERS, Kind.LACKS, Kind.UNKNOWN, Kind.SAME)


def script(migration: Migration) -> str:
    """The commands, ready to paste, each between comment lines; then what is about workers."""
    lines = list(_sections(migration.of_workers, _BEFORE))
    lines += [""] if lines else []
    for command in migration.commands:
        lines += [*_command(command), ""]
    if any(note.kind in _AFTER for note in migration.of_workers):
        lines.append(_comment("the workers' settings"))
        lines += [*_sections(migration.of_workers, _AFTER), ""]
    lines += map(_comment, (*migration.unsupported, *migration.errors))
    if len(migration.commands) > 1:
        lines.append(
            _comment(
                "each command runs until it is stopped: give each a shell or a service of its own"
            )
        )
    return "\n".join(lines).rstrip("\n") + "\n"


def _command(command: Command) -> Iterator[str]:
    yield _comment(f"{command.connector}, from {command.where}")
    yield from _sections(command.notes, _BEFORE)
    yield " \\\n    ".join(command.lines)
    yield from _sections(command.notes, _AFTER)


def _sections(notes: Sequence[Note], kinds: Sequence[Kind]) -> Iterator[str]:
    """Notes under a heading for each kind; those of one text in one line."""
    for kind in kinds:
        found = list(_joined(note for note in notes if note.kind is kind))
        if found:
            yield _comment(f"{kind.value}:")
            yield from (_comment(f"  {_line(note)}") for note in found)


def _joined(notes: Iterator[Note]) -> Iterator[Note]:
    by_text: dict[tuple[Kind, str, str], list[str]] = {}
    for note in notes:
        by_text.setdefault((note.kind, note.text, note.where), []).extend(note.settings)
    for (kind, text, where), settings in by_text.items():
        yield Note(kind, tuple(dict.fromkeys(settings)), text, where)


def _line(note: Note) -> str:
    names = ", ".join(note.settings)
    where = f"{note.where}: " if note.where else ""
    return f"{where}{names}: {note.text}" if names else f"{where}{note.text}"


def _comment(text: str) -> str:
    return f"# {one_line(text)}" if not text.startswith("  ") else f"#   {one_line(text)}"


def content(migration: Migration, checks: Sequence[Any] = ()) -> dict[str, Any]:
    """The same as an object for JSON.

    Args:
      checks: what preflight found, a command each; null where it failed; none without `--check`.
    """
    commands = []
    for number, command in enumerate(migration.commands):
        found: dict[str, Any] = {
            "connector": command.connector,
            "file": command.where,
            "pipeline": command.pipeline,
            "environment": dict(command.environment),
            "argv": ["python", "-m", f"pipelines.{command.pipeline}", *command.argv],
            "shell": " ".join(command.lines),
            "notes": [_object(note) for note in command.notes],
        }
        if checks:
            found["preflight"] = checks[number]
        commands.append(found)
    return {
        "commands": commands,
        "workers": [_object(note) for note in migration.of_workers],
        "not_migrated": [*migration.unsupported, *migration.errors],
    }


def _object(note: Note) -> dict[str, Any]:
    kind = note.kind.name.lower()
    found: dict[str, Any] = {"kind": kind, "settings": list(note.settings), "text": note.text}
    return found | ({"file": note.where} if note.where else {})


def checked(command: Command, found: Any) -> str:
    """What preflight found of a command, as comment lines."""
    lines = [f"{command.connector}: the check failed; standard error says why"]
    if found is not None:
        told = sample_found.lines(command.pipeline, found)
        lines = [f"{command.connector}: the check", *(f"  {what}: {text}" for what, text in told)]
        lines += [f"  {note}" for note in found["notes"]]
        lines += [f"  {text}" for text in (wrong(command, found), _members(command, found)) if text]
    return "".join(f"{_comment(line)}\n" for line in lines)


def wrong(command: Command, found: Any) -> str:
    """Why a sink's bridge would not go on where the connector stopped, whatever preflight says."""
    source = found["source"]
    if command.pipeline != KAFKA_TO_PS:
        return ""
    if not source["topics"]:
        return "there is no such topic: the bridge would wait for it; compare names and brokers"
    if not source["committed_partitions"]:
        return (
            "the group has committed nothing, so that the bridge would not go on where the "
            "connector stopped: compare the connector's name, its group and the brokers"
        )
    return ""


def _members(command: Command, found: Any) -> str:
    """That a sink's connector is running still."""
    if command.pipeline != KAFKA_TO_PS or not found["source"]["members"]:
        return ""
    return "the group has members: stop the connector before the bridge is started"


def to_json(migration: Migration, checks: Sequence[Any] = ()) -> str:
    """One JSON object."""
    return json.dumps(content(migration, checks), indent=2)
