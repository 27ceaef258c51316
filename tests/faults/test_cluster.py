"""Three brokers: leaders die and move, and topics get partitions, under the bridge."""

from __future__ import annotations

import pytest
from cluster import NODES, Cluster
from ends import Kafka, until
from streams import PARTITIONS, ToPubSub, flowing, let_deliver

pytestmark = [pytest.mark.full_only, pytest.mark.load]


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as running:
        yield running


@pytest.fixture(scope="module")
def kafka(cluster):
    ends = Kafka(cluster.bootstrap_servers)
    yield ends
    ends.close()


@pytest.fixture
def streams(open_streams, reading, cluster):
    opened = open_streams(
        "--commit_interval_s=1",
        bootstrap_servers=cluster.bootstrap_servers,
        replication=NODES,
    )
    for stream in opened:
        if isinstance(stream, ToPubSub):
            stream.flags.append("--metadata_interval_s=1")
    return reading(opened)


def test_leaders_killed_and_moved_back_in_mid_stream_lose_nothing(streams, cluster, table):
    """SIGKILL of the leader of a partition, twice; when it is back and in sync, an election
    gives it its partitions back."""
    [stream] = streams
    topic = stream.kafka_topic
    moved = 0
    with flowing(streams):
        for partition in range(2):
            let_deliver(streams, 1.0)
            before = cluster.leaders(topic)
            node = cluster.node(before[partition])
            node.kill()
            until(lambda b=before, p=partition: cluster.leaders(topic)[p] != b[p], "another leader")
            let_deliver(streams, 1.0)
            node.restart()
            between = cluster.leaders(topic)
            until(lambda b=before: cluster.leaders(topic) == b, "the leaders of before")
            moved += sum(between[n] != before[n] for n in before)
        let_deliver(streams, 1.0)
    table.judge_all("leaders killed x2", streams, load=False, leaders_moved_back=moved)


def test_partitions_added_while_running_lose_nothing(streams, kafka, table):
    """From 4 to 8 partitions. They are read from their first record on by the bridge that runs.

    They are written to by the next one at the latest, since producers look for partitions every
    five minutes: so that one is stopped, and another started.
    """
    [stream] = streams
    with flowing(streams):
        let_deliver(streams, 1.0)
        kafka.add_partitions(stream.kafka_topic, 2 * PARTITIONS)
        if isinstance(stream, ToPubSub):
            stream.source.partitions = 2 * PARTITIONS
        let_deliver(streams, 2.0)
        if not isinstance(stream, ToPubSub):
            stream.bridges[-1].stop()
            stream.start_and_deliver()
        let_deliver(streams, 1.0)
    table.judge_all(
        "partitions added", streams, load=False, in_new_partitions=stream.written_from(PARTITIONS)
    )
