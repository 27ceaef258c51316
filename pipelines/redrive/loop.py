"""Which letters are sent, in which batches, and when they are remembered. No terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from transforms.dead_letter import DeadLetter, DeadLetterSource, Found
from transforms.dead_letters.sending import Original, Refusal

Send = Callable[[Sequence[Original]], Mapping[int, Refusal]]
"""Returns when each is confirmed or refused: the refused ones by index. Raises TransferError."""

Show = Callable[[DeadLetter], None]


@dataclass(frozen=True)
class Selection:
    """Which letters are to be sent; the others stay as they are.

    Attributes:
      error_classes: names of classes; empty for all.
      after_ms, before_ms: when they were given up, milliseconds since the epoch: from `after_ms`
        on, up to but without `before_ms`.
      max_messages: how many are tried at most.
    """

    error_classes: frozenset[str] = frozenset()
    after_ms: int | None = None
    before_ms: int | None = None
    max_messages: int | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the letter is one of those; by itself, without `max_messages`."""
        return (
            (not self.error_classes or letter.error_class in self.error_classes)
            and (self.after_ms is None or letter.failed_at_ms >= self.after_ms)
            and (self.before_ms is None or letter.failed_at_ms < self.before_ms)
        )


@dataclass
class Tally:
    """What has become of the letters that were found.

    Attributes:
      found: letters that were looked at; the sum of all that follow.
      sent: confirmed by the destination.
      would_send: those that a dry run would send.
      copies: further letters of the same message, which share its fate.
      left: not selected.
      failed: cannot be delivered now either, by the class of the present error.
    """

    found: int = 0
    sent: int = 0
    would_send: int = 0
    copies: int = 0
    left: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class Redrive:
    """One run over a source of dead letters.

    Args:
      send: sends, or in a dry run only tells what would be refused.
      show_failed: told of each letter that cannot be delivered, with its present reason.
      show_would_send: told of each that a dry run would send; None in a run that sends.
    """

    def __init__(
        self,
        source: DeadLetterSource,
        send: Send,
        selection: Selection,
        show_failed: Show,
        show_would_send: Show | None = None,
    ) -> None:
        self._source = source
        self._send = send
        self._selection = selection
        self._show_failed = show_failed
        self._show_would_send = show_would_send
        self._tried = 0
        self._delivered: dict[Hashable, bool] = {}
        self.tally = Tally()

    @property
    def exhausted(self) -> bool:
        """Whether `max_messages` have been tried."""
        return self._tried == self._selection.max_messages

    def run(self, stopping: Callable[[], bool]) -> None:
        """Goes on until the last letter, or until it is asked to stop.

        Args:
          stopping: asked after each batch.
        Raises:
          TransferError: a service is down; what was confirmed in earlier batches is remembered.
        """
        for batch in self._source.read():
            self._redrive(batch)
            if self.exhausted or stopping():
                return

    def _redrive(self, batch: Sequence[Found]) -> None:
        chosen, done = self._choose(batch)
        letters = [copies[0].letter for copies in chosen.values()]
        dry_run = self._show_would_send is not None
        if not dry_run:
            self._source.check([found for copies in chosen.values() for found in copies] + done)
        refused = self._send([letter.original for letter in letters])
        for index, (message, copies) in enumerate(chosen.items()):
            self._delivered[message] = index not in refused and not dry_run
            if index in refused:
                self._fail(copies[0].letter, refused[index])
            elif self._show_would_send is not None:
                self.tally.would_send += 1
                self._show_would_send(copies[0].letter)
            else:
                self.tally.sent += 1
                done += copies
        if done:
            self._source.done(done)

    def _choose(self, batch: Sequence[Found]) -> tuple[dict[Hashable, list[Found]], list[Found]]:
        """What is to be sent now, with its copies, in order; and the copies of what was sent."""
        chosen: dict[Hashable, list[Found]] = {}
        done: list[Found] = []
        self.tally.found += len(batch)
        for found in batch:
            message = _message(found.letter)
            if message in chosen:
                chosen[message].append(found)
                self.tally.copies += 1
            elif message in self._delivered:
                done += [found] if self._delivered[message] else []
                self.tally.copies += 1
            elif not self.exhausted and self._selection.takes(found.letter):
                chosen[message] = [found]
                self._tried += 1
            else:
                self.tally.left += 1
        return chosen, done

    def _fail(self, letter: DeadLetter, refusal: Refusal) -> None:
        self.tally.failed[refusal.error_class] += 1
        self._show_failed(letter._replace(**refusal._asdict()))


def _message(letter: DeadLetter) -> Hashable:
    """What the copies of a letter have in common; two clusters may have records of one name."""
    return letter.direction, letter.original.name, hash(letter.original)
