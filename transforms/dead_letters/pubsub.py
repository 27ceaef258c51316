"""Dead letters in a Pub/Sub topic: each message's data is a container of one letter.

    data          Avro container of one letter: the original and the whole reason
    attributes    dead_letter.error_class, .error, .stage, .direction, .source: for people and
                  filters, each cut to what an attribute can hold

A container of more than 9 MB travels in parts: messages that have, further, `dead_letter.id`, the
same in each, `dead_letter.part` (from 1) and `dead_letter.parts`; one after the other they are it.

What is done is acknowledged; what is not is given back when the source is closed.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import cast

from transforms import limits
from transforms.dead_letter import DeadLetter, Found
from transforms.dead_letters.avro import labels, one_from_avro, to_avro
from transforms.dead_letters.parts import ID, PART, PARTS, Parts, letter_id
from transforms.deadlines import within
from transforms.errors import CommitError, DeliveryError, PreflightError, SourceError
from transforms.metrics import Counts
from transforms.pubsub.client import (
    Publisher,
    Subscriber,
    Wire,
    endpoint,
    request,
    size_bytes,
    to_wire,
)
from transforms.pubsub.leases import REQUEST_TIMEOUT_S, Lease, Leases, ack_ids
from transforms.pubsub.service import DEFAULT, Service
from transforms.records import PubsubRecord

_log = logging.getLogger(__name__)

PART_BYTES = 9_000_000
"""Most data of one message; `PUBSUB_MAX_MESSAGE_BYTES` less room for attributes and framing."""

_PULL_MESSAGES = 100
_CLOSE_TIMEOUT_S = 10.0


# -- writing ---------------------------------------------------------------------------------------


class PubsubDeadLetters:
    """Publishes to one topic, without ordering keys; connects at the first write.

    Implements `DeadLetterSink`.

    Args:
      topic: `projects/P/topics/T`.
      timeout_s: a request is tried again for so long.
      service: where the topic is, and who writes it.
    """

    def __init__(self, topic: str, timeout_s: float, service: Service = DEFAULT) -> None:
        self._topic = topic
        self._timeout_s = timeout_s
        self._service = service
        self._publisher: Publisher | None = None

    def write(self, letters: Sequence[DeadLetter], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        publisher = self._open()
        messages = (message for letter in letters for message in to_messages(letter))
        for batch in _requests(self._topic, messages):
            try:
                left_s = max(0.0, deadline - time.monotonic())
                within(left_s, partial(publisher.publish, batch))
            except TimeoutError as error:
                raise DeliveryError(
                    f"publish {self._topic}: not confirmed within {timeout_s:g} s by "
                    f"{endpoint(self._service)}; check the network"
                ) from error

    def _open(self) -> Publisher:
        if self._publisher is None:
            try:
                self._publisher = Publisher(self._topic, self._timeout_s, service=self._service)
            except PreflightError as error:
                raise DeliveryError(str(error)) from error
        return self._publisher

    def close(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close()


def to_messages(letter: DeadLetter) -> Iterator[PubsubRecord]:
    """The message that holds a letter, or its parts in order."""
    data = to_avro([letter])
    attributes = {name: _cut(text) for name, text in labels(letter).items()}
    if len(data) <= PART_BYTES:
        yield PubsubRecord(data, attributes)
        return
    attributes |= {ID: uuid.uuid4().hex, PARTS: str(math.ceil(len(data) / PART_BYTES))}
    for number, start in enumerate(range(0, len(data), PART_BYTES), 1):
        yield PubsubRecord(data[start : start + PART_BYTES], {**attributes, PART: str(number)})


def _cut(text: str) -> str:
    """As much of a text as an attribute can hold, in whole characters."""
    return text.encode()[: limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES].decode("utf-8", "ignore")


def _requests(topic: str, messages: Iterable[PubsubRecord]) -> Iterator[list[Wire]]:
    """Messages in order, as many in one request as it can hold."""
    batch: list[Wire] = []
    empty = size = len(request(topic, ()))
    for message in messages:
        wire = to_wire(message)
        added = size_bytes(wire)
        full = len(batch) == limits.PUBSUB_MAX_REQUEST_MESSAGES
        if batch and (full or size + added > limits.PUBSUB_MAX_REQUEST_BYTES):
            yield batch
            batch, size = [], empty
        batch.append(wire)
        size += added
    if batch:
        yield batch


# -- reading ---------------------------------------------------------------------------------------


class PubsubDeadLetterSource:
    """Pulls what was published before reading began, by this machine's clock; in no order.

    Implements `DeadLetterSource`. A letter is handed out once, however often it is delivered; all
    that was pulled stays leased until it is acknowledged, or given back by `close`.

    Args:
      subscription: `projects/P/subscriptions/S`.
      ack_deadline_s: the subscription's own.
      quiet_s: reading ends when nothing has come for so long.
      clock: seconds since the epoch.
      service: where the subscription is, and who reads it.
    Raises:
      PreflightError: there are no credentials.
    """

    def __init__(
        self,
        subscription: str,
        ack_deadline_s: int,
        quiet_s: float = 5.0,
        clock: Callable[[], float] = time.time,
        service: Service = DEFAULT,
    ) -> None:
        self._subscription = subscription
        self._quiet_s = quiet_s
        self._clock = clock
        self._subscriber = Subscriber(subscription, service)
        self._leases = Leases(
            self._subscriber, subscription, ack_deadline_s, math.inf, Counts(), time.monotonic
        )
        self._began_ms = 0
        self._held: dict[str, list[Lease]] = {}
        self._seen: set[tuple[str, str | None]] = set()
        self._parts = Parts()
        self._done: set[str] = set()
        self._closed = False

    def read(self) -> Iterator[list[Found]]:
        self._began_ms = int(self._clock() * 1000)
        heard = time.monotonic()
        while (left_s := heard + self._quiet_s - time.monotonic()) > 0:
            pulled = self._subscriber.pull(_PULL_MESSAGES, left_s)
            delivered = zip(pulled.records, pulled.ack_ids, strict=True)
            held = [(m, self._leases.hold([ack_id], [m.message_id])) for m, ack_id in delivered]
            new = [message for message, lease in held if self._is_new(message, lease)]
            if new:
                yield from self._found(new)
                heard = time.monotonic()
        self._subscriber.ask(REQUEST_TIMEOUT_S)

    def _is_new(self, message: PubsubRecord, lease: Lease) -> bool:
        """Whether a message is to be read now: not published since reading began, and not
        delivered again. Its lease is kept with its letter, so that one ack is for all of it.
        """
        if (message.publish_time_ms or 0) > self._began_ms:
            return False
        name = letter_id(message)
        if name in self._done:
            self._acknowledge_again(lease)
            return False
        self._held.setdefault(name, []).append(lease)
        delivered = name, message.attributes.get(PART)
        new = delivered not in self._seen
        self._seen.add(delivered)
        return new

    def _found(self, messages: Sequence[PubsubRecord]) -> Iterator[list[Found]]:
        found: list[Found] = []
        for message in messages:
            try:
                whole = self._parts.whole(message)
                if whole is None:
                    continue
                letter = one_from_avro(b"".join(part.data for part in whole))
            except ValueError as error:
                if found:
                    yield found
                raise SourceError(
                    f"read {message.name} of {self._subscription}: no dead letter: {error}; "
                    "acknowledge it, and keep the topic for dead letters"
                ) from error
            where = ", ".join(part.name for part in whole)
            found.append(Found(letter_id(message), where, letter))
        if found:
            yield found

    def check(self, found: Sequence[Found]) -> None:
        """Each is acknowledged by itself."""

    def done(self, found: Sequence[Found]) -> None:
        ids = [cast("str", item.token) for item in found]
        self._done.update(ids)
        self._acknowledge([lease for name in ids for lease in self._held.pop(name, [])])

    def _acknowledge(self, leases: Sequence[Lease]) -> None:
        self._leases.note_expired(leases)
        self._leases.forget(leases)
        self._subscriber.acknowledge(ack_ids(leases), REQUEST_TIMEOUT_S)

    def _acknowledge_again(self, lease: Lease) -> None:
        try:
            self._acknowledge([lease])
        except CommitError as error:
            _log.warning("%s; it comes again", error)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for name, came, of in self._parts.incomplete():
            _log.warning(
                "%s: dead letter %s is incomplete: %d of its %s parts came; they are given back",
                self._subscription,
                name,
                came,
                of,
            )
        with contextlib.suppress(TimeoutError):
            within(_CLOSE_TIMEOUT_S, self._give_back)

    def _give_back(self) -> None:
        self._leases.stop()
        self._leases.give_back(self._leases.forget_all())
        self._subscriber.close()
