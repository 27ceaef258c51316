"""Sessions whose topics change every night, with the wall clock and the cluster passed in."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import pytest

from pipelines import report
from transforms.control import Bounds
from transforms.errors import DeliveryError
from transforms.kafka.client import Committed, ConsumerConfig, KafkaConfig
from transforms.kafka.client_rules import select_topics
from transforms.kafka.frontier import Frontier
from transforms.kafka.selection import Selection, Shard
from transforms.kafka.session import KafkaSession, KafkaSourceConfig
from transforms.ranges import Ranges
from transforms.records import KafkaRecord
from transforms.registry import Bridge, BridgeConfig

INTERVAL_S = 30


class Clock:
    """Both clocks: the wall's, which the test sets, and one that only grows with each look."""

    def __init__(self, when: str) -> None:
        self.grown_s = 100.0
        self.set(when)

    def set(self, when: str) -> None:
        self.wall_s = datetime.fromisoformat(when).replace(tzinfo=timezone.utc).timestamp()

    def wall(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.grown_s

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.grown_s += seconds


class Cluster:
    """A consumer of its own cluster, alone in its group; partitions hold records `0..end`.

    Attributes:
      others: partitions that another member of the group has.
    """

    def __init__(self) -> None:
        self.topics: dict[str, list[int]] = {}
        self.group: dict = {}
        self.others: set = set()
        self.subscribed: tuple = ()
        self._positions: dict = {}
        self._listener = None

    def partitions(self, topics):
        names = select_topics(topics, self.topics)
        return [(name, n) for name in names for n in range(len(self.topics[name]))]

    def subscribe(self, topics, listener):
        self.subscribed, self._listener = topics, listener

    def assign(self, positions):
        self._positions = {p: self._positions.get(p, at) for p, at in positions.items()}

    def poll(self, _timeout_s, max_records):
        if self._listener is not None:
            mine = set(self.partitions(self.subscribed)) - self.others
            if mine != self._positions.keys():
                if self._positions:
                    self._listener.on_revoked(sorted(self._positions))
                self._positions = {}
                self._positions = dict(self._listener.on_assigned(sorted(mine))) if mine else {}
        records = []
        for (topic, number), at in self._positions.items():
            end = self.topics[topic][number] if topic in self.topics else at
            end = min(end, at + max_records - len(records))
            records += [KafkaRecord(topic, number, o, value=b"v") for o in range(at, end)]
            self._positions[topic, number] = end
        return records

    def seek(self, positions):
        self._positions.update(positions)

    def committed(self, partitions):
        return {p: Committed(self.group[p]) for p in partitions if p in self.group}

    def commit(self, offsets, metadata):
        self.group.update(offsets)

    def watermarks(self, partitions, _timeout_s=None):
        return {(t, n): (0, self.topics[t][n]) for t, n in partitions}

    def positions(self):
        return dict(self._positions)

    def lags(self):
        return {
            (t, n): self.topics[t][n] - at
            for (t, n), at in self._positions.items()
            if t in self.topics
        }

    def topic_ids(self, names):
        return {name: f"id-{name}" for name in names if name in self.topics}

    def close(self):
        pass


class Night:
    """A session over a cluster, read as its source reads it."""

    def __init__(self, monkeypatch, when, topics=("ztf_%Y%m%d",), **config) -> None:
        self.clock, self.cluster = Clock(when), Cluster()
        monkeypatch.setattr("transforms.kafka.selection.wall_clock", self.clock.wall)
        monkeypatch.setattr("transforms.kafka.topic_ids.time.sleep", lambda _s: None)
        settings = BridgeConfig("test", Bounds(idle_seconds=config.pop("idle_seconds", None)))
        self.bridge = Bridge(settings)
        self._open = lambda: KafkaSession(
            KafkaSourceConfig(
                settings,
                KafkaConfig("x:1"),
                ConsumerConfig("g", metadata_interval_ms=INTERVAL_S * 1000),
                tuple(topics),
                **config,
            ),
            Shard(0, 1),
            self.bridge,
            lambda *_: self.cluster,
            lambda *_: self.cluster,
            self.clock.monotonic,
        )

    @property
    def session(self) -> KafkaSession:
        return self.bridge.session("kafka", self._open)

    def read(self, polls=8, delivered=True, seconds=INTERVAL_S) -> list[str]:
        """Reads on, for so long, or until it is to stop; the topics that records came from."""
        found = set()
        for _ in range(polls):
            if self.stopped:
                break
            bundle = self.session.begin(Frontier())
            batch = self.session.poll()
            if batch.records:
                self.session.claim(bundle, batch)
            found |= {record.topic for record in batch.records}
            if delivered:
                bundle.finalize()
            self.clock.passes(seconds / polls)
        return sorted(found)

    @property
    def stopped(self) -> str:
        return self.bridge.control.stop_reason if self.bridge.control.stopping else ""


@pytest.fixture(autouse=True)
def said(caplog):
    """What was said, line by line."""
    caplog.set_level(logging.INFO, logger="transforms")
    return lambda word: [line for line in caplog.messages if word in line]


@pytest.fixture(params=["group", "shards"])
def night(request, monkeypatch):
    """Makes a night, with each way to own partitions."""

    def make(when, *args, **settings):
        settings = {"assignment": request.param, **settings}
        return Night(monkeypatch, when, *args, **settings)

    return make


def test_a_selection_is_names_or_a_regex_and_changes_with_the_clock():
    clock = Clock("2024-02-29T21:59:59")
    selection = Selection(("ztf_%Y%m%d_a", "plain.b"), 22, 1, clock=clock.wall)
    names = [f"ztf_202402{day}_a" for day in (27, 28, 29)] + ["plain.b", "plainxb"]
    assert list(filter(selection.holds, names)) == ["ztf_20240228_a", "ztf_20240229_a", "plain.b"]
    clock.passes(1)
    names.append("ztf_20240301_a")
    assert list(filter(selection.holds, names)) == ["ztf_20240229_a", "plain.b", "ztf_20240301_a"]
    for topics in (("a", "b"), ("^a%Y",)):
        assert Selection(topics).now() == topics


def test_at_its_hour_one_night_follows_the_other_without_a_restart(night, said):
    run = night("2026-11-20T21:58:00", change_hour=22)
    run.cluster.topics = {f"ztf_202611{day}": [5, 5] for day in (17, 18, 19, 20, 21)}
    assert run.read() == ["ztf_20261118", "ztf_20261119", "ztf_20261120"]
    run.clock.set("2026-11-20T22:00:00")
    assert run.read() == ["ztf_20261121"]
    assert run.cluster.group == {(f"ztf_202611{d}", n): 5 for d in (18, 19, 20, 21) for n in (0, 1)}
    assert said("closed") == [
        "closed ztf_20261118: read 10 records, offsets 0-4 and 0-4, all of it"
    ]
    assert run.bridge.counts.totals()["released"] == 0


def test_a_late_topic_is_waited_for_and_that_is_said_once(night, said):
    run = night("2026-11-20T00:00:00")
    run.cluster.topics = {"ztf_20261119": [5]}
    for _ in range(4):
        run.read()
    assert said("waiting") == ["waiting for ztf_20261120"]
    run.cluster.topics["ztf_20261120"] = [3]
    assert run.read(polls=20, seconds=80) == ["ztf_20261120"]
    assert run.bridge.counts.totals()["read"] == 8


def test_idleness_begins_when_every_topic_of_tonight_is_there(night, monkeypatch):
    run = night("2026-11-20T00:00:00", ["a_%Y%m%d", "b_%Y%m%d"], idle_seconds=40)
    monkeypatch.setattr(run.cluster, "poll", slow(run.cluster.poll, run.clock, 2))
    run.cluster.topics = {"a_20261120": [1]}
    run.read(polls=40)
    assert not run.stopped
    run.cluster.topics["b_20261120"] = [0]
    run.read(polls=40)
    assert run.stopped == "--idle_seconds=40 without a message"


def slow(poll, clock, seconds):
    """A poll that takes its time."""

    def polled(*args):
        clock.grown_s += seconds
        return poll(*args)

    return polled


def test_a_night_without_a_topic_is_said_and_the_next_one_is_read(night, said):
    run = night("2026-11-20T23:59:00")
    run.read()
    run.clock.set("2026-11-21T00:00:00")
    run.cluster.topics = {"ztf_20261121": [2]}
    assert run.read() == ["ztf_20261121"]
    assert said("waiting") == ["waiting for ztf_20261120"]
    assert "there was no ztf_20261120 in the night of 2026-11-20" in said("there was no")[0]
    run.cluster.topics["ztf_20261120"] = [2]
    assert run.read(polls=20, seconds=80) == ["ztf_20261120"]


def test_a_clock_that_jumps_back_a_little_takes_up_no_night_again(night, said):
    run = night("2026-11-20T23:59:58", days_back=0)
    run.cluster.topics = {"ztf_20261120": [1], "ztf_20261121": [1]}
    assert run.read(seconds=1) == ["ztf_20261120"]
    run.clock.set("2026-11-21T00:00:01")
    assert run.read(seconds=1) == ["ztf_20261121"]
    run.clock.set("2026-11-20T23:59:59")
    run.cluster.topics["ztf_20261120"] = [2]
    assert run.read(seconds=1) == []
    assert said("closed") == ["closed ztf_20261120: read 1 record, offsets 0-0, all of it"]


def test_what_a_night_leaves_unread_is_counted_and_warned_of(night, said, caplog):
    run = night("2026-11-20T23:00:00", days_back=0)
    run.cluster.topics = {"ztf_20261120": [1_704, 0]}
    run.read(polls=1)
    run.clock.set("2026-11-21T00:00:00")
    run.read()
    assert said("closed") == [
        "closed ztf_20261120: read 500 records, offsets 0-499; 1,204 were not read (the night left "
        "the window of --days_back=0)"
    ]
    assert [r.levelname for r in caplog.records if "closed" in r.message] == ["WARNING"]
    found = report.content(run.bridge, 1)
    assert (found["read"], found["left_unread"], found["offsets_lost"]) == (500, 1_204, 0)
    assert found["topics"] == {"ztf_20261120": {"read": 500, "left_unread": 1_204}}


def test_what_was_read_of_a_night_and_not_delivered_when_it_leaves_counts_as_unread(night, said):
    run = night("2026-11-20T23:00:00", days_back=0)
    run.cluster.topics = {"ztf_20261120": [7]}
    run.bridge.borrow_writer("w", Stuck)
    run.read(polls=1, delivered=False)
    run.clock.set("2026-11-21T00:00:00")
    run.read()
    assert "read 7 records, offsets 0-6; 7 were not read (the night left" in said("closed")[0]
    assert run.bridge.counts.totals()["released"] == 7


class Stuck:
    """A writer that confirms nothing."""

    clean, confirmed = False, None

    def flush(self, _timeout_s):
        raise DeliveryError("not confirmed")

    def close(self):
        pass


def test_a_topic_that_is_deleted_within_the_window_is_closed_with_what_was_read(night, said):
    run = night("2026-11-20T00:00:00", topics=["^ztf_[0-9]{8}"])
    run.cluster.topics = {"ztf_20261119": [3, 4], "ztf_20261120": [1]}
    run.read()
    del run.cluster.topics["ztf_20261119"]
    run.read(polls=30, seconds=4 * INTERVAL_S)
    assert said("closed") == ["closed ztf_20261119: read 7 records, offsets 0-2 and 0-3, all of it"]


def test_a_topic_that_a_broker_forgets_for_a_moment_is_not_closed(night, said):
    run = night("2026-11-20T00:00:00")
    run.cluster.topics = {"ztf_20261120": [1]}
    run.read()
    there = run.cluster.topics
    run.cluster.topics = {}
    run.read(polls=10, seconds=INTERVAL_S)
    run.cluster.topics = there
    run.read(polls=20, seconds=4 * INTERVAL_S)
    assert said("closed") == []


def test_of_a_topic_that_others_have_taken_over_only_what_was_read_here_is_reported(
    monkeypatch, said
):
    run = Night(monkeypatch, "2026-11-20T00:00:00", days_back=0)
    run.cluster.topics = {"ztf_20261120": [3, 4]}
    run.read()
    run.cluster.others = {("ztf_20261120", 1)}
    run.cluster.topics["ztf_20261120"] = [5, 9]
    run.read()
    run.cluster.group["ztf_20261120", 1] = 9
    run.clock.set("2026-11-21T00:00:00")
    run.read()
    assert said("closed") == ["closed ztf_20261120: read 9 records, offsets 0-4 and 0-3, all of it"]


def test_what_others_read_of_a_topic_before_it_is_deleted_is_not_known_here(monkeypatch, said):
    run = Night(monkeypatch, "2026-11-20T00:00:00")
    run.cluster.topics = {"ztf_20261119": [3], "ztf_20261120": [0]}
    run.read()
    run.cluster.others = {("ztf_20261119", 0)}
    run.read(polls=20, seconds=2 * INTERVAL_S)
    del run.cluster.topics["ztf_20261119"]
    run.read(polls=20, seconds=4 * INTERVAL_S)
    assert said("closed") == [
        "closed ztf_20261119: read 3 records, offsets 0-2; the topic was deleted"
    ]


def test_a_topic_that_is_deleted_as_its_night_leaves_is_no_gap_but_counted(monkeypatch, said):
    run = Night(monkeypatch, "2026-11-20T23:00:00", days_back=0)
    run.cluster.topics = {"ztf_20261120": [700], "ztf_20261121": [0]}
    run.read(polls=1)
    del run.cluster.topics["ztf_20261120"]
    run.clock.set("2026-11-21T00:00:00")
    run.read(polls=20, seconds=4 * INTERVAL_S)
    assert said("closed") == [
        "closed ztf_20261120: read 500 records, offsets 0-499; 200 were not read (the topic was "
        "deleted)"
    ]
    totals = run.bridge.counts.totals()
    assert (totals["left_unread"], totals["offsets_lost"]) == (200, 0)


def test_what_is_deleted_unread_within_the_window_is_counted_once_as_lost(monkeypatch, said):
    run = Night(monkeypatch, "2026-11-20T23:00:00", on_offset_gap="continue")
    run.cluster.topics = {"ztf_20261119": [700], "ztf_20261120": [0]}
    run.read(polls=1)
    del run.cluster.topics["ztf_20261119"]
    run.read(polls=20, seconds=4 * INTERVAL_S)
    assert "200 were not read (the topic was deleted)" in said("closed")[0]
    totals = run.bridge.counts.totals()
    assert (totals["left_unread"], totals["offsets_lost"]) == (0, 200)


def test_a_name_without_a_date_stays_selected(night, said):
    run = night("2026-11-20T00:00:00", ["ztf_%Y%m%d", "plain"], days_back=0)
    run.cluster.topics = {"plain": [1], "ztf_20261120": [1]}
    assert run.read() == ["plain", "ztf_20261120"]
    run.clock.set("2026-11-21T00:00:00")
    run.cluster.topics["plain"] = [2]
    assert run.read() == ["plain"]
    assert [line.split(":")[0] for line in said("closed")] == ["closed ztf_20261120"]


def test_a_checkpoint_with_nights_that_are_over_asks_the_brokers_no_more_often(monkeypatch):
    run = Night(monkeypatch, "2026-11-20T00:00:00", assignment="shards")
    run.cluster.topics = {"ztf_20261120": [1]}
    run.read()
    asked, answer = [], run.cluster.partitions
    monkeypatch.setattr(run.cluster, "partitions", lambda t: asked.append(t) or answer(t))
    for _ in range(5):
        run.session.begin(Frontier({("ztf_20261101", 0): 5, ("ztf_20261120", 0): 1}))
    assert len(asked) <= 1


# -- until the night's end -------------------------------------------------------------------------


def test_a_run_ends_when_its_night_is_over_and_read(night, said):
    run = night("2026-11-20T23:59:00", stops_at_night_end=True)
    run.cluster.topics = {"ztf_20261119": [5], "ztf_20261120": [900], "ztf_20261121": [5]}
    run.read(seconds=30)
    assert not run.stopped
    run.cluster.topics["ztf_20261120"] = [2_600]
    run.clock.set("2026-11-21T00:00:00")
    run.read(polls=2, seconds=3)
    assert not run.stopped
    assert run.read(polls=5, seconds=5) == ["ztf_20261120"]
    assert run.stopped == "--stop=night_end, the night of 2026-11-20 is over and read"
    assert said("closed") == [
        "closed ztf_20261119: read 5 records, offsets 0-4, all of it",
        "closed ztf_20261120: read 2,600 records, offsets 0-2,599, all of it",
    ]
    assert ("ztf_20261121", 0) not in run.cluster.group


def test_a_night_that_never_had_a_topic_ends_at_its_hour_with_a_warning(night, said, caplog):
    run = night("2026-11-20T21:00:00", change_hour=22, stops_at_night_end=True)
    run.read()
    run.clock.set("2026-11-20T21:59:59")
    run.read(polls=1, seconds=1)
    assert not run.stopped
    run.read(polls=2)
    assert run.stopped
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        "there was no ztf_20261120 in the night of 2026-11-20"
    ]


def test_a_topic_that_comes_just_before_the_end_is_still_read(night):
    run = night("2026-11-20T23:59:00", stops_at_night_end=True)
    run.read(seconds=50)
    run.cluster.topics = {"ztf_20261120": [5]}
    run.clock.set("2026-11-21T00:00:01")
    assert run.read(polls=10, seconds=3 * INTERVAL_S) == ["ztf_20261120"]
    assert run.stopped


def test_amid_a_rebalance_no_night_is_over(monkeypatch):
    run = Night(monkeypatch, "2026-11-20T23:59:00", stops_at_night_end=True)
    run.cluster.topics = {"ztf_20261120": [5]}
    run.read(polls=1)
    run.cluster.others = {("ztf_20261120", 0)}
    run.cluster.topics = {"ztf_20261120": [9]}
    run.clock.set("2026-11-21T00:00:01")
    run.read(polls=5, seconds=2 * INTERVAL_S)
    assert not run.stopped
    run.cluster.others = set()
    assert run.read(polls=5) == ["ztf_20261120"]
    assert run.stopped


def test_a_topic_that_the_brokers_forget_for_a_moment_is_read_to_its_end(monkeypatch):
    run = Night(monkeypatch, "2026-11-20T23:59:00", stops_at_night_end=True)
    run.cluster.topics = {"ztf_20261120": [5]}
    run.read(polls=1)
    run.clock.set("2026-11-21T00:00:01")
    run.cluster.topics = {"ztf_20261120": [9]}
    known = run.cluster.partitions
    monkeypatch.setattr(run.cluster, "partitions", lambda _topics: [])
    run.read(polls=1, seconds=2)
    monkeypatch.setattr(run.cluster, "partitions", known)
    assert not run.stopped


def test_what_others_of_the_group_read_is_not_waited_for_for_ever(monkeypatch):
    run = Night(monkeypatch, "2026-11-20T23:59:00", stops_at_night_end=True)
    run.cluster.topics = {"ztf_20261120": [5, 5]}
    run.cluster.others = {("ztf_20261120", 0), ("ztf_20261120", 1)}
    run.read(seconds=1)
    run.clock.set("2026-11-21T00:00:01")
    run.read(polls=20, seconds=2 * INTERVAL_S)
    assert not run.stopped
    run.read(polls=20, seconds=INTERVAL_S)
    assert run.stopped


def test_topics_without_a_date_keep_no_run_beyond_its_night(night):
    run = night("2026-11-20T23:59:00", ["ztf_%Y%m%d", "plain"], stops_at_night_end=True)
    run.cluster.topics = {"ztf_20261120": [5], "plain": [5]}
    run.read()
    run.clock.set("2026-11-21T00:00:01")
    run.cluster.topics["plain"] = [1_000_000]
    run.read(polls=5)
    assert run.stopped


def test_the_brokers_have_the_last_word_on_what_is_left(night, monkeypatch):
    run = night("2026-11-20T23:59:00", stops_at_night_end=True)
    run.cluster.topics = {"ztf_20261120": [5]}
    run.read()
    run.cluster.topics = {"ztf_20261120": [6]}
    run.clock.set("2026-11-21T00:00:01")
    with monkeypatch.context() as slow:
        slow.setattr(run.cluster, "poll", lambda *_: [])
        slow.setattr(run.cluster, "lags", lambda: {("ztf_20261120", 0): 0})
        run.read()
        assert not run.stopped
    assert run.read() == ["ztf_20261120"]
    assert run.stopped


def test_a_finite_run_over_a_night_waits_for_nothing(monkeypatch, said):
    ranges = {("ztf_20261119", 0): Ranges.from_text("0-4")}
    run = Night(monkeypatch, "2026-11-20T00:00:00", assignment="shards", ranges=ranges)
    run.cluster.topics = {"ztf_20261119": [9]}
    run.read()
    run.clock.set("2026-11-25T00:00:00")
    run.read()
    assert run.session.finished
    assert run.cluster.group == {("ztf_20261119", 0): 5}
    assert said("waiting") == said("closed") == []
