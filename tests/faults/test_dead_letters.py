"""Poison in the middle of a stream, and a place for dead letters that is full."""

from __future__ import annotations

import random
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from ends import ROOT, until
from full_disk import FullDisk
from streams import PARTITIONS, Stream, ToKafka, ToPubSub, each

from transforms.dead_letters.files import FileDeadLetterSource
from transforms.records import PubsubRecord

POISON_BYTES = 200_000
LIMIT = "100000"
"""`max.message.bytes` of the destination topic."""


class Poison:
    """Messages that can never be delivered, and cannot be compressed: to Kafka too large for the
    topic; to Pub/Sub without a value, with a large key, where no attributes travel.

    Attributes:
      sent: how often each was sent, by digest; the source has confirmed them all.
      places: partition and offset of each, where Kafka is the source.
    """

    def __init__(self, stream: Stream, seed: int) -> None:
        self._stream = stream
        self._random = random.Random(f"{seed} {stream.direction} poison")
        self.sent: Counter[bytes] = Counter()
        self.places: dict[bytes, tuple[int, int]] = {}
        if isinstance(stream, ToKafka):
            stream.kafka.configure(stream.kafka_topic, max_message_bytes=LIMIT)

    def send(self, count: int) -> None:
        for _ in range(count):
            body = self._random.randbytes(POISON_BYTES)
            digest = sha256(body).digest()
            if isinstance(self._stream, ToKafka):
                self._stream.pubsub.send(self._stream.topic, [PubsubRecord(body)])
            else:
                partition = self._random.randrange(PARTITIONS)
                self.places[digest] = self._stream.source.send_key(partition, body)
            self.sent[digest] += 1

    def letters(self, folder: Path) -> Counter[bytes]:
        """How often each is in a folder of dead letters; reads every file there to its end."""
        found: Counter[bytes] = Counter()
        if not folder.is_dir():
            return found
        source = FileDeadLetterSource(str(folder))
        for batch in source.read():
            for item in batch:
                original = item.letter.original
                is_message = isinstance(original, PubsubRecord)
                found[sha256(original.data if is_message else original.key).digest()] += 1
        source.close()
        return found


def flags(stream: Stream, folder: Path) -> list[str]:
    plain = ["--attributes=none"] if isinstance(stream, ToPubSub) else []
    return [f"--dead_letter={folder}", "--delivery_timeout_s=5", "--commit_interval_s=1", *plain]


@pytest.mark.full_only
def test_poison_in_the_middle_is_put_aside_and_nothing_is_lost_over_a_kill(
    open_streams, seed, table, tmp_path
):
    """40 poisonous messages under load; a SIGKILL among them."""

    def scenario(stream: Stream) -> None:
        folder = tmp_path / f"dead-{stream.direction}"
        poison = Poison(stream, seed)
        with stream.read():
            with stream.produce():
                bridge = stream.start_and_deliver(*flags(stream, folder))
                poison.send(20)
                bridge.kill()
                stream.start_and_deliver(*flags(stream, folder))
                poison.send(20)
                until(
                    lambda: poison.letters(folder).keys() == poison.sent.keys(),
                    f"{stream.direction}: all poison is put aside",
                )
            verdict = stream.finish()
        letters = poison.letters(folder)
        assert letters.keys() == poison.sent.keys()
        effects = {"dead letters": letters.total(), "again": verdict.duplicated}
        table.judge("poison and SIGKILL", stream, verdict, effects)

    each(open_streams(), scenario)


def test_a_full_disk_for_dead_letters_stops_the_bridge_and_loses_nothing(
    open_streams, seed, table, tmp_path
):
    """Poison of over 4 MB for a disk of 1 MB: exit status 1, and a last line that names folder and
    cause; nothing is committed before a poison that is not safe. With room, a restart goes on.
    Every file of letters is read back, so none is half written."""

    def scenario(stream: Stream) -> None:
        folder = tmp_path / f"dead-{stream.direction}"
        folder.mkdir()
        poison = Poison(stream, seed)
        with FullDisk(folder) as disk, stream.read():
            settings = {"within": disk.within(ROOT)}
            with stream.produce(rate=2_000):
                bridge = stream.start_and_deliver(*flags(stream, folder), **settings)
                poison.send(2)
                until(
                    lambda: poison.letters(disk.seen).total() == 2 or bridge.process.poll(),
                    "the first letters fit, or none does",
                )
                poison.send(20)
                until(lambda: bridge.process.poll() is not None, "the bridge gives up")
                assert bridge.process.returncode == 1, bridge.output
                last = bridge.output.splitlines()[-1]
                assert str(folder) in last, last
                assert disk.cause in last, last
                safe = poison.letters(disk.seen)
                assert safe.keys() < poison.sent.keys()
                if isinstance(stream, ToPubSub):
                    committed = stream.committed()
                    for digest in poison.sent.keys() - safe.keys():
                        partition, offset = poison.places[digest]
                        assert offset >= committed.get(partition, 0), "committed, and not safe"
                disk.grow()
                settings = {"within": disk.within(ROOT)}
                stream.start_and_deliver(*flags(stream, folder), **settings)
                until(
                    lambda: poison.letters(disk.seen).keys() == poison.sent.keys(),
                    f"{stream.direction}: all poison is put aside",
                )
            verdict = stream.finish()
            letters = poison.letters(disk.seen)
        assert letters.keys() == poison.sent.keys()
        effects = {
            "exit status 1": 1,
            "letters that fitted": safe.total(),
            "letters": letters.total(),
            "again": verdict.duplicated,
        }
        table.judge(f"dead letters on a full disk ({disk.how})", stream, verdict, effects)

    each(open_streams(), scenario)
