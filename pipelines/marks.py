"""Where the destination of a backfill stood before it was written to, for the run after a kill."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Protocol

from pipelines import backfill_state, reaching
from pipelines.checks import check_again
from pipelines.facts import Facts
from pipelines.options import Options
from pipelines.reaching import CALL_S
from transforms.errors import CommitError, PreflightError, SourceError
from transforms.kafka import groupless
from transforms.kafka.client import Offsets, Partition
from transforms.pubsub import client as pubsub
from transforms.pubsub import temporary
from transforms.pubsub.client import PubsubAdmin
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

SETTLED_S = 3.0
"""What a killed process had sent is in Kafka's log after so long."""

_IDLE_S = 10.0
_MOST_CHARACTERS = 200
_EXPIRES_AFTER_S = 7 * 86_400
_BEGAN_MS = "began_ms"
_MARGIN_MS = 60_000
"""The service's clock may differ from this one. Of a topic that keeps its messages so much is seen
that was there before."""


class Mark(Protocol):
    """Methods raise PreflightError, with a line that says what to do."""

    def is_there(self) -> bool:
        """Whether a run has left it."""

    def place(self) -> None:
        """Has it where the destination stands now, wherever it was before."""

    def written_since(self) -> Iterable[Sequence[KafkaRecord | PubsubRecord]]:
        """All that is at the destination behind it, once it comes to rest.

        Raises:
          SourceError: it cannot be read.
        """

    def remove(self) -> None:
        """Takes it away, if it is there."""


class SubscriptionMark:
    """A subscription of each topic, from which only a run that looks pulls. It keeps what that
    acknowledges, so that one that is killed while it looks leaves all to the next one."""

    def __init__(self, options: Options, facts: Facts, topics: Sequence[str]) -> None:
        self._options = options
        self._topics = {_subscription(topic, facts.name): topic for topic in topics}

    def is_there(self) -> bool:
        with self._admin() as admin:
            return any(map(admin.find_subscription, self._topics))

    def place(self) -> None:
        self.remove()
        with self._admin() as admin:
            for name in self._topics:
                self._create(admin, name)

    def written_since(self) -> Iterator[list[PubsubRecord]]:
        """Places those that are missing: their topics are new."""
        options = self._options
        for name in self._topics:
            with self._admin() as admin:
                info = admin.find_subscription(name)
                if info is not None and (info.detached or info.topic != self._topics[name]):
                    admin.delete_subscription(name)  # its topic was deleted, and made anew
                    info = None
                if info is None:
                    self._create(admin, name)
                    continue
                admin.seek(name, max(0, int(info.labels.get(_BEGAN_MS, "0")) - _MARGIN_MS))
            idle_s = options.idle_seconds or _IDLE_S
            yield from temporary.read(name, idle_s, bool, service=options.pubsub)

    def remove(self) -> None:
        with self._admin() as admin:
            for name in self._topics:
                if admin.find_subscription(name) is not None:
                    admin.delete_subscription(name)

    def _create(self, admin: PubsubAdmin, name: str) -> None:
        admin.create_subscription(
            name,
            self._topics[name],
            expires_after_s=_EXPIRES_AFTER_S,
            keeps_acked=True,
            labels={_BEGAN_MS: str(int(time.time() * 1000))},
        )

    def _admin(self) -> closing[PubsubAdmin]:
        return closing(pubsub.open_admin(CALL_S, self._options.pubsub))


def _subscription(topic: str, backfill: str) -> str:
    project, _, topic_id = topic.partition("/topics/")
    if len(topic_id) > _MOST_CHARACTERS:
        digest = hashlib.sha256(topic_id.encode()).hexdigest()[:16]
        topic_id = f"{topic_id[: _MOST_CHARACTERS - 17]}-{digest}"
    return f"{project}/subscriptions/{topic_id}-backfill-{backfill}"


class _Ends:
    """The ends of Kafka topics."""

    def __init__(self, options: Options, topics: Sequence[str]) -> None:
        self._options = options
        self._topics = topics

    def _now(self) -> dict[Partition, int]:
        with closing(reaching.open_kafka(self._options.kafka)) as admin:
            return admin.end_offsets(admin.partitions(self._topics))

    def _read_from(self, mark: Offsets) -> Iterator[list[KafkaRecord]]:
        time.sleep(SETTLED_S)
        yield from groupless.read(self._options.kafka, check_again(partial(self._since, mark)))

    def _since(self, mark: Offsets) -> dict[Partition, Ranges]:
        """What is there from the mark on; all of a partition that is new, or made anew."""
        with closing(reaching.open_kafka(self._options.kafka)) as admin:
            parts = admin.partitions(self._topics)
            first = admin.beginning_offsets(parts)
            ends = admin.end_offsets(parts, open_transactions=True)
        marked = {part: at for part, at in mark.items() if at <= ends.get(part, 0)}
        begin = {part: max(first[part], marked.get(part, 0)) for part in parts}
        return {p: Ranges(((begin[p], ends[p] - 1),)) for p in parts if ends[p] > begin[p]}


class EndsInState(_Ends):
    """Beside the status of a backfill from Pub/Sub, which says whether they count."""

    def __init__(self, options: Options, facts: Facts, topics: Sequence[str]) -> None:
        super().__init__(options, topics)
        self._facts = facts

    def is_there(self) -> bool:
        return self._facts.status == "writing"

    def place(self) -> None:
        stands = check_again(self._now)
        with _as_preflight():
            backfill_state.save(self._options, self._facts, "writing", stands)

    def written_since(self) -> Iterator[list[KafkaRecord]]:
        return self._read_from(self._facts.marked)

    def remove(self) -> None:
        """The status that follows does."""


class EndsInFile(_Ends):
    """In a file beside the one that remembers what of an archive is delivered."""

    def __init__(self, options: Options, facts: Facts, topics: Sequence[str]) -> None:
        super().__init__(options, topics)
        self._path = f"{facts.state}.writing"
        self._owner = facts.name

    def is_there(self) -> bool:
        from transforms import filesystem

        exists = partial(filesystem.exists, self._path)
        return filesystem.ask(PreflightError, "find", self._path, exists, CALL_S)

    def place(self) -> None:
        stands = check_again(self._now)
        self.remove()
        with _as_preflight():
            self._file().commit(stands)

    def written_since(self) -> Iterator[list[KafkaRecord]]:
        mark = {part: committed.offset for part, committed in self._file().all().items()}
        return self._read_from(mark)

    def remove(self) -> None:
        from transforms import filesystem

        if self.is_there():
            delete = partial(filesystem.delete, self._path)
            filesystem.ask(PreflightError, "delete", self._path, delete, CALL_S)

    def _file(self) -> Any:
        from transforms.kafka.offset_file import OffsetFile

        return OffsetFile(self._path, self._owner, CALL_S)


@contextmanager
def _as_preflight() -> Iterator[None]:
    try:
        yield
    except (CommitError, SourceError) as error:
        raise PreflightError(str(error)) from error


def find(options: Options, facts: Facts, topics: Sequence[str]) -> Mark:
    """The mark of a run, be it there or not.

    Args:
      topics: all that are written.
    """
    if "pubsub" in options.route.sinks:
        return SubscriptionMark(options, facts, topics)
    kind = EndsInState if options.route.source == "pubsub" else EndsInFile
    return kind(options, facts, topics)
