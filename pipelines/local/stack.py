"""Both servers together: a real Apache Kafka and Google's Pub/Sub emulator."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from pipelines.local.broker import KafkaServer
from pipelines.local.emulator import PubsubEmulator
from pipelines.local.server import Server
from pipelines.local.status import Say, say_on_stderr


class EmbeddedStack:
    """Apache Kafka and the Pub/Sub emulator on free loopback ports, while the `with` lasts.

    Data live in a temporary folder that is removed at the end. Nothing outlives this process,
    however it ends.

    Args:
      kafka, pubsub: which of the two to start.
      kafka_heap, emulator_heap: `-Xmx` of each; the emulator keeps every message in its heap.
      kafka_properties: lines for the broker's server.properties, where they win; `{port}` and
        `{controller_port}` stand for its ports.
      start_timeout_s: for each server, from its launch to its first answer.
      say: gets one line for people per thing that takes time; standard error by default.
    Raises:
      PreflightError: on entering, when a server cannot be had or does not start.
    """

    def __init__(
        self,
        *,
        kafka: bool = True,
        pubsub: bool = True,
        kafka_heap: str = "512m",
        kafka_properties: str = "",
        emulator_heap: str = "1g",
        start_timeout_s: float = 60.0,
        say: Say = say_on_stderr,
    ) -> None:
        self._kafka_heap = kafka_heap if kafka else None
        self._kafka_properties = kafka_properties
        self._emulator_heap = emulator_heap if pubsub else None
        self._start_timeout_s = start_timeout_s
        self._say = say
        self._folder: Path | None = None
        self._kafka: KafkaServer | None = None
        self._pubsub: PubsubEmulator | None = None

    def __enter__(self) -> EmbeddedStack:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the servers side by side, and returns when both take requests."""
        self._folder = Path(tempfile.mkdtemp(prefix="embedded-stack-"))
        common = (self._say, self._start_timeout_s)
        if self._emulator_heap:
            self._pubsub = PubsubEmulator(self._folder / "pubsub", *common, self._emulator_heap)
        if self._kafka_heap:
            self._kafka = KafkaServer(
                self._folder / "kafka", *common, self._kafka_heap, self._kafka_properties
            )
        try:
            for server in self.servers:
                server.prepare()
            for server in self.servers:
                server.launch()
            for server in self.servers:
                server.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops what runs and removes its data. Does nothing the second time."""
        for server in self.servers:
            server.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def servers(self) -> list[Server]:
        """Those that were asked for; the emulator first, for it is the quicker to launch."""
        return [server for server in (self._pubsub, self._kafka) if server is not None]

    @property
    def kafka(self) -> KafkaServer:
        """The broker, to pause, kill or restart."""
        if self._kafka is None:
            raise RuntimeError("this stack was not started with kafka=True")
        return self._kafka

    @property
    def pubsub(self) -> PubsubEmulator:
        """The emulator, to pause or kill; it keeps nothing over a restart."""
        if self._pubsub is None:
            raise RuntimeError("this stack was not started with pubsub=True")
        return self._pubsub

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:PORT` of the broker."""
        return self.kafka.address

    @property
    def pubsub_emulator_host(self) -> str:
        """`127.0.0.1:PORT` of the emulator."""
        return self.pubsub.address

    def env(self) -> dict[str, str]:
        """The environment variables that point clients here."""
        variables = {}
        if self._kafka is not None:
            variables["KAFKA_BOOTSTRAP_SERVERS"] = self.bootstrap_servers
        if self._pubsub is not None:
            variables["PUBSUB_EMULATOR_HOST"] = self.pubsub_emulator_host
        return variables
