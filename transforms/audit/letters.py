"""Reads what dead letters hold, and marks none of them as done."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial

from transforms import filesystem
from transforms.dead_letters.avro import from_avro
from transforms.dead_letters.parts import Parts
from transforms.deadlines import PATIENCE_S
from transforms.errors import SourceError
from transforms.records import KafkaRecord, PubsubRecord

_log = logging.getLogger(__name__)

Originals = list[KafkaRecord | PubsubRecord]


class Letters:
    """Takes letters apart, and counts what is none.

    Attributes:
      strange: how many records, messages or files hold no letter.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._parts = Parts()
        self.strange = 0

    def in_records(self, records: Iterable[KafkaRecord]) -> Originals:
        """What each record's value holds."""
        return [found for record in records for found in self._open(record.value or b"")]

    def in_messages(self, messages: Iterable[PubsubRecord]) -> Originals:
        """What each message's data holds; of a letter in parts, when the last one comes."""
        return [found for message in messages for found in self._join(message)]

    def in_files(self, folder: str) -> Iterator[Originals]:
        """What each file of a folder holds; a folder that is not there yet holds nothing."""
        if filesystem.nearest(folder) != folder:
            _log.warning("read %s: there is no such folder yet; taken as empty", folder)
            return
        ask = partial(filesystem.ask, SourceError, timeout_s=PATIENCE_S)
        for name in ask("list", folder, call=partial(filesystem.names, folder)):
            path = filesystem.join(folder, name)
            yield self._open(ask("read", path, call=partial(filesystem.get, path)))

    def _join(self, message: PubsubRecord) -> Originals:
        """What a message, or the parts that it is the last one of, hold."""
        try:
            whole = self._parts.whole(message)
        except ValueError as error:
            return self._none(error)
        return [] if whole is None else self._open(b"".join(part.data for part in whole))

    def _open(self, container: bytes) -> Originals:
        try:
            return [letter.original for letter in from_avro(container)]
        except ValueError as error:
            return self._none(error)

    def _none(self, error: ValueError) -> Originals:
        if not self.strange:
            _log.warning("read %s: not every one is a dead letter: %s", self._place, error)
        self.strange += 1
        return []
