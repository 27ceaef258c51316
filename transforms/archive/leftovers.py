"""What a run that was killed before its commit has left, and what is read again replaces.

A repeat reads from the same offset on, but its files may end elsewhere. What lies in a new file and
in an older one of the same folder and partition is taken out of the older one; what lies beyond the
new file stays, in a file of its own: it may be committed, and nobody would write it again.
"""

from __future__ import annotations

from functools import partial

from transforms import filesystem
from transforms.archive import layout
from transforms.archive.files import Ask
from transforms.archive.formats import Format
from transforms.archive.layout import ArchivedFile
from transforms.archive.spool import Spool
from transforms.records import KafkaRecord


def replaced_by(path: str) -> list[ArchivedFile]:
    """The files of Kafka records that begin in this one."""
    new = layout.parse(path)
    if new is None or new.partition is None:
        return []
    folder, _, name = path.rpartition("/")
    pattern = f"{new.topic}+{new.partition:05}+*.{new.extension}"
    beside = map(layout.parse, filesystem.matching(folder, pattern))
    return [
        file
        for file in beside
        if file is not None
        and new.first <= file.first <= new.last
        and file.path.rpartition("/")[2] != name
    ]


def remove(old: ArchivedFile, new: str, format_: Format, spool: Spool, ask: Ask) -> None:
    """Removes a file, but for what lies beyond a new one.

    Raises:
      BridgeError: it cannot be read, or its rest not be written.
    """
    found = layout.parse(new)
    last = old.last if found is None else found.last
    if old.last > last:
        _keep_rest(old, last, format_, spool, ask)
    ask("delete", old.path, partial(filesystem.delete, old.path))


def _keep_rest(old: ArchivedFile, last: int, format_: Format, spool: Spool, ask: Ask) -> None:
    folder, _, name = old.path.rpartition("/")
    first, header = old.last, format_.header(KafkaRecord)
    spool.write(name, 0, header)
    size = len(header)
    for offset, encoded in format_.after(old.path, last, ask):
        first = min(first, offset)
        data = format_.block(encoded)
        spool.write(name, size, data)
        size += len(data)
    rest = layout.kafka_name(old.topic, old.partition or 0, first, old.last, old.extension)
    path = filesystem.join(folder, rest)
    ask("write", path, partial(filesystem.publish, spool.path(name), path, _no_progress))


def _no_progress() -> None:
    """Nobody waits for it by itself."""
