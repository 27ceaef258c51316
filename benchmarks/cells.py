"""What is measured of throughput: one base, and each axis varied alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.systems.jobs import Direction

BRIDGE, BARE, BENTHOS = "bridge", "bare loop", "Benthos"
CONNECTOR, QUICK_CONNECTOR = "Google's connector", "Google's connector, quick JIT"
"""`System.name` of each."""

WARM_UP, LONG_WARM_UP = 0.25, {CONNECTOR: 0.5, QUICK_CONNECTOR: 0.5}
"""What is not measured of a run, as a share; Java compiles what it runs for several seconds."""

HEADERS = 5
QUICK = 20
"""A quick run has so many times fewer messages."""


@dataclass(frozen=True)
class Cell:
    """What is moved, how, and by whom; one row for each system.

    Attributes:
      what: the last part of its name: what is not as in the base.
      service: what stands for Pub/Sub.
      messages: of one run, for a window of some seconds at two cores.
      measured_from_start: whether there is no warm-up; for runs of few messages.
    """

    direction: Direction
    service: Literal["emulator", "instant"]
    what: str
    messages: int
    systems: tuple[str, ...] = (BRIDGE, BARE)
    size_bytes: int = 1_000
    headers: int = 0
    attributes: Literal["none", "metadata", "lossless"] = "metadata"
    client: Literal["librdkafka", "kafka-python"] = "librdkafka"
    runner: Literal["DirectRunner", "PrismRunner"] = "DirectRunner"
    measured_from_start: bool = False

    @property
    def name(self) -> str:
        return f"{self.direction}/{self.service}/{self.what}"

    @property
    def quick(self) -> Cell:
        """The same with few messages, for trying."""
        messages = max(5, self.messages // QUICK)
        return replace(self, messages=messages, measured_from_start=True)

    def warm_up(self, system: str) -> float:
        """So much of its messages is not measured, as a share."""
        return 0.0 if self.measured_from_start else LONG_WARM_UP.get(system, WARM_UP)


def cells() -> list[Cell]:
    """All of them; neighbours need the same messages as far as can be."""
    return [*_to_pubsub(), *_to_kafka()]


def _to_pubsub() -> Iterator[Cell]:
    base = Cell("kafka_to_ps", "emulator", "1kB", 500_000)
    slower = replace(base, messages=300_000)
    yield replace(base, systems=(BRIDGE, BARE, CONNECTOR, QUICK_CONNECTOR, BENTHOS))
    yield replace(base, service="instant")
    yield replace(base, service="instant", what="none", attributes="none")
    yield replace(base, service="instant", what="prism", runner="PrismRunner", systems=(BRIDGE,))
    yield replace(slower, what="kafka-python", client="kafka-python", systems=(BRIDGE,))
    yield replace(slower, service="instant", what="kafka-python", client="kafka-python")
    yield from _sizes(base, {"100B": 700_000, "10kB": 160_000, "74kB": 45_000, "1MB": 2_500})
    yield from _attributes(slower)


def _to_kafka() -> Iterator[Cell]:
    base = Cell("ps_to_kafka", "emulator", "1kB", 80_000)
    instant = replace(base, service="instant", messages=250_000)
    slower = replace(instant, messages=150_000)
    yield replace(base, systems=(BRIDGE, BARE, CONNECTOR, QUICK_CONNECTOR, BENTHOS))
    yield replace(base, what="kafka-python", client="kafka-python", systems=(BRIDGE,))
    yield instant
    yield replace(instant, what="none", attributes="none")
    yield replace(slower, what="prism", runner="PrismRunner", systems=(BRIDGE,))
    yield replace(slower, what="kafka-python", client="kafka-python")
    yield from _sizes(instant, {"100B": 300_000, "10kB": 80_000, "74kB": 15_000, "1MB": 1_200})
    yield from _attributes(slower)


_BYTES = {"100B": 100, "10kB": 10_000, "74kB": 74_000, "1MB": 1_000_000}


def _sizes(base: Cell, messages: dict[str, int]) -> Iterator[Cell]:
    for what, count in messages.items():
        size_bytes = _BYTES[what]
        yield replace(base, service="instant", what=what, messages=count, size_bytes=size_bytes)


def _attributes(base: Cell) -> Iterator[Cell]:
    """With headers, which the bare loop carries as they are."""
    five = replace(base, service="instant", headers=HEADERS)
    yield replace(five, what="five-headers")
    yield replace(five, what="lossless", attributes="lossless", systems=(BRIDGE,))
