"""Throughput: how one run of one system in one cell is measured."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import processes, sampling
from benchmarks.cells import Cell
from benchmarks.instant import InstantProcess
from benchmarks.stack import PROJECT, Emulator, Kafka
from benchmarks.systems.jobs import Job, System
from benchmarks.turns import Case
from pipelines import prism
from transforms.errors import TransferError

TOPIC, SUBSCRIPTION = f"{PROJECT}/topics/alerts", f"{PROJECT}/subscriptions/alerts"
DEADLINE_S = 180.0
_SETTLE_S, _LOOK_S = 20.0, 0.05


def cases(
    throughput: Throughput,
    its_cells: Sequence[Cell],
    systems: Mapping[str, System],
    absent: Mapping[str, str],
) -> Iterator[list[Case]]:
    """For each cell what takes turns in it.

    Args:
      systems: by name, those that are measured.
      absent: why a system cannot be had, by its name.
    """
    for cell in its_cells:
        yield [
            Case(
                cell.name,
                name,
                partial(throughput.run, cell, systems[name]),
                absent[name] or _no_prism(cell),
            )
            for name in cell.systems
            if name in systems
        ]


def _no_prism(cell: Cell) -> str:
    if cell.runner != "PrismRunner" or prism.find(os.environ):
        return ""
    return "no prism on the PATH, in Go's bin folder or in build/bin; make prism builds it"


class Throughput:
    """Runs cells on one broker; what several runs need is made once."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._emulator: Emulator | None = None
        self._filled: tuple[str, tuple[int, ...]] | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Throughput:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def run(self, cell: Cell, system: System, folder: Path) -> dict[str, float]:
        """One run: its figures.

        Raises:
          TransferError: it failed, or something was lost.
        """
        measure = self._to_pubsub if cell.direction == "kafka_to_ps" else self._to_kafka
        return measure(cell, system, folder)

    def _to_pubsub(self, cell: Cell, system: System, folder: Path) -> dict[str, float]:
        topic = self._full_topic(cell)
        group_id = f"g-{uuid.uuid4().hex[:8]}"
        with contextlib.ExitStack() as opened:
            instant = None
            if cell.service == "instant":
                instant = opened.enter_context(InstantProcess())
                address = instant.address
            else:
                address = self._one_emulator().address
            progress = opened.enter_context(self._kafka.commits(topic, group_id))
            job = self._job(cell, address, topic, group_id, folder)
            watched = _watch(system, job, progress, cell.messages)
            if instant is not None and (came := instant.status()["published"]) != cell.messages:
                raise TransferError(f"{came:,} messages came, {cell.messages:,} were to come")
        return _figures(cell, system, watched)

    def _to_kafka(self, cell: Cell, system: System, folder: Path) -> dict[str, float]:
        topic = f"t-{uuid.uuid4().hex[:8]}"
        self._kafka.create(topic)
        try:
            with self._full_subscription(cell) as (address, instant):
                job = self._job(cell, address, topic, topic, folder)
                progress = self._kafka.ends(topic)
                watched = _watch(system, job, progress, cell.messages, _acknowledged(instant, cell))
                if instant is not None and (came := progress()) != cell.messages:
                    raise TransferError(f"{came:,} messages came, {cell.messages:,} were to come")
                return _figures(cell, system, watched)
        finally:
            self._kafka.delete(topic)

    def _full_topic(self, cell: Cell) -> str:
        """A topic with the messages of this cell; the last one is kept, for most need the same."""
        content = (cell.messages, cell.size_bytes, cell.headers)
        if self._filled is None or self._filled[1] != content:
            if self._filled is not None:
                self._kafka.delete(self._filled[0])
            topic = f"t-{uuid.uuid4().hex[:8]}"
            self._kafka.create(topic)
            self._kafka.fill(topic, *content)
            self._filled = topic, content
        return self._filled[0]

    def _one_emulator(self) -> Emulator:
        """Of all runs to Pub/Sub: a topic without subscription keeps nothing."""
        if self._emulator is None:
            self._emulator = self._open.enter_context(Emulator())
            self._emulator.create(TOPIC)
        return self._emulator

    @contextlib.contextmanager
    def _full_subscription(self, cell: Cell) -> Iterator[tuple[str, InstantProcess | None]]:
        """Where a fresh service has the messages of this cell, and it, if it is the instant one."""
        if cell.service == "instant":
            with InstantProcess(cell.size_bytes, cell.messages, cell.headers) as instant:
                yield instant.address, instant
        else:
            with Emulator() as emulator:
                emulator.create(TOPIC, SUBSCRIPTION)
                emulator.fill(TOPIC, cell.messages, cell.size_bytes, cell.headers)
                yield emulator.address, None

    def _job(self, cell: Cell, pubsub: str, topic: str, group_id: str, folder: Path) -> Job:
        return Job(
            cell.direction,
            self._kafka.bootstrap_servers,
            pubsub,
            topic,
            TOPIC,
            SUBSCRIPTION,
            group_id,
            folder,
            cell.attributes,
            cell.client,
            cell.runner,
        )


def _watch(
    system: System,
    job: Job,
    progress: Callable[[], int],
    messages: int,
    settled: Callable[[], bool] = lambda: True,
) -> sampling.Watched:
    """Args: settled: what has to be true soon after the last message came."""
    process = system.start(job)
    try:
        watched = sampling.watch([process], progress, messages, DEADLINE_S)
        ends_s = time.monotonic() + _SETTLE_S
        while not settled():
            if time.monotonic() > ends_s:
                raise TransferError(f"not all is acknowledged {_SETTLE_S:g} s after the last came")
            time.sleep(_LOOK_S)
        return watched
    except TransferError as error:
        raise TransferError(f"{error}: {processes.tail(job.folder)}") from error
    finally:
        processes.stop(process)


def _acknowledged(instant: InstantProcess | None, cell: Cell) -> Callable[[], bool]:
    """Whether the service has got back all of what it handed out."""
    return lambda: instant is None or instant.status()["acknowledged"] >= cell.messages


def _figures(cell: Cell, system: System, watched: sampling.Watched) -> dict[str, float]:
    seen = sampling.window(watched.samples, cell.messages, cell.warm_up(system.name))
    return sampling.figures(seen, cell.size_bytes, watched.peak_bytes)
