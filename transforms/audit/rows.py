"""What a ledger finds: a row for each partition or topic, and what is missing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from transforms.ranges import Span

# What is known of one message of the source: bits of a byte.
DELIVERED = 1
TWICE = 2
DEAD = 4
RETURNED = 8
BY_CONTENT = 16
"""It is known by its content, not by its place or id."""
COPY = 32
"""The source handed out the same message before."""

_BATCH = 1 << 20

KNOWN = bytes((state & (DELIVERED | DEAD | RETURNED | COPY)) != 0 for state in range(64))
"""By state: whether it is known what became of such a message."""


@dataclass(frozen=True)
class Rule:
    """How the bridge works that is audited.

    Attributes:
      lossless: `--attributes=lossless`: what holds a packed message or record is restored as that,
        and known by its content.
      returns: origin (see `transforms.origins`) of the destination: what has been there is dropped;
        empty lets all pass.
      within_kafka: source and destination are both Kafka topics.
    """

    lossless: bool = False
    returns: str = ""
    within_kafka: bool = False


@dataclass
class Row:
    """One partition, or one Pub/Sub topic; all numbers but the last three are of messages.

    Attributes:
      expected: what the source held: delivered, dead-lettered, returned, missing add up to it.
      returned: dropped on purpose, since they had been at the destination before.
      duplicated: delivered more than once.
      gaps: offsets without a record: compaction, transactions.
      expired: offsets before the log's first one, that were asked for.
      not_due: offsets that the group has not committed yet.
    """

    name: str
    expected: int = 0
    delivered: int = 0
    dead_lettered: int = 0
    returned: int = 0
    missing: int = 0
    duplicated: int = 0
    gaps: int = 0
    expired: int = 0
    not_due: int = 0

    def count(self, states: Sequence[int]) -> None:
        """Adds messages: how many there are by state."""
        for state, n in enumerate(states):
            if state & COPY:
                continue
            self.expected += n
            if state & DELIVERED:
                self.delivered += n
                self.duplicated += n if state & TWICE else 0
            elif state & DEAD:
                self.dead_lettered += n
            elif state & RETURNED:
                self.returned += n
            else:
                self.missing += n


def counts(states: bytearray) -> list[int]:
    """How many messages there are by state."""
    all_states = np.frombuffer(states, np.uint8)
    found: Any = np.zeros(len(KNOWN), np.int64)
    for begin in range(0, len(states), _BATCH):  # bincount takes 8 bytes for each of them
        found += np.bincount(all_states[begin : begin + _BATCH], minlength=len(KNOWN))
    return [int(n) for n in found]


NUMBERS = tuple(f.name for f in fields(Row) if f.name != "name")
"""The columns of a row, in their order."""


def total(rows: Iterable[Row]) -> Row:
    """The sum of all rows."""
    found = Row("total")
    for row in rows:
        for name in NUMBERS:
            setattr(found, name, getattr(found, name) + getattr(row, name))
    return found


@dataclass
class Others:
    """What is no delivery of anything that was expected.

    Attributes:
      messages: of the destination.
      outside: messages of the source outside the range.
    """

    messages: int = 0
    outside: int = 0


@dataclass
class Missing:
    """What was never delivered.

    Attributes:
      spans: what walks through the offsets of each partition; for a Kafka source.
      messages: what walks through (key of the id, publish time in milliseconds); for a Pub/Sub
        source.
    """

    spans: Mapping[tuple[str, int], Callable[[], Iterator[Span]]] = field(default_factory=dict)
    messages: Callable[[], Iterator[tuple[int, int]]] | None = None
