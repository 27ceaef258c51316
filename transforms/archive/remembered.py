"""The file that remembers what of an archive is delivered, so that a killed run goes on.

    {"version": 1, "done": {"alerts/year=2026/month=11/day=20": {"3": "1042-2041"}}}

By folder: offsets by partition, or numbers of rows, from 0, by the name of a file of messages.
"""

from __future__ import annotations

import json
from functools import partial

from transforms import filesystem
from transforms.archive.files import Ask
from transforms.archive.selection import Done
from transforms.errors import CommitError, SourceError
from transforms.ranges import Ranges

_VERSION = 1


def load(path: str, ask: Ask) -> dict[tuple[str, str], Ranges]:
    """What is delivered; nothing where there is no such file.

    Raises:
      SourceError: it cannot be read, or is another file.
    """
    if not ask("find", path, partial(filesystem.exists, path)):
        return {}
    try:
        state = json.loads(ask("read", path, partial(filesystem.get, path)))
        if state["version"] != _VERSION:
            raise ValueError("another version")
        return {
            (folder, name): Ranges.from_text(text)
            for folder, names in state["done"].items()
            for name, text in names.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(
            f"read {path}: not what version {_VERSION} has remembered of an archive; choose "
            "another file for the state"
        ) from error


def save(path: str, done: Done, timeout_s: float) -> None:
    """Replaces the file.

    Raises:
      CommitError: it could not be written.
    """
    found: dict[str, dict[str, str]] = {}
    for (folder, name), ranges in sorted(done.items()):
        found.setdefault(folder, {})[name] = str(ranges)
    data = json.dumps({"version": _VERSION, "done": found}, indent=1).encode()
    filesystem.ask(CommitError, "write", path, partial(filesystem.put, path, data), timeout_s)
