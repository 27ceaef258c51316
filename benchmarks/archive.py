"""What it costs to archive a Kafka topic: records a second, MB/s, microseconds of CPU a record.

    python -m benchmarks.archive [--records=500000] [--bytes=1000] [--random] [--codec=zstandard]

On an embedded broker of its own: a topic of 4 partitions is filled, then the graph of
`pipelines.archive` reads it to its end in this process, with librdkafka, and closes its files. The
values are JSON objects of numbers and text, no two alike (zstandard makes about half of them), or
random bytes. The clock runs from the first record that is read to the last file that is visible;
the CPU is that of this process and of the broker, read apart, since both share the machine.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import random
import resource
import string
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam

from benchmarks.sampling import cpu_s
from benchmarks.stack import PARTITIONS, Kafka
from pipelines import rounds
from pipelines.local.stack import EmbeddedStack
from transforms import registry
from transforms.archive.sink import WriteToArchive
from transforms.archive.writer import ArchiveSinkConfig
from transforms.control import Bounds
from transforms.kafka.client import ConsumerConfig, KafkaConfig, ProducerConfig
from transforms.kafka.clients import open_producer
from transforms.kafka.session import KafkaSourceConfig
from transforms.kafka.source import ReadFromKafka
from transforms.records import KafkaRecord
from transforms.registry import Bridge, BridgeConfig

TOPIC = "bench"
VARIANTS = 5_000
"""Different values; a block of an archive's file holds fewer."""


def values(size: int, is_random: bool) -> list[bytes]:
    """The values to be written, again and again."""
    numbers = random.Random(7)
    if is_random:
        return [numbers.randbytes(size) for _ in range(VARIANTS)]
    return [_alert(numbers, size) for _ in range(VARIANTS)]


def _alert(numbers: random.Random, size: int) -> bytes:
    alert: dict[str, Any] = {
        "objectId": "ZTF18" + "".join(numbers.choices(string.ascii_lowercase, k=7)),
        "jd": 2_459_000 + numbers.random() * 100,
        "ra": numbers.random() * 360,
        "dec": numbers.random() * 180 - 90,
        "magnitudes": [],
    }
    while len(json.dumps(alert)) < size:
        alert["magnitudes"].append(numbers.gauss(18, 1))
    return json.dumps(alert).encode()[:size]


def fill(kafka: KafkaConfig, count: int, payloads: list[bytes]) -> None:
    """Makes the topic, and writes records with keys to its partitions in turn."""
    Kafka(kafka.bootstrap_servers).create(TOPIC)
    with closing(open_producer(kafka, ProducerConfig(linger_ms=20))) as producer:
        for number in range(count):
            record = KafkaRecord(
                TOPIC,
                number % PARTITIONS,
                key=b"ZTF18%07d" % (number % 100_000),
                value=payloads[number % len(payloads)],
            )
            producer.produce([record])
        if failures := producer.flush(60):
            raise failures[0].error


class Clock:
    """Runs from the first record read to the last one delivered; a thread looks."""

    def __init__(self, bridge: Bridge, broker: int) -> None:
        self._bridge = bridge
        self._broker = broker
        self.began = (0.0, 0.0, 0.0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _now(self) -> tuple[float, float, float]:
        return time.monotonic(), time.process_time(), cpu_s([self._broker])

    def _run(self) -> None:
        while not self._bridge.counts.totals()["read"]:
            self.began = self._now()
            time.sleep(0.005)

    def stop(self) -> list[float]:
        """Seconds: by the clock, of this process, of the broker."""
        self._thread.join()
        return [end - start for start, end in zip(self.began, self._now(), strict=True)]


def archive(
    kafka: KafkaConfig, broker: int, count: int, group: str, sink: Callable[[BridgeConfig], Any]
) -> list[float]:
    """Reads all of the topic into a sink; returns what `Clock.stop` does."""
    config = BridgeConfig(
        bridge_id=group,
        bounds=Bounds(max_messages=count),
        commit_interval_s=600,
        bundle_bytes=10**12,
    )
    source = KafkaSourceConfig(
        bridge=config,
        kafka=kafka,
        consumer=ConsumerConfig(group, fetch_bytes=50_000_000),
        topics=(TOPIC,),
    )
    bridge = registry.get(config)
    clock = Clock(bridge, broker)
    try:
        rounds.run(
            lambda pipeline: pipeline | ReadFromKafka(source) | sink(config), bridge.control, []
        )
        found = clock.stop()
        if bridge.counts.totals()["delivered"] != (0 if sink is _discard else count):
            raise SystemExit("archive: not all of it")
        return found
    finally:
        bridge.close()


def _nothing(_: Any) -> None:
    """Throws a record away."""


def _discard(_: BridgeConfig) -> Any:
    return beam.Map(_nothing)


def main() -> None:
    """Prints a line for each repeat."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--bytes", type=int, default=1_000)
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--codec", default="zstandard")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--read_only", action="store_true", help="throw the records away")
    parser.add_argument("--profile", action="store_true", help="of the thread that runs the graph")
    options = parser.parse_args()
    payloads = values(options.bytes, options.random)
    with (
        EmbeddedStack(pubsub=False, kafka_heap="1g") as stack,
        tempfile.TemporaryDirectory(prefix="bench-archive-") as folder,
    ):
        kafka = KafkaConfig(stack.bootstrap_servers)
        fill(kafka, options.records, payloads)
        for repeat in range(options.repeats):
            url = f"{folder}/{repeat}"

            def sink(config: BridgeConfig, url: str = url) -> Any:
                return WriteToArchive(ArchiveSinkConfig(config, url, codec=options.codec))

            run = partial(
                archive,
                kafka,
                stack.kafka.pid,
                options.records,
                f"bench-{repeat}",
                _discard if options.read_only else sink,
            )
            took, own_s, broker_s = _profiled(run) if options.profile else run()
            rate = options.records / took
            print(
                f"{rate:10,.0f} records/s {rate * options.bytes / 1e6:6.0f} MB/s; CPU a record: "
                f"{own_s / options.records * 1e6:5.2f} us, the broker's "
                f"{broker_s / options.records * 1e6:5.2f} us; of the payload "
                f"{sum(_sizes(url)) / (options.records * options.bytes):.0%} in files; "
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000:,} MB",
                flush=True,
            )


def _profiled(run: Callable[[], list[float]]) -> list[float]:
    profile = cProfile.Profile()
    found: list[float] = profile.runcall(run)
    profile.print_stats("tottime")
    return found


def _sizes(folder: str) -> Iterator[int]:
    return (path.stat().st_size for path in Path(folder).rglob("*.avro"))


if __name__ == "__main__":
    main()
