"""Google's connector for Pub/Sub, in Kafka Connect standalone.

The published connector knows no emulator. It gets `tls_front` as its endpoint, and, since its
source asks for the subscription at Google's own host name whatever its endpoint is, as its proxy.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cells import CONNECTOR
from benchmarks.processes import ROOT
from benchmarks.systems import tls_front
from benchmarks.systems.jobs import MAX_IN_FLIGHT_BYTES, Job
from benchmarks.systems.tls_front import LOOPBACK, Ports
from pipelines.local import jars
from pipelines.local.java import find_java
from pipelines.local.status import say_on_stderr
from transforms.errors import PreflightError

MAX_MESSAGE_BYTES = 11 * 1024 * 1024

_PINS = Path(__file__).with_name("connector_jars.txt")
_CONNECTOR = "pubsub-group-kafka-connector"
_PLUGINS = "plugins"
_FRONT_S = 30.0

AS_SHIPPED = (
    *("-Xms256M", "-Xmx2G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"),
    *("-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"),
)
"""The JVM as Kafka's own scripts start Connect (bin/connect-standalone.sh, kafka-run-class.sh)."""

QUICK_COMPILER = ("-Xmx1g", "-XX:+UseParallelGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""What took the least CPU over the first hundreds of thousands of messages, as a benchmark has
them: the other compiler takes more than it saves that soon."""
BATCH = 1_000

_WORKER = {
    "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
    # As bytes a key would be published as Java's name for the array.
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "header.converter": "org.apache.kafka.connect.storage.StringConverter",
    "offset.flush.interval.ms": "1000",
    "plugin.discovery": "service_load",
}
_CLASSES = {
    "sink.SinkConnector": "com.google.pubsub.kafka.sink.CloudPubSubSinkConnector",
    "source.SourceConnector": "com.google.pubsub.kafka.source.CloudPubSubSourceConnector",
}
_SINK = {
    "maxBufferSize": str(BATCH),
    "delayThresholdMs": "20",
    "consumer.override.max.poll.records": "5000",
    "consumer.override.max.partition.fetch.bytes": "10000000",
}
_SOURCE = {
    "cps.maxBatchSize": str(BATCH),
    "kafka.record.headers": "true",
    "kafka.partition.scheme": "kafka_partitioner",
    "producer.override.linger.ms": "5",
    "producer.override.batch.size": "1000000",
    "producer.override.max.in.flight.requests.per.connection": "5",
    "producer.override.max.request.size": str(MAX_MESSAGE_BYTES),
}


class Connector:
    """`pubsub-group-kafka-connector`, published on Maven Central.

    A topic's metadata and headers travel with `attributes` other than none.

    Args:
      name: as the tables have it.
      jvm: its flags.
    """

    def __init__(self, name: str = CONNECTOR, jvm: Sequence[str] = AS_SHIPPED) -> None:
        self.name = name
        self._jvm = jvm
        self._fronts: list[subprocess.Popen[bytes]] = []

    def absent(self) -> str:
        try:
            find_java()
            _jars()
        except (PreflightError, OSError) as error:
            return str(error)
        return ""

    def describe(self) -> Mapping[str, str]:
        return {
            _CONNECTOR: _connector_pin().version,
            "Kafka Connect": jars.KAFKA_VERSION,
            "JVM": " ".join(self._jvm),
            "TLS": "to Pub/Sub, as in the cloud; its CPU is the connector's",
            "worker": _on_one_line(_WORKER),
            "Kafka -> Pub/Sub": _on_one_line(_SINK),
            "Pub/Sub -> Kafka": _on_one_line(_SOURCE),
        }

    def start(self, job: Job) -> subprocess.Popen[bytes]:
        """Raises PreflightError when its TLS front does not come up."""
        classes, plugin = _jars()
        # The front ends when this pipe does, whose other end the connector alone has.
        front_end, connector_end = os.pipe()
        try:
            ports = self._start_front(job, front_end)
            _install(plugin, job.folder / _PLUGINS / "google")
            (job.folder / "worker.properties").write_text(as_text(worker(job)))
            (job.folder / "connector.properties").write_text(as_text(connector(job, ports)))
            with (job.folder / "connector.log").open("wb") as log:
                return subprocess.Popen(
                    command(job, ports, classes, self._jvm),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[connector_end],
                    start_new_session=True,
                )
        finally:
            os.close(front_end)
            os.close(connector_end)

    def _start_front(self, job: Job, until: int) -> Ports:
        self._fronts = [each for each in self._fronts if each.poll() is None]
        with (job.folder / "front.log").open("wb") as log:
            front = subprocess.Popen(
                [sys.executable, "-m", tls_front.__name__, job.pubsub, str(job.folder)],
                cwd=ROOT,
                stdin=until,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._fronts.append(front)
        assert front.stdout is not None
        with front.stdout:
            readable, _, _ = select.select([front.stdout], [], [], _FRONT_S)
            line = front.stdout.readline() if readable else b""
        if not line:
            front.kill()
            said = (job.folder / "front.log").read_text(errors="replace").strip()
            raise PreflightError(f"start the TLS front: {said.splitlines()[-1:] or 'no answer'}")
        return Ports(**json.loads(line))


def worker(job: Job) -> dict[str, str]:
    """The properties of the Connect worker."""
    return {
        **_WORKER,
        "bootstrap.servers": job.bootstrap_servers,
        "offset.storage.file.filename": str(job.folder / "offsets"),
        "plugin.path": str(job.folder / _PLUGINS),
        "listeners": f"http://{LOOPBACK}:0",
    }


def connector(job: Job, ports: Ports) -> dict[str, str]:
    """The properties of the one connector that the worker runs."""
    common = {
        "name": "peer",
        "tasks.max": "1",
        "cps.endpoint": f"localhost:{ports.tls}",
        "gcp.sa.credentials.file.path": str(job.folder / tls_front.ACCOUNT),
    }
    if job.direction == "ps_to_kafka":
        _, project, _, subscription = job.subscription.split("/")
        return {
            **common,
            **_SOURCE,
            "connector.class": _CLASSES["source.SourceConnector"],
            "cps.project": project,
            "cps.subscription": subscription,
            "kafka.topic": job.kafka_topic,
        }
    _, project, _, topic = job.pubsub_topic.split("/")
    extras = str(job.attributes != "none").lower()
    return {
        **common,
        **_SINK,
        "connector.class": _CLASSES["sink.SinkConnector"],
        "cps.project": project,
        "cps.topic": topic,
        "topics": job.kafka_topic,
        "consumer.override.group.id": job.group_id,
        "maxOutstandingRequestBytes": str(MAX_IN_FLIGHT_BYTES),
        "metadata.publish": extras,
        "headers.publish": extras,
    }


def command(job: Job, ports: Ports, classes: list[Path], jvm: Sequence[str]) -> list[str]:
    """How the worker is run. Whatever is not on this machine it asks a proxy for, which refuses."""
    properties = {
        "javax.net.ssl.trustStore": job.folder / tls_front.TRUSTSTORE,
        "javax.net.ssl.trustStorePassword": tls_front.PASSWORD,
        "http.proxyHost": LOOPBACK,
        "http.proxyPort": ports.http,
        "https.proxyHost": LOOPBACK,
        "https.proxyPort": ports.http,
        "http.nonProxyHosts": "localhost|127.*",
        "java.io.tmpdir": job.folder,
        "log4j2.level": "WARN",
    }
    return [
        find_java(),
        *jvm,
        *(f"-D{name}={value}" for name, value in properties.items()),
        *("-cp", os.pathsep.join(map(str, classes))),
        "org.apache.kafka.connect.cli.ConnectStandalone",
        *(str(job.folder / name) for name in ("worker.properties", "connector.properties")),
    ]


def _install(jar: Path, folder: Path) -> None:
    """Lays a connector into a plugin folder, with the manifests that it lacks; without them each
    start looks through its 60 MB, for seconds. Kafka's `connect-plugin-path` writes the same."""
    folder.mkdir(parents=True)
    (folder / jar.name).symlink_to(jar)
    with zipfile.ZipFile(folder / "manifests.jar", "w") as manifests:
        for interface, name in _CLASSES.items():
            manifests.writestr(f"META-INF/services/org.apache.kafka.connect.{interface}", name)


def as_text(properties: Mapping[str, str]) -> str:
    """Java's properties."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _on_one_line(properties: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in properties.items())


def _connector_pin() -> jars.Pin:
    (pin,) = (pin for pin in jars.pins(_PINS.read_text()) if pin.artifact == _CONNECTOR)
    return pin


def _jars() -> tuple[list[Path], Path]:
    """Kafka Connect's, and the connector's, which it loads by itself."""
    found = jars.kafka_jars(say_on_stderr, more=jars.pins(_PINS.read_text()))
    plugin = next(jar for jar in found if jar.name == _connector_pin().file_name)
    return [jar for jar in found if jar != plugin], plugin
