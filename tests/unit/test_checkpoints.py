"""What a runner keeps of a source while a job runs, is drained, or is replaced by a new release."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import apache_beam as beam
import dataflow_jobs as jobs
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.utils.timestamp import Timestamp

from pipelines import graph
from pipelines.facts import Facts
from pipelines.options import parse
from pipelines.runtime import bridge_config
from transforms import registry
from transforms.kafka.client import ConsumerConfig, KafkaConfig
from transforms.kafka.frontier import Frontier, FrontierCoder
from transforms.kafka.selection import Shard
from transforms.kafka.session import KafkaSourceConfig
from transforms.kafka.source import ShardCoder, _PollFn
from transforms.pubsub.taken import Taken, TakenCoder, TakenTracker
from transforms.ranges import Ranges
from transforms.registry import BridgeConfig
from transforms.watermark import WallTime

CONFIG = KafkaSourceConfig(
    BridgeConfig("what is left"), KafkaConfig("kafka:9092"), ConsumerConfig("g"), ("t",)
)
GOLDEN = [
    (
        FrontierCoder(),
        Frontier({("alerts", 0): 1042, ("alerts", 1): 977}, {"alerts": "nVb2Yd"}, ended=False),
        b'{"v":2,"ended":false,"positions":[["alerts",0,1042],["alerts",1,977]],'
        b'"topic_ids":{"alerts":"nVb2Yd"}}',
    ),
    (FrontierCoder(), Frontier(ended=True), b'{"v":2,"ended":true,"positions":[],"topic_ids":{}}'),
    (ShardCoder(), Shard(3, 8), b'{"v":1,"number":3,"of":8}'),
    (TakenCoder(), Taken(5000), b'{"v":1,"messages":5000,"ended":false}'),
    (TakenCoder(), Taken(5000, ended=True), b'{"v":1,"messages":5000,"ended":true}'),
    (
        WallTime().estimator_state_coder(),
        Timestamp(1_700_000_000),
        b"\x80\x00\x01\x8b\xcf\xe5h\x00",
    ),
]


@pytest.mark.parametrize(("coder", "value", "encoded"), GOLDEN)
def test_a_checkpoint_has_the_bytes_that_other_releases_write_and_read(coder, value, encoded):
    assert coder.encode(value) == encoded
    assert coder.decode(encoded) == value


def test_a_frontier_of_the_version_before_ids_is_read():
    encoded = b'{"v":1,"ended":false,"positions":[["t",0,5]]}'
    assert FrontierCoder().decode(encoded) == Frontier({("t", 0): 5})


@pytest.mark.parametrize(
    ("coder", "version"), [(FrontierCoder(), 3), (ShardCoder(), 2), (TakenCoder(), 2)]
)
def test_a_checkpoint_of_a_version_to_come_is_refused(coder, version):
    with pytest.raises(ValueError, match="resume with the release that wrote the checkpoint"):
        coder.decode(b'{"v":%d}' % version)


@pytest.mark.parametrize("route", ["ps_to_kafka", "kafka_to_ps"])
def test_a_drain_ends_a_source_where_it_is_and_reads_nothing_more(route, monkeypatch):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    options = parse(route, jobs.FLAGS[route], {})
    config = bridge_config(options)
    pipeline = beam.Pipeline(runner=FnApiRunner(is_drain=True))
    graph.build(pipeline, options, Facts(), config)
    pipeline.run().wait_until_finish()
    bridge = registry.get(config)
    assert not bridge._sessions, "nothing was connected, and nothing read"
    bridge.close()


def opened(backlog_bytes):
    return SimpleNamespace(backlog_bytes=lambda: backlog_bytes, close=lambda: None)


class TestWhatIsLeft:
    def size(self, config, shard=Shard(0, 1), frontier=Frontier()):  # noqa: B008
        return _PollFn(config).restriction_size(shard, frontier)

    def test_of_a_finite_source_it_is_the_offsets_of_the_shard(self):
        ranges = {("t", n): Ranges(((0, 9), (20, 29))) for n in range(4)}
        config = replace(CONFIG, ranges=ranges)
        assert self.size(config) == 80
        assert self.size(config, Shard(0, 2)) + self.size(config, Shard(1, 2)) == 80
        assert self.size(config, frontier=Frontier({("t", 0): 25, ("t", 1): 30})) == 45
        assert self.size(config, frontier=Frontier(ended=True)) == 0

    def test_of_a_stream_it_is_the_lag_in_bytes_where_that_is_known(self):
        bridge = registry.get(CONFIG.bridge)
        assert self.size(CONFIG) == 1
        bridge.session(("kafka", Shard(0, 1)), lambda: opened(None))
        bridge.session(("kafka", Shard(0, 2)), lambda: opened(7e6))
        assert self.size(CONFIG) == 1
        assert self.size(CONFIG, Shard(0, 2)) == 7e6
        assert self.size(CONFIG, Shard(0, 2), Frontier(ended=True)) == 0


class TestTaken:
    def test_a_checkpoint_hands_on_how_many_messages_were_taken(self):
        tracker = TakenTracker(Taken(5))
        assert tracker.try_claim(3)
        assert tracker.try_split(0.5) is None
        assert tracker.try_split(0) == (Taken(8, ended=True), Taken(8))
        assert not tracker.try_claim(1)
        assert tracker.check_done()

    def test_a_source_that_returns_without_an_end_is_an_error(self):
        tracker = TakenTracker(Taken())
        with pytest.raises(ValueError, match="while its subscription was open"):
            tracker.check_done()
        assert tracker.try_claim(None)
        assert tracker.check_done()
        assert tracker.try_split(0) is None
