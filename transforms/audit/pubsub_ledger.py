"""The ledger of a Pub/Sub source: each message against what has its id, or its content."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from transforms import lossless, origins
from transforms.attributes import MESSAGE_ID
from transforms.audit.keys import Keys
from transforms.audit.rows import (
    COPY,
    DEAD,
    DELIVERED,
    KNOWN,
    RETURNED,
    TWICE,
    Missing,
    Others,
    Row,
    Rule,
    counts,
)
from transforms.identity import key_of_id, key_of_record
from transforms.records import KafkaRecord, PubsubRecord


class PubsubLedger:
    """The source's messages by id; the same message may come more than once.

    Args:
      name: of the source, for people.
      from_ms, to_ms: publish times that are audited, `to_ms` not included.
    """

    def __init__(self, name: str, rule: Rule, from_ms: int, to_ms: int) -> None:
        self._name = name
        self._rule = rule
        self._from_ms, self._to_ms = from_ms, to_ms
        self._ids, self._times, self._states = Keys(), array("q"), bytearray()
        self._contents, self._numbers = Keys(), array("Q")
        self.others = Others()

    # -- the source, complete before anything else

    def expect(self, messages: Iterable[PubsubRecord]) -> None:
        """Takes messages of the source."""
        rule, ids, times, states = self._rule, self._ids, self._times, self._states
        for message in messages:
            time_ms = message.publish_time_ms or 0
            if not self._from_ms <= time_ms < self._to_ms:
                self.others.outside += 1
                continue
            marker = origins.in_attributes(message.attributes) if rule.returns else ""
            returned = bool(marker) and origins.names(marker, rule.returns)
            packed = lossless.record_in(message) if rule.lossless and not returned else None
            if packed is not None:
                self._contents.add(key_of_record(packed))
                self._numbers.append(len(times))
            ids.add(key_of_id(message.message_id))
            times.append(time_ms)
            states.append(RETURNED if returned else 0)

    def seal(self) -> None:
        """The source is complete."""
        self._ids.seal()
        states = self._writable_states()
        for found in self._ids.found():
            states[found.index[found.copy > 0]] |= COPY
        if len(self._contents):
            numbers = np.frombuffer(self._numbers, np.uint64)
            self._contents.seal(keep=states[numbers] & COPY == 0)
        else:
            self._contents.seal()

    # -- the other side

    def deliver(self, found: Iterable[KafkaRecord]) -> None:
        """Takes what the destination has."""
        contents, ids = len(self._contents), self._ids
        for record in found:
            if contents and lossless.message_in(record) is None:
                self._contents.deliver(key_of_record(record))
            elif (value := dict(record.headers).get(MESSAGE_ID)) is not None:
                ids.deliver(key_of_id(value.decode("utf-8", "replace")))
            else:
                self.others.messages += 1

    def give_up(self, originals: Iterable[KafkaRecord | PubsubRecord]) -> None:
        """Takes what dead letters hold."""
        for original in originals:
            if isinstance(original, PubsubRecord):
                self._ids.give_up(key_of_id(original.message_id))

    # -- the result

    def close(self) -> tuple[list[Row], Missing]:
        """What was found; nothing is added any more."""
        states = self._writable_states()
        for found in self._ids.found():
            states[found.index[found.times > 0]] |= DELIVERED
            states[found.index[found.times > 1]] |= TWICE
            states[found.index[found.dead]] |= DEAD
        numbers = np.frombuffer(self._numbers, np.uint64) if self._numbers else None
        for found in self._contents.found():
            assert numbers is not None
            index = numbers[found.index]
            states[index[found.copy < found.times]] |= DELIVERED
            states[index[found.copy + found.copies < found.times]] |= TWICE
        self.others.messages += self._ids.others + self._contents.others
        row = Row(self._name)
        row.count(counts(self._states))
        return [row], Missing(messages=self._missing)

    def _missing(self) -> Iterator[tuple[int, int]]:
        known = np.frombuffer(KNOWN, bool)
        states = self._writable_states()
        for found in self._ids.found():
            missing = ~known[states[found.index]]
            for key, index in zip(found.key[missing], found.index[missing], strict=True):
                yield int(key), self._times[index]

    def _writable_states(self) -> Any:
        return np.frombuffer(self._states, np.uint8)
