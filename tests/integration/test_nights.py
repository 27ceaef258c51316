"""kafka_to_ps over topics that change every night, on a real broker, by a clock of the test's."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest
from ends import Bridge, until
from with_clock import FileClock

from transforms.records import KafkaRecord


class Nights:
    """Topics `NAME_YYYYMMDD`, and bridges that read them."""

    def __init__(self, kafka, pubsub, stack, name, folder, running) -> None:
        self.name, self.clock = name, FileClock(folder / "clock")
        self._kafka, self._pubsub, self._running = kafka, pubsub, running
        self._folder, self._env = folder, stack.env()
        destination, self._subscription = pubsub.create(name)
        self._flags = [
            f"--kafka_topics={name}_%Y%m%d",
            f"--group_id={name}",
            f"--pubsub_topic={destination}",
            "--change_hour=22",
            "--metadata_interval_s=0.2",
            "--commit_interval_s=0.3",
        ]
        self._arrived: list[bytes] = []

    def send(self, night: str, count: int, partitions: int = 2) -> None:
        """Makes the topic of a night, with so many records."""
        topic = self._kafka.create(f"{self.name}_{night}", partitions)
        self._kafka.send(
            KafkaRecord(topic, n % partitions, value=b"%s %d" % (night.encode(), n))
            for n in range(count)
        )

    def start(self, *flags: str) -> Bridge:
        bridge = Bridge(
            "kafka_to_ps",
            self._folder,
            self._env,
            *self._flags,
            *flags,
            within=self.clock.command,
        )
        return self._running.enter_context(bridge)

    @property
    def arrived(self) -> int:
        """How many different records have come; fails if one has come twice."""
        self._arrived += [message.data for message in self._pubsub.pull(self._subscription)]
        assert len(set(self._arrived)) == len(self._arrived)
        return len(self._arrived)

    @property
    def committed(self) -> int:
        return self._kafka.committed(self.name)


@pytest.fixture
def nights(kafka, pubsub, stack, unique, tmp_path):
    with ExitStack() as running:
        yield Nights(kafka, pubsub, stack, unique, tmp_path, running)


def until_said(bridge: Bridge, text: str) -> None:
    until(lambda: text in bridge.output, text)


@pytest.mark.parametrize("assignment", ["group", "shards"])
def test_a_bridge_follows_the_nights_without_a_restart(nights, client, assignment):
    nights.clock.set("2024-02-28T22:00:00")
    nights.send("20240229", 100)
    bridge = nights.start("--days_back=0", f"--assignment={assignment}", client)
    until(lambda: nights.arrived == 100, "the leap day's night")
    nights.clock.set("2024-02-29T22:00:00")
    until_said(bridge, f"waiting for {nights.name}_20240301")
    until_said(
        bridge,
        f"closed {nights.name}_20240229: read 100 records, offsets 0-49 and 0-49, all of it",
    )
    nights.send("20240301", 10)
    until(lambda: nights.arrived == 110, "the next night, whose topic came late")
    report = bridge.stop()
    assert (report["delivered"], report["released"], report["redelivered"]) == (110, 0, 0)
    assert report["topics"] == {
        f"{nights.name}_20240229": {"read": 100},
        f"{nights.name}_20240301": {"read": 10},
    }
    assert nights.committed == 110


def test_what_is_unread_of_a_night_that_is_too_long_ago_is_told_to_the_record(nights, client):
    nights.clock.set("2024-02-28T22:00:00")
    nights.send("20240229", 1_000)
    bridge = nights.start("--days_back=0", "--max_rate=50", client)
    until(lambda: nights.arrived > 10, "some of it")
    nights.clock.set("2024-02-29T22:00:00")
    until_said(bridge, f"closed {nights.name}_20240229")
    report = bridge.stop()
    assert report["delivered"] + report["left_unread"] == 1_000
    until(lambda: nights.arrived == report["delivered"] == nights.committed, "all that was read")
    assert re.search(
        rf"WARNING closed {nights.name}_20240229: read {report['read']} records, offsets .*; "
        rf"{report['left_unread']} were not read \(the night left the window of --days_back=0\)",
        bridge.output,
    )


def test_a_run_for_a_night_ends_when_all_members_have_read_their_part_of_it(nights, client):
    nights.clock.set("2024-02-29T21:59:00")
    nights.send("20240229", 3_000, partitions=4)
    bridges = [nights.start("--stop=night_end", "--max_rate=400", client) for _ in range(2)]
    for bridge in bridges:
        until_said(bridge, "assigned")
    nights.clock.set("2024-02-29T22:00:00")
    reports = [bridge.wait() for bridge in bridges]
    assert sum(report["delivered"] for report in reports) == 3_000
    until(lambda: nights.arrived == nights.committed == 3_000, "all of it, and nothing twice")
    for bridge in bridges:
        assert "--stop=night_end, the night of 2024-02-29 is over and read" in bridge.output
        assert f"closed {nights.name}_20240229: read " in bridge.output


def test_a_night_without_a_topic_ends_with_a_warning_and_exit_status_0(nights, client):
    nights.clock.set("2024-02-29T21:59:00")
    bridge = nights.start("--stop=night_end", client)
    until_said(bridge, f"waiting for {nights.name}_20240229")
    nights.clock.set("2024-02-29T22:00:00")
    assert bridge.wait()["read"] == 0
    assert f"WARNING there was no {nights.name}_20240229 in the night of" in bridge.output
