"""Google's Pub/Sub emulator: where its jar comes from, and how it runs."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from pipelines.local.emulator_jar import emulator_jar
from pipelines.local.java import QUICK_START, find_java
from pipelines.local.server import LOOPBACK, Server, free_ports
from pipelines.local.status import Say

_PROBE_TIMEOUT_S = 2.0
_LIST_TOPICS = "/v1/projects/ready/topics"
"""The emulator answers REST on its gRPC port, through the same service: no client is needed."""


class PubsubEmulator(Server):
    """The emulator; it keeps topics, subscriptions and messages in its heap only."""

    name = "Pub/Sub emulator"

    def __init__(self, folder: Path, say: Say, start_timeout_s: float, heap: str) -> None:
        super().__init__(folder, say, start_timeout_s)
        self._heap = heap
        self._java = ""
        self._jar = Path()

    def prepare(self) -> None:
        self._java = find_java()
        self._jar = emulator_jar(self._say)
        version = self._jar.name.removeprefix("cloud-pubsub-emulator-").removesuffix("-all.jar")
        self.name = f"Pub/Sub emulator {version}"

    def _choose_ports(self) -> None:
        (self.port,) = free_ports(1)

    def _command(self) -> list[str]:
        return [
            self._java,
            *QUICK_START,
            *(f"-Xmx{self._heap}", f"-Djava.io.tmpdir={self._folder}"),
            *("-jar", str(self._jar), f"--host={LOOPBACK}", f"--port={self.port}"),
        ]

    def _answers(self) -> bool:
        connection = HTTPConnection(LOOPBACK, self.port, timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("GET", _LIST_TOPICS)
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
