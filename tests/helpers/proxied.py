"""An embedded stack of one's own, with a proxy before each of its servers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from proxy import Proxy

from pipelines.local.server import LOOPBACK, free_ports
from pipelines.local.stack import EmbeddedStack

_PROXIED = """\
listeners=PLAINTEXT://127.0.0.1:{{port}},PROXIED://127.0.0.1:{listening},CONTROLLER://127.0.0.1:{{controller_port}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},PROXIED://127.0.0.1:{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
"""


class Servers(NamedTuple):
    """Both servers, and a proxy before each."""

    stack: EmbeddedStack
    kafka_proxy: Proxy
    pubsub_proxy: Proxy

    def env(self, proxied: bool) -> dict[str, str]:
        """Where bridges find them."""
        if not proxied:
            return self.stack.env()
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_proxy.address,
            "PUBSUB_EMULATOR_HOST": self.pubsub_proxy.address,
        }


@contextlib.contextmanager
def proxied_stack(emulator_heap: str) -> Iterator[Servers]:
    """Servers of one suite alone; this process's clients of Pub/Sub find the emulator itself."""
    kafka_proxy, pubsub_proxy = Proxy(), Proxy()
    (listening,) = free_ports(1)
    kafka_proxy.target = (LOOPBACK, listening)
    properties = _PROXIED.format(listening=listening, advertised=kafka_proxy.port)
    before = os.environ.get("PUBSUB_EMULATOR_HOST")
    with EmbeddedStack(kafka_properties=properties, emulator_heap=emulator_heap) as stack:
        pubsub_proxy.target = (LOOPBACK, stack.pubsub.port)
        os.environ["PUBSUB_EMULATOR_HOST"] = stack.pubsub_emulator_host
        yield Servers(stack, kafka_proxy, pubsub_proxy)
    if before is None:
        del os.environ["PUBSUB_EMULATOR_HOST"]
    else:
        os.environ["PUBSUB_EMULATOR_HOST"] = before
    kafka_proxy.close()
    pubsub_proxy.close()
