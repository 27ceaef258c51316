"""What a run that was killed before its commit has left, and what is read again replaces.

A repeat reads from the same offset on, but its files may end elsewhere. What lies in a new file and
in an older one of the same folder and partition is taken out of the older one. All else in it
stays, in a file of its own: another run may have committed it, and nobody would write it again.
"""

from __future__ import annotations

from functools import partial

from transforms import filesystem
from transforms.archive import layout
from transforms.archive.files import Ask
from transforms.archive.formats import Format
from transforms.archive.layout import ArchivedFile
from transforms.archive.spool import Spool
from transforms.ranges import Ranges
from transforms.records import KafkaRecord


def beside(path: str) -> list[ArchivedFile]:
    """The other files of Kafka records that may have some of the same offsets."""
    new = layout.parse(path)
    if new is None or new.partition is None:
        return []
    folder, _, name = path.rpartition("/")
    pattern = f"{new.topic}+{new.partition:05}+*.{new.extension}"
    found = map(layout.parse, filesystem.matching(folder, pattern))
    return [
        file
        for file in found
        if file is not None
        and file.first <= new.last
        and new.first <= file.last
        and file.path.rpartition("/")[2] != name
    ]


def take_out(old: ArchivedFile, offsets: Ranges, format_: Format, spool: Spool, ask: Ask) -> None:
    """Removes the records at these offsets from a file, and the file if there are no others.

    Raises:
      BridgeError: it cannot be read, or its rest not be written.
    """
    common = offsets.between(old.first, old.last + 1).count
    if not common:
        return
    rest = ""
    if common < old.last + 1 - old.first:
        rest = _keep_rest(old, offsets, format_, spool, ask)
    if rest != old.path:
        ask("delete", old.path, partial(filesystem.delete, old.path))


def _keep_rest(old: ArchivedFile, offsets: Ranges, format_: Format, spool: Spool, ask: Ask) -> str:
    """Returns the file that has the rest; none where there is no rest."""
    folder, _, name = old.path.rpartition("/")
    header = format_.header(KafkaRecord)
    spool.write(name, 0, header)
    size, spans = len(header), []
    for first, last, encoded in format_.without(old.path, offsets, ask):
        data = format_.block(encoded)
        spool.write(name, size, data)
        size += len(data)
        spans.append((first, last))
    if not spans:
        return ""
    first, last = spans[0][0], spans[-1][1]
    rest = layout.kafka_name(old.topic, old.partition or 0, first, last, old.extension)
    path = filesystem.join(folder, rest)
    ask("write", path, partial(filesystem.publish, spool.path(name), path, _no_progress))
    return path


def _no_progress() -> None:
    """Nobody waits for it by itself."""
