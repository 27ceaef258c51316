"""Three brokers that are their own controllers: three copies of everything, two to be in sync.

A broker that is back gets the partitions that it prefers by an election, within seconds.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from confluent_kafka.admin import AdminClient

from pipelines.local.broker import KafkaServer, new_cluster_id
from pipelines.local.server import LOOPBACK, free_ports
from pipelines.local.status import say_on_stderr

NODES = 3
_START_TIMEOUT_S = 90.0
_HEAP = "400m"
_TIMEOUT_S = 10.0

_PROPERTIES = """\
node.id={node}
controller.quorum.voters={voters}
default.replication.factor=3
min.insync.replicas=2
leader.imbalance.check.interval.seconds=1
leader.imbalance.per.broker.percentage=0
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
"""


class Node(KafkaServer):
    """One broker of the three, whose ports the others know."""

    def __init__(self, folder: Path, number: int, ports: list[int], cluster_id: str) -> None:
        controllers = ports[NODES:]
        voters = ",".join(f"{n}@{LOOPBACK}:{at}" for n, at in enumerate(controllers, 1))
        properties = _PROPERTIES.format(node=number, voters=voters)
        super().__init__(folder, say_on_stderr, _START_TIMEOUT_S, _HEAP, properties)
        self.number = number
        self._ports = ports[number - 1], controllers[number - 1]
        self._cluster_id = cluster_id

    def _choose_ports(self) -> None:
        self.port, controller_port = self._ports
        self._configure(controller_port)

    def _format(self, _cluster_id: str) -> None:
        super()._format(self._cluster_id)


class Cluster:
    """Runs while the `with` lasts, with data in a temporary folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        ports, cluster_id = free_ports(2 * NODES), new_cluster_id()
        self.nodes = [
            Node(self._folder / str(n), n, ports, cluster_id) for n in range(1, NODES + 1)
        ]

    def __enter__(self) -> Cluster:
        try:
            for node in self.nodes:
                node.prepare()
                node.launch()
            for node in self.nodes:
                node.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        return self

    def __exit__(self, *_error: object) -> None:
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(node.address for node in self.nodes)

    def leaders(self, topic: str) -> dict[int, int]:
        """The number of the node that leads each partition."""
        found = self._admin.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        return {number: partition.leader for number, partition in found.items()}

    def node(self, number: int) -> Node:
        return self.nodes[number - 1]
