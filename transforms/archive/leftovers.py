"""What a run that was killed before its commit has left, beside what was read again after it.

A repeat reads from the same offset on, but its files may end elsewhere. Of two files of a folder
and partition that overlap, the one that begins later (or, where both begin alike, ends earlier)
loses what the other one has, too; what it has alone stays. So whoever looks comes to the same
result, and nothing goes that is not in another file: a file's name alone proves nothing, since a
topic may have been made anew under its name.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

from transforms import filesystem
from transforms.archive import layout
from transforms.archive.files import Ask
from transforms.archive.formats import Format
from transforms.archive.layout import ArchivedFile
from transforms.archive.spool import Spool, SpoolFile
from transforms.records import KafkaRecord

_BLOCK_ROWS = 1_000


def settle(path: str, format_: Format, spool: Spool, ask: Ask) -> None:
    """Looks for files of Kafka records that overlap with a new one, and takes out what is twice.

    Raises:
      BridgeError: a file cannot be read, written or deleted.
    """
    new = layout.parse(path)
    if new is None or new.partition is None:
        return
    found = ask("list", path.rpartition("/")[0], partial(_overlapping, new))
    if new not in found:
        return  # somebody has found that it is redundant
    for other in found:
        if other == new:
            continue
        earlier, later = sorted((new, other), key=lambda file: (file.first, -file.last))
        rest = _without_common(earlier, later, format_, spool, ask)
        if later is new:
            if rest is None:
                return
            new = rest


def _overlapping(new: ArchivedFile) -> list[ArchivedFile]:
    """The files that overlap with one, and that itself if it is there."""
    folder, _, name = new.path.rpartition("/")
    pattern = f"{new.topic}+{new.partition:05}+*.{new.extension}"
    beside = map(layout.parse, filesystem.matching(folder, pattern))
    found = [f for f in beside if f and f.first <= new.last and f.last >= new.first]
    return [new if file.path.endswith(f"/{name}") else file for file in found]


def _without_common(
    earlier: ArchivedFile, later: ArchivedFile, format_: Format, spool: Spool, ask: Ask
) -> ArchivedFile | None:
    """Takes out of a file what another one has, too; returns what is left of it."""
    kept = {
        offset: hash(row)
        for offset, row in format_.rows(earlier.path, ask)
        if offset >= later.first
    }
    alone = (
        (offset, row)
        for offset, row in format_.rows(later.path, ask)
        if kept.get(offset) != hash(row)
    )
    spooled = spool.file(uuid.uuid4().hex)
    try:
        rest = _write(spooled, later, alone, format_, ask)
    finally:
        spooled.remove()
    if rest != later:
        ask("delete", later.path, partial(_delete, later.path))
    return rest


def _write(
    spooled: SpoolFile,
    of: ArchivedFile,
    rows: Iterator[tuple[int, Any]],
    format_: Format,
    ask: Ask,
) -> ArchivedFile | None:
    """Keeps rows in a file of their own; if the first one of their file is among them, that file is
    left as it is.
    """
    spooled.write(format_.header(KafkaRecord))
    first = last = -1
    pending: list[Any] = []
    for offset, row in rows:
        first = offset if first < 0 else first
        if offset == of.first:
            return of
        last = offset
        pending.append(row)
        if len(pending) == _BLOCK_ROWS:
            spooled.write(format_.block(format_.again(pending)))
            pending.clear()
    if last < 0:
        return None
    if pending:
        spooled.write(format_.block(format_.again(pending)))
    rest = layout.kafka_name(of.topic, of.partition or 0, first, last, of.extension)
    path = filesystem.join(of.path.rpartition("/")[0], rest)
    ask("write", path, partial(filesystem.publish, spooled.path, path, _no_progress))
    return layout.parse(path)


def _delete(path: str) -> None:
    """Deletes a file, unless somebody else has done it."""
    try:
        filesystem.delete(path)
    except Exception:
        if filesystem.exists(path):
            raise


def _no_progress() -> None:
    """Nobody waits for it by itself."""
