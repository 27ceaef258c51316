"""A Kafka session against a consumer that is told what to do."""

from __future__ import annotations

from typing import ClassVar

from transforms.errors import CommitError
from transforms.kafka.client import Committed, ConsumerConfig, KafkaConfig
from transforms.kafka.selection import Shard
from transforms.kafka.session import KafkaSession, KafkaSourceConfig
from transforms.records import KafkaRecord
from transforms.registry import Bridge, BridgeConfig

P0, P1 = ("t", 0), ("t", 1)


class ScriptedConsumer:
    """A consumer whose polls are what a test has scripted: records, or a rebalance, or both."""

    def __init__(self) -> None:
        self.script: list = []
        self.group: dict = {}
        self.commits: list = []
        self.seeks: list = []
        self.assigned: dict = {}
        self.known = [P0, P1]
        self.position: dict = {}
        self.refuse_commits = False

    def subscribe(self, _topics, listener):
        self.listener = listener

    def assign(self, positions):
        self.assigned = positions

    def poll(self, _timeout_s, max_records):
        if not self.script:
            return []
        step = self.script.pop(0)
        return (step() or [])[:max_records] if callable(step) else step[:max_records]

    def seek(self, positions):
        if self.assigned:
            strangers = positions.keys() - self.assigned.keys()
            assert not strangers, f"not assigned: {strangers}"
        self.seeks.append(dict(positions))

    def committed(self, partitions):
        return {p: Committed(self.group[p]) for p in partitions if p in self.group}

    def commit(self, offsets, metadata):
        self.metadata = metadata
        if self.refuse_commits:
            raise CommitError("commit t: refused")
        self.commits.append(dict(offsets))
        self.group.update(offsets)

    def watermarks(self, partitions, _timeout_s=None):
        return dict.fromkeys(partitions, (3, 100))

    def partitions(self, _topics):
        return self.known

    def positions(self):
        return self.position

    def lags(self):
        return None

    def close(self):
        pass


class ScriptedAdmin:
    """An admin client that tells the ids of topics."""

    ids: ClassVar = {"t": "5c126bcb-aae2-43c7-9b00-b7b04e992c11"}

    def topic_ids(self, names):
        return {name: self.ids[name] for name in names if name in self.ids}

    def close(self):
        pass


class StuckWriter:
    clean = False
    confirmed = None

    def __init__(self, confirms: bool) -> None:
        self._confirms = confirms

    def flush(self, _timeout_s):
        if not self._confirms:
            raise CommitError("not confirmed")

    def close(self):
        pass


def records(partition, first, count):
    return [KafkaRecord(*partition, offset, value=b"v") for offset in range(first, first + count)]


class Fixture:
    def __init__(self, assignment="group", **config) -> None:
        self.consumer = ScriptedConsumer()
        bridge_config = BridgeConfig("test", bundle_bytes=500_000)
        self.bridge = Bridge(bridge_config)
        self.session = KafkaSession(
            KafkaSourceConfig(
                bridge_config,
                KafkaConfig("x:1"),
                ConsumerConfig("g"),
                ("t",),
                assignment=assignment,
                **config,
            ),
            Shard(0, 1),
            self.bridge,
            lambda *_: self.consumer,
            lambda *_: ScriptedAdmin(),
        )
        self.bridge.session("kafka", lambda: self.session)

    def assign(self, *partitions):
        self.consumer.script.append(lambda: self.consumer.listener.on_assigned(partitions) and None)
        self.session.poll()

    def read(self, bundle, batch):
        self.consumer.script.append(batch)
        found = self.session.poll()
        self.session.claim(bundle, found)
        return found.records

    @property
    def counts(self):
        return {name: n for name, n in self.bridge.counts.totals().items() if n}
