"""A broker whose own metrics can be read: Jolokia answers for its MBeans over HTTP, on loopback."""

from __future__ import annotations

from pathlib import Path

import requests

from pipelines.local.broker import KafkaServer
from pipelines.local.jars import Pin, kafka_jars
from pipelines.local.server import LOOPBACK, free_ports
from pipelines.local.status import say_on_stderr

_JOLOKIA = Pin(
    "65d5645b07f7bdc22c7a1dbf060b5345b564674cc263d14f75ade2dabe80f1f2",
    488818,
    "org.jolokia",
    "jolokia-jvm",
    "1.7.2",
)
_START_TIMEOUT_S = 60.0
_HEAP = "400m"
_TIMEOUT_S = 10.0


class MeasuredKafka(KafkaServer):
    """One broker."""

    def __init__(self, folder: Path) -> None:
        agent = kafka_jars(say_on_stderr, None, [_JOLOKIA])[-1]
        [self._metrics_port] = free_ports(1)
        settings = f"host={LOOPBACK},port={self._metrics_port},discoveryEnabled=false"
        java_options = (f"-javaagent:{agent}={settings}",)
        super().__init__(folder, say_on_stderr, _START_TIMEOUT_S, _HEAP, java_options=java_options)

    def fetched_bytes(self, topic: str) -> int:
        """Bytes of a topic that consumers have fetched: `BytesOutPerSec` of the broker."""
        name = f"kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,topic={topic}"
        url = f"http://{LOOPBACK}:{self._metrics_port}/jolokia/read/{name}/Count"
        answer = requests.get(url, timeout=_TIMEOUT_S).json()
        return int(answer["value"]) if answer["status"] == 200 else 0
