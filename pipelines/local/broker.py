"""Apache Kafka: one broker that is its own controller (KRaft)."""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipelines.local.jars import KAFKA_VERSION, Pin, kafka_jars
from pipelines.local.java import QUICK_START, find_java
from pipelines.local.server import LOOPBACK, Server, free_ports
from pipelines.local.status import Say
from transforms.errors import PreflightError

MAX_MESSAGE_BYTES = 11 * 1024 * 1024
_FORMAT_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 2.0

# Nothing expires by itself, since tests and samples carry old timestamps. Few partitions for the
# internal topics and a small cleaner buffer, for a quick start and a small heap. A killed broker is
# let in again only when its old session has run out, so that is short.
_PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{LOOPBACK}:{{controller_port}}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{LOOPBACK}:{{port}},CONTROLLER://{LOOPBACK}:{{controller_port}}
advertised.listeners=PLAINTEXT://{LOOPBACK}:{{port}}
log.dirs={{data}}
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=4194304
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
message.max.bytes={MAX_MESSAGE_BYTES}
replica.fetch.max.bytes={MAX_MESSAGE_BYTES}
socket.request.max.bytes=104857600
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def new_cluster_id() -> str:
    """16 random bytes in URL-safe base64; the leading zero keeps it from looking like a flag."""
    return base64.urlsafe_b64encode(b"\0" + os.urandom(15)).decode().rstrip("=")


class KafkaServer(Server):
    """A broker without security that allows messages of 11 MiB and creates no topic by itself."""

    name = f"Kafka {KAFKA_VERSION}"

    def __init__(
        self,
        folder: Path,
        say: Say,
        start_timeout_s: float,
        heap: str,
        properties: str = "",
        *,
        java_options: Sequence[str] = (),
        more_jars: Sequence[Pin] = (),
    ) -> None:
        """`properties`: lines for server.properties, where they win over those above."""
        super().__init__(folder, say, start_timeout_s)
        self._heap = heap
        self._more_properties = properties
        self._java_options = java_options
        self._more_jars = more_jars
        self._java: list[str] = []

    def prepare(self) -> None:
        self._java = [
            find_java(),
            *QUICK_START,
            *("-Dlog4j2.level=WARN", f"-Djava.io.tmpdir={self._folder}"),
            *self._java_options,
            *("-cp", os.pathsep.join(map(str, kafka_jars(self._say, None, self._more_jars)))),
        ]

    def _choose_ports(self) -> None:
        self.port, controller_port = free_ports(2)
        self._configure(controller_port)

    def _configure(self, controller_port: int) -> None:
        """Writes what the broker is to read, for `port`, and formats its storage once."""
        data = self._folder / "data"
        properties = (_PROPERTIES + self._more_properties).format(
            port=self.port, controller_port=controller_port, data=data.as_posix()
        )
        self._properties.write_text(properties)
        if not data.exists():
            self._format(new_cluster_id())

    def _format(self, cluster_id: str) -> None:
        """Writes the cluster's identity and its feature levels into the empty data folder."""
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster_id]
        command = [*self._java, *tool, "--config", str(self._properties)]
        with self.log.open("ab") as log:
            try:
                subprocess.run(
                    command, check=True, stdout=log, stderr=log, timeout=_FORMAT_TIMEOUT_S
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise PreflightError(
                    f"format the storage of {self.name}: {error}; its log ends: {self.log_tail()}"
                ) from error

    def _command(self) -> list[str]:
        return [*self._java, f"-Xmx{self._heap}", "kafka.Kafka", str(self._properties)]

    def _answers(self) -> bool:
        """Asks for its API versions: a broker answers once it is registered and serves.

        Source: https://kafka.apache.org/protocol (ApiVersions: request 18, version 0, no body).
        """
        header = struct.pack(">hhih", 18, 0, 1, -1)  # key, version, correlation id, no client id
        try:
            with socket.create_connection((LOOPBACK, self.port), _PROBE_TIMEOUT_S) as connection:
                connection.sendall(struct.pack(">i", len(header)) + header)
                answer = connection.makefile("rb").read(10)
        except OSError:
            return False
        # size, correlation id, error code
        return len(answer) == 10 and struct.unpack(">iih", answer)[1:] == (1, 0)

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"
