"""Reads the source, then the destination and the dead letters, into a ledger. No terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from pipelines import reaching
from pipelines.audit.options import Options
from pipelines.audit.preflight import Facts
from pipelines.audit.progress import Meter
from pipelines.checks import check_again
from transforms import origins
from transforms.audit.kafka_ledger import KafkaLedger
from transforms.audit.letters import Letters
from transforms.audit.pubsub_ledger import PubsubLedger
from transforms.audit.rows import Missing, Others, Row, Rule
from transforms.control import Control
from transforms.errors import PreflightError, SourceError, TransferError
from transforms.kafka import groupless
from transforms.kafka.client import Offsets, Partition
from transforms.pubsub import temporary
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

PREFIX = "bridge-audit-"
"""What the names of temporary subscriptions begin with."""

Ledger = KafkaLedger | PubsubLedger
Batches = Generator[list[Any], None, None]


class Audit:
    """One audit.

    Args:
      facts: what preflight has found.
      meter: told how far it is.
      control: asked whether to stop, after each batch.
    """

    def __init__(self, options: Options, facts: Facts, meter: Meter, control: Control) -> None:
        self._options = options
        self._facts = facts
        self._meter = meter
        self._control = control
        self._subscription = ""
        self._letters_subscription = ""
        self.ledger = self._new_ledger()

    def run(self) -> tuple[list[Row], Missing, Others]:
        """Returns what was found.

        Raises:
          PreflightError: a temporary subscription cannot be made.
          TransferError: not all could be read, so that nothing is proved.
        """
        options, facts, ledger = self._options, self._facts, self.ledger
        with ExitStack() as opened:
            if facts.past:
                made = temporary.temporary_subscription(PREFIX, facts.past, options.pubsub)
                self._subscription = opened.enter_context(made)
            if facts.letters:
                made = temporary.temporary_subscription(PREFIX, facts.letters, options.pubsub)
                self._letters_subscription = opened.enter_context(made)
            self._take("source", self._source(), ledger.expect)
            ledger.seal()
            self._take("destination", self._destination(), ledger.deliver)
            if options.dead_letter:
                self._take("dead letters", self._letters(), ledger.give_up)
        rows, missing = ledger.close()
        return rows, missing, ledger.others

    def _new_ledger(self) -> Ledger:
        options, facts = self._options, self._facts
        returns = ""
        if options.returns == "drop" and options.kafka_topic:
            returns = origins.of_kafka(facts.kafka.cluster_id, options.kafka_topic)
        elif options.returns == "drop" and options.pubsub_topic:
            returns = origins.of_pubsub(options.pubsub_topic)
        rule = Rule(options.lossless, returns, bool(options.kafka_topics and options.kafka_topic))
        if options.from_kafka:
            return KafkaLedger(facts.kafka.asked, rule)
        name = facts.past.topic if facts.past else options.archive
        to_ms = facts.began_ms if options.to_ms is None else options.to_ms
        if options.archive and options.to_ms is None:
            to_ms = sys.maxsize
        return PubsubLedger(name, rule, options.from_ms or 0, to_ms)

    def _take(self, what: str, batches: Batches, add: Callable[[list[Any]], object]) -> None:
        """Reads one side to its end."""
        self._meter.begin(what)
        with closing(batches):
            for batch in batches:
                add(batch)
                self._meter.add(len(batch))
                if self._control.stopping:
                    break
        if self._control.stopping:
            raise TransferError(f"stopped ({self._control.stop_reason})")

    def _source(self) -> Batches:
        if self._options.from_kafka:
            asked = self._facts.kafka.asked
            ranges = {p: a.read for p, a in asked.items()}
            yield from groupless.read(self._options.kafka, ranges)
        elif self._options.archive:
            yield from _messages(self._read_archive(), self._options.archive)
        else:
            yield from self._pull(self._subscription)

    def _destination(self) -> Batches:
        options = self._options
        if options.kafka_topic:
            yield from groupless.read(options.kafka, self._to_the_end(self._facts.kafka.begin))
        elif options.archive:
            yield from self._read_archive()
        else:
            yield from self._pull(self._subscription)

    def _letters(self) -> Batches:
        options, place = self._options, self._options.dead_letter
        assert place is not None
        letters = Letters(place.name)
        if place.kind == "kafka":
            ranges = self._to_the_end(self._facts.kafka.letters)
            for records in groupless.read(options.kafka, ranges):
                yield letters.in_records(records)
        elif place.kind == "pubsub":
            for messages in self._pull(self._letters_subscription):
                yield letters.in_messages(messages)
        else:
            yield from letters.in_files(place.name)

    def _pull(self, subscription: str) -> Iterator[list[PubsubRecord]]:
        options = self._options
        idle_s, service = options.idle_seconds, options.pubsub
        return temporary.read(subscription, idle_s, self._stopping, service=service)

    def _stopping(self) -> bool:
        return self._control.stopping

    def _read_archive(self) -> Iterator[list[KafkaRecord | PubsubRecord]]:
        from transforms.audit import archive  # imports Beam

        return archive.read(self._options.archive)

    def _to_the_end(self, begin: Offsets) -> dict[Partition, Ranges]:
        """What is there now, after the source was read: a live bridge goes on meanwhile."""
        try:
            ends = check_again(partial(self._ends, begin))
        except PreflightError as error:
            raise SourceError(str(error)) from error
        spans = {part: (at, ends[part] - 1) for part, at in begin.items() if ends[part] > at}
        return {part: Ranges((span,)) for part, span in spans.items()}

    def _ends(self, begin: Offsets) -> dict[Partition, int]:
        with closing(reaching.open_kafka(self._options.kafka)) as admin:
            return admin.end_offsets(begin)


def _messages(
    batches: Iterator[list[KafkaRecord | PubsubRecord]], folder: str
) -> Iterator[list[PubsubRecord]]:
    """The messages of an archive that is the source."""
    for batch in batches:
        messages = [item for item in batch if isinstance(item, PubsubRecord) and item.message_id]
        if len(messages) < len(batch):
            raise SourceError(
                f"read {folder}: not all are Pub/Sub messages with their ids, as a source has to "
                "be; choose another --archive"
            )
        yield messages
