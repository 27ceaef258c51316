"""Dead letters in a Kafka topic: each record's value is a container of one letter.

    value      Avro container of one letter: the original and the whole reason
    headers    dead_letter.error_class, .error, .stage, .direction, .source: for people and filters

What is done is remembered in the offsets of the source's own group, which no one joins: the
committed offset is the first one that is not done, and its metadata names those beyond it that are
(`5-7,9`), since a filter can leave letters between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import cast

from transforms.dead_letter import DeadLetter, Found
from transforms.dead_letters.avro import labels, one_from_avro, to_avro
from transforms.deadlines import retried, within
from transforms.errors import (
    CommitError,
    DeliveryError,
    PreflightError,
    SourceError,
    TransferError,
)
from transforms.kafka.client import (
    Admin,
    ConsumerConfig,
    KafkaConfig,
    Offsets,
    Partition,
    Producer,
    ProducerConfig,
)
from transforms.kafka.client_errors import part_names
from transforms.kafka.clients import open_admin, open_consumer, open_producer
from transforms.limits import KAFKA_DEFAULT_MAX_OFFSET_METADATA_BYTES
from transforms.ranges import Ranges, Span
from transforms.records import KafkaRecord

_log = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 10.0
_PATIENCE_S = 30.0
_POLL_RECORDS = 200


class KafkaDeadLetters:
    """Writes to one topic, confirmed by all replicas in sync; connects at the first write.

    Implements `DeadLetterSink`.
    """

    def __init__(self, cluster: KafkaConfig, topic: str, producer: ProducerConfig) -> None:
        self._cluster = cluster
        self._topic = topic
        self._config = producer
        self._producer: Producer | None = None

    def write(self, letters: Sequence[DeadLetter], timeout_s: float) -> None:
        if not letters:
            return
        deadline = time.monotonic() + timeout_s
        try:
            producer = self._open(timeout_s)
            producer.produce([_to_record(letter, self._topic) for letter in letters])
            if failures := producer.flush(max(0.0, deadline - time.monotonic())):
                raise failures[0].error
        except TransferError:
            self.close()  # so that nothing of this write is counted to the next one
            raise

    def _open(self, timeout_s: float) -> Producer:
        if self._producer is None:
            try:
                open_one = partial(open_producer, self._cluster, self._config)
                self._producer = within(timeout_s, open_one)
            except TimeoutError as error:
                servers = self._cluster.bootstrap_servers
                raise DeliveryError(
                    f"produce {self._topic}: {servers} does not answer within {timeout_s:g} s; "
                    "check the network"
                ) from error
        return self._producer

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()


def _to_record(letter: DeadLetter, topic: str) -> KafkaRecord:
    return KafkaRecord(
        topic,
        value=to_avro([letter]),
        headers=tuple((name, text.encode()) for name, text in labels(letter).items()),
    )


class KafkaDeadLetterSource:
    """Reads a topic up to where it ended when reading began; never joins the group.

    Implements `DeadLetterSource`. The group belongs to one source at a time.

    Args:
      group_id: the group whose offsets remember what is done; nobody else commits to it.
    """

    def __init__(self, cluster: KafkaConfig, topic: str, group_id: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._group_id = group_id
        self._admin: Admin | None = None
        self._done: dict[Partition, Ranges] = {}
        self._opened = ExitStack()

    def read(self) -> Iterator[list[Found]]:
        try:
            ends = retried(self._look, _CALL_TIMEOUT_S)
        except PreflightError as error:
            raise SourceError(str(error)) from error
        positions = _before({part: self._done[part].first_missing() for part in ends}, ends)
        if not positions:
            return
        config = ConsumerConfig(self._group_id, request_timeout_s=_CALL_TIMEOUT_S)
        consumer = self._opened.enter_context(closing(open_consumer(self._cluster, config)))
        consumer.assign(positions)
        heard = time.monotonic()
        while positions:
            polled = consumer.poll(0.5, _POLL_RECORDS)
            records = [record for record in polled if _offset(record) < ends[_part(record)]]
            reached = self._pass_gaps(positions, consumer.positions(), ends, records)
            if reached != positions:
                yield from self._found(records)
                heard = time.monotonic()
            elif time.monotonic() - heard > _PATIENCE_S:
                raise SourceError(
                    f"read {self._topic}: nothing more comes, and its end is not reached; try again"
                )
            positions = _before(reached, ends)

    def _look(self) -> Offsets:
        """Asks where each partition ends, and what is done of it: all before its first offset, too.

        Raises:
          PreflightError: the cluster does not say.
          SourceError: there is no such topic, or what the group has committed is not of it.
        """
        admin = self._ask()
        partitions = admin.partitions([self._topic])
        if not partitions:
            raise SourceError(f"read {self._topic}: there is no such topic; correct the name")
        firsts, ends = admin.beginning_offsets(partitions), admin.end_offsets(partitions)
        committed = admin.committed(self._group_id)
        for part in partitions:
            at, text = committed.get(part, (firsts[part], ""))
            if at > ends[part]:
                raise SourceError(
                    f"read {part_names([part])}: group {self._group_id} has committed {at}, past "
                    f"its end {ends[part]}; if the topic was made anew, use another group"
                )
            if at < firsts[part]:
                _log.warning(
                    "read %s: offsets %d to %d no longer exist, letters in them were not redriven",
                    part_names([part]),
                    at,
                    firsts[part] - 1,
                )
            try:
                done = Ranges.from_text(text)
            except ValueError as error:
                raise SourceError(
                    f"read {part_names([part])}: the metadata of group {self._group_id} is not "
                    "what a redrive has remembered; use another group"
                ) from error
            self._done[part] = done.with_spans(_gaps(0, max(at, firsts[part])))
        return ends

    def _pass_gaps(
        self, positions: Offsets, reached: Offsets, ends: Offsets, records: Sequence[KafkaRecord]
    ) -> dict[Partition, int]:
        """Counts offsets without a record (transaction markers, compacted ones) as done.

        Returns:
          The next offset of each partition, at most its end.
        """
        offsets: dict[Partition, list[int]] = {part: [] for part in positions}
        for record in records:
            offsets[_part(record)].append(_offset(record))
        passed = {}
        for part, start in positions.items():
            passed[part] = max(start, min(reached.get(part, start), ends[part]))
            gaps = _gaps(start, passed[part], offsets[part])
            self._done[part] = self._done[part].with_spans(gaps)
        return passed

    def _found(self, records: Sequence[KafkaRecord]) -> Iterator[list[Found]]:
        found: list[Found] = []
        for record in records:
            if _offset(record) in self._done[_part(record)]:
                continue
            try:
                letter = one_from_avro(record.value or b"")
            except ValueError as error:
                if found:
                    yield found
                raise SourceError(
                    f"read {record.name}: no dead letter: {error}; is {self._topic} the topic of "
                    f"--dead_letter? If so, set the offset of group {self._group_id} behind it"
                ) from error
            found.append(Found((_part(record), _offset(record)), record.name, letter))
        if found:
            yield found

    def check(self, found: Sequence[Found]) -> None:
        offsets = _offsets(found)
        try:
            _, first, beyond = self._with_done(offsets)
        except CommitError as error:
            raise SourceError(str(error)) from error
        for part, numbers in offsets.items():
            # Every second one may be refused, and leave a range of its own for the one after it.
            worst = len(beyond[part]) + (len(numbers) // 2 + 1) * (len(str(max(numbers))) + 1)
            if worst > KAFKA_DEFAULT_MAX_OFFSET_METADATA_BYTES:
                raise SourceError(
                    f"redrive {part_names([part])}: too many letters before these still fail or "
                    f"are left for what is done to be remembered in group {self._group_id}; "
                    f"redrive those from offset {first[part]} on first, or set the group's offset "
                    "behind them"
                )

    def done(self, found: Sequence[Found]) -> None:
        done, first, beyond = self._with_done(_offsets(found))
        try:
            retried(lambda: self._ask().commit(self._group_id, first, beyond), _CALL_TIMEOUT_S)
        except PreflightError as error:
            raise CommitError(str(error)) from error
        self._done |= done

    def _with_done(
        self, offsets: Mapping[Partition, Sequence[int]]
    ) -> tuple[dict[Partition, Ranges], dict[Partition, int], dict[Partition, str]]:
        """What would be done, the offsets to commit, and their metadata.

        Raises:
          CommitError: the metadata is longer than a broker takes.
        """
        done = {part: self._done[part].with_numbers(new) for part, new in offsets.items()}
        first = {part: ranges.first_missing() for part, ranges in done.items()}
        beyond = {part: str(ranges.beyond(first[part])) for part, ranges in done.items()}
        limit = KAFKA_DEFAULT_MAX_OFFSET_METADATA_BYTES
        for part, text in beyond.items():
            if len(text) > limit:
                raise CommitError(
                    f"commit {part_names([part])} of group {self._group_id}: what is done is too "
                    f"scattered: {len(text)} bytes, limit {limit}; "
                    f"redrive the letters from offset {first[part]} on first, with fewer filters"
                )
        return done, first, beyond

    def _ask(self) -> Admin:
        if self._admin is None:
            admin = open_admin(self._cluster, _CALL_TIMEOUT_S)
            self._admin = self._opened.enter_context(closing(admin))
        return self._admin

    def close(self) -> None:
        self._opened.close()


def _part(record: KafkaRecord) -> Partition:
    return record.topic, cast("int", record.partition)


def _offset(record: KafkaRecord) -> int:
    return cast("int", record.offset)


def _before(positions: Offsets, ends: Offsets) -> dict[Partition, int]:
    """The positions that are not at their end yet."""
    return {part: at for part, at in positions.items() if at < ends[part]}


def _gaps(start: int, end: int, offsets: Iterable[int] = ()) -> Iterator[Span]:
    """What lies between ascending offsets from `start` to before `end`."""
    for offset in (*offsets, end):
        if offset > start:
            yield start, offset - 1
        start = offset + 1


def _offsets(found: Sequence[Found]) -> dict[Partition, list[int]]:
    offsets: dict[Partition, list[int]] = {}
    for item in found:
        part, offset = cast("tuple[Partition, int]", item.token)
        offsets.setdefault(part, []).append(offset)
    return offsets
