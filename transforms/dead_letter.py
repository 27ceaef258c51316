"""What a dead letter is, and the plug points of the places that hold them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from transforms.records import KafkaRecord, PubsubRecord

Direction = Literal["kafka_to_ps", "ps_to_kafka"]
Stage = Literal["map", "write"]


CONTEXT_BYTES = 16_384
"""Upper bound of what a dead letter has beyond its original: context, schema, framing."""


class DeadLetter(NamedTuple):
    """A message that can never be delivered, as it was read, and why.

    Attributes:
      original: every field as it was read: topic, partition, offset, timestamp, or message id and
        publish time, say where it came from.
      direction: the pipeline that gave it up.
      stage: `map`: it does not fit the other side's limits; `write`: the other side refused it.
      error_class: name of a class in `transforms.errors`.
      error: the whole text of the error.
      failed_at_ms: when it was given up, milliseconds since the epoch.
      attempts: how often it was tried.
      bridge_version: `transforms.version.VERSION` of the bridge that gave it up.
    """

    original: KafkaRecord | PubsubRecord
    direction: Direction
    stage: Stage
    error_class: str
    error: str
    failed_at_ms: int
    attempts: int
    bridge_version: str


class DeadLetterSink(Protocol):
    """Writes dead letters to one place; used by one thread at a time."""

    def write(self, letters: Sequence[DeadLetter], timeout_s: float) -> None:
        """Returns when every letter is confirmed; some may be there twice after a failure.

        Raises:
          TransferError: not all are confirmed within `timeout_s`, or the place refuses one.
        """

    def close(self) -> None:
        """Disconnects; idempotent; at most 10 s."""


class Found(NamedTuple):
    """A dead letter in its place.

    Attributes:
      token: what `DeadLetterSource.done` takes.
      where: for people, such as `alerts-dead/0@17` or a file's name and the index in it.
    """

    token: Hashable
    where: str
    letter: DeadLetter


class DeadLetterSource(Protocol):
    """Reads the dead letters of one place that are not done yet; used by one thread."""

    def read(self) -> Iterator[list[Found]]:
        """Batches of what was there when reading began and is not done; ends after the last one.

        Raises:
          SourceError: the place cannot be read, or holds something that is no dead letter; names
            it.
        """

    def check(self, found: Sequence[Found]) -> None:
        """Whether `done` could remember these too; asked before they are sent.

        Raises:
          SourceError: it could not.
        """

    def done(self, found: Sequence[Found]) -> None:
        """Remembers, durably, that these are done: a later `read`, of any process, leaves them out.

        Raises:
          CommitError: it could not be remembered, so that they come again.
        """

    def close(self) -> None:
        """Gives back what is not done, and disconnects; idempotent; at most 10 s."""
