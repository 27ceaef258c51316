"""One direction under fault: a verifiable producer, bridges as processes, and the accounting."""

from __future__ import annotations

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import confluent_kafka
from ends import Bridge, Kafka, PubSub, until
from verifiable import (
    KafkaReader,
    KafkaSource,
    Ledger,
    Producer,
    PubsubReader,
    PubsubSource,
    Reader,
    Verdict,
)

from transforms.errors import PreflightError

PARTITIONS = 4

PAUSE_S = 12.5
"""Longer than the group's session time-out and the subscription's ack deadline, 10 s each."""


class Stream(ABC):
    """What both directions have in common.

    Args:
      env: where the bridges find both services, which may be a proxy; the test's own clients go to
        `kafka` and to the emulator directly.
      flags: of every bridge.
      ordered: keys and partitions keep their order, and the verdict says so.
    """

    direction: str

    def __init__(
        self,
        kafka: Kafka,
        pubsub: PubSub,
        name: str,
        folder: Path,
        env: dict[str, str],
        seed: int,
        *flags: str,
        ordered: bool = False,
        partitions: int = PARTITIONS,
        replication: int = 1,
    ) -> None:
        self.kafka = kafka
        self.pubsub = pubsub
        self.name = f"{name}-{self.direction}"
        self.group_id = self.name
        self.seed = seed
        self._ordered = ordered
        self.env = env
        self.bridges: list[Bridge] = []
        self.ledger = Ledger(seed)
        self.noted: dict[str, int] = {}
        self._folder = folder / self.direction
        self._folder.mkdir(parents=True, exist_ok=True)
        self._up: list[tuple[float, float]] = []
        self.kafka_topic = kafka.create(self.name, partitions, replication)
        self.topic, self.subscription = pubsub.create(self.name, ordered=ordered)
        self.flags = [*self._ends(ordered), *flags]
        self._reader: Reader | None = None
        self._open_clients(ordered, partitions)

    @abstractmethod
    def _ends(self, ordered: bool) -> list[str]:
        """The flags that name both ends."""

    @abstractmethod
    def _open_clients(self, ordered: bool, partitions: int) -> None:
        """Opens the producing and the reading client."""

    # -- producing and reading

    @property
    def emulator(self) -> str:
        return os.environ["PUBSUB_EMULATOR_HOST"]

    @property
    def bootstrap_servers(self) -> str:
        return self.kafka.config.bootstrap_servers

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """Within, all that arrives is accounted for."""
        assert self._reader is not None
        with self._reader:
            yield

    def produce(self, **bounds: Any) -> Producer:
        """Within it (`with`), payloads are sent; see `Producer`."""
        return Producer(self.ledger, self.source.send, **bounds)

    # -- bridges

    def start(self, *flags: str, **settings: Any) -> Bridge:
        bridge = Bridge(self.direction, self._folder, self.env, *self.flags, *flags, **settings)
        self.bridges.append(bridge)
        return bridge

    def start_and_deliver(self, *flags: str, **settings: Any) -> Bridge:
        """Starts a bridge, and returns when something has arrived since it can be stopped: what one
        before it has delivered may arrive while this one begins."""
        bridge = self.start(*flags, **settings)
        until(lambda: bridge.catches_sigterm, f"{self.direction}: a bridge that can be stopped")
        self.until_more(self.ledger.delivered, bridge)
        return bridge

    def until_more(self, before: int, bridge: Bridge | None = None, count: int = 1) -> None:
        def more() -> bool:
            if bridge is not None and bridge.process.poll() is not None:
                raise AssertionError(f"the bridge has ended:\n{bridge.output}")
            return self.ledger.delivered >= before + count

        until(more, f"{self.direction}: more than {before} delivered")

    def written_from(self, partition: int) -> int:
        """Records in this partition of the Kafka topic and those after it."""
        ends = self.kafka.admin.end_offsets(self.kafka.admin.partitions([self.kafka_topic]))
        return sum(at for (_, number), at in ends.items() if number >= partition)

    def close(self) -> None:
        for bridge in self.bridges:
            with bridge:
                pass
        self.source.close()

    # -- accounting

    def up(self, began: float, ended: float | None = None) -> None:
        """A bridge was there and delivering between two instants of `time.monotonic()`."""
        self._up.append((began, time.monotonic() if ended is None else ended))

    def rates(self) -> tuple[float, float]:
        """Messages a second delivered: while a bridge was up, and over the whole time."""
        if not self._up:
            return 0.0, 0.0
        up_s = sum(ended - began for began, ended in self._up)
        counted = sum(
            self._delivered_at(ended) - self._delivered_at(began) for began, ended in self._up
        )
        first, last = self._up[0][0], self._up[-1][1]
        overall = self._delivered_at(last) - self._delivered_at(first)
        return counted / max(up_s, 0.001), overall / max(last - first, 0.001)

    def _delivered_at(self, at: float) -> int:
        delivered = 0
        for when, total in self.ledger.samples:
            if when > at:
                break
            delivered = total
        return delivered

    def until_all_arrived(self, deadline_s: float = 90.0) -> None:
        """Until everything that the source has confirmed is at the destination."""

        def complete() -> bool:
            assert self._reader is not None
            self._reader.quiet_for(0)
            ended = [b for b in self.bridges[-1:] if b.process.poll() not in (None, 0, -9, -15)]
            if ended and self.ledger.outstanding:
                raise AssertionError(f"{self.direction}: the bridge failed:\n{ended[0].output}")
            return not self.ledger.outstanding

        try:
            until(complete, f"{self.direction}: all has arrived", deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.explain()}") from None

    def explain(self) -> str:
        """What is missing, and what the bridges said last."""
        missing = self.ledger.missing()
        logs = "\n".join(bridge.output[-3_000:] for bridge in self.bridges[-2:])
        return f"{len(missing)} missing, first {missing[:10]}; {self.ledger.verdict()}\n{logs}"

    def until_quiet(self, seconds: float = 1.5) -> None:
        """Until nothing more arrives."""
        assert self._reader is not None
        reader = self._reader
        until(lambda: reader.quiet_for(seconds), "nothing more arrives")

    def make_again(self) -> None:
        """The emulator is new: makes the topic and the subscription in it."""

        def made() -> bool:
            try:
                self.pubsub.create(self.name, ordered=self._ordered)
            except PreflightError:
                return False  # its channel is connecting
            return True

        until(made, f"{self.name} in the new emulator")
        if isinstance(self._reader, PubsubReader):
            self._reader.forget_ids()

    def settle(self) -> Verdict:
        """After the last bridge has ended: all that it wrote is read, and judged."""
        self.until_quiet(0.7)
        return self.ledger.verdict()

    def finish(self) -> Verdict:
        """Waits until all has arrived, stops the bridges cleanly, and judges."""
        self.until_all_arrived()
        for bridge in self.bridges:
            if bridge.process.poll() is None:
                bridge.stop()
        return self.settle()

    def effects(self) -> dict[str, int]:
        """What the test has noted, and what the bridges themselves say of trouble."""
        return {
            **self.noted,
            "retries": self.reported("retries"),
            "commits failed": self.reported("commit_failures"),
            "leases run out": self.reported("redelivery_expected"),
            "degraded s": round(self.reported("degraded_seconds")),
            "warnings": self.logged(" WARNING ", " ERROR "),
        }

    def reported(self, *names: str) -> float:
        """The sum of counters over the reports of all bridges that have ended by themselves."""
        total: float = 0
        for bridge in self.bridges:
            with contextlib.suppress(OSError):
                total += sum(bridge.report.get(name, 0) for name in names)
        return total

    def logged(self, *words: str) -> int:
        """Log lines of all bridges with any of these words in them."""
        return sum(
            any(word in line for word in words)
            for bridge in self.bridges
            for line in bridge.output.splitlines()
        )


class ToKafka(Stream):
    direction = "ps_to_kafka"

    def _ends(self, ordered: bool) -> list[str]:
        return [
            f"--subscription={self.subscription}",
            f"--bootstrap_servers={self.env['KAFKA_BOOTSTRAP_SERVERS']}",
            f"--kafka_topic={self.kafka_topic}",
        ]

    def _open_clients(self, ordered: bool, partitions: int) -> None:
        self.source = PubsubSource(self.emulator, self.topic, ordered)
        self._reader = KafkaReader(self.ledger, self.bootstrap_servers, self.kafka_topic)


class ToPubSub(Stream):
    direction = "kafka_to_ps"

    def _ends(self, ordered: bool) -> list[str]:
        return [
            f"--bootstrap_servers={self.env['KAFKA_BOOTSTRAP_SERVERS']}",
            f"--kafka_topics={self.kafka_topic}",
            f"--group_id={self.group_id}",
            f"--pubsub_topic={self.topic}",
            *(["--ordering_key=partition"] if ordered else []),
        ]

    def _open_clients(self, ordered: bool, partitions: int) -> None:
        self.source = KafkaSource(self.bootstrap_servers, self.kafka_topic, partitions)
        self._reader = PubsubReader(self.ledger, self.emulator, self.subscription)
        self._asking = confluent_kafka.Consumer(
            {"bootstrap.servers": self.bootstrap_servers, "group.id": self.group_id, "log_level": 0}
        )

    def committed(self) -> dict[int, int]:
        """The group's committed offset of each partition that has one."""
        parts = [
            confluent_kafka.TopicPartition(self.kafka_topic, n)
            for n in range(self.source.partitions)
        ]
        found = answer(lambda: self._asking.committed(parts, timeout=10))
        return {part.partition: part.offset for part in found if part.offset >= 0}

    def ends(self) -> dict[int, int]:
        """The end of each partition."""

        def end(number: int) -> int:
            part = confluent_kafka.TopicPartition(self.kafka_topic, number)
            return self._asking.get_watermark_offsets(part, timeout=10)[1]

        return {n: answer(lambda n=n: (end(n),))[0] for n in range(self.source.partitions)}

    def close(self) -> None:
        super().close()
        self._asking.close()


DIRECTIONS = {stream.direction: stream for stream in (ToKafka, ToPubSub)}


def answer(ask: Callable[[], Any]) -> Any:
    """Asks until the broker that knows answers: a leader or coordinator may be moving."""

    def answered() -> Any:
        try:
            return ask()
        except confluent_kafka.KafkaException:
            return None

    return until(answered, "an answer of the broker")


def each(streams: Sequence[Stream], scenario: Callable[[Stream], Any]) -> list[Any]:
    """Plays a scenario with every stream, side by side; raises what the first one raised."""
    with ThreadPoolExecutor(len(streams)) as pool:
        return list(pool.map(scenario, streams))


@contextlib.contextmanager
def flowing(streams: Sequence[Stream], **bounds: float) -> Iterator[None]:
    """Within, each stream has one bridge, which delivers."""
    with contextlib.ExitStack() as stack:
        for stream in streams:
            stack.enter_context(stream.produce(**bounds))
        each(streams, Stream.start_and_deliver)
        yield


def let_deliver(streams: Sequence[Stream], seconds: float, count: int = 1_000) -> None:
    """For so long all are up; each delivers so many at least, by the bridge that it has."""

    def deliver(stream: Stream) -> None:
        before, bridge = stream.ledger.delivered, stream.bridges[-1]
        stream.until_more(before, bridge)
        began = time.monotonic()
        time.sleep(seconds)
        stream.until_more(before, bridge, count)
        stream.up(began)

    each(streams, deliver)
