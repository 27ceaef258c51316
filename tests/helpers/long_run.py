"""Both bridges behind one another, for minutes, with Kerberos tickets that live for one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ends import Bridge, Kafka, PubSub
from secure_kafka import jaas
from secure_servers import BRIDGE, SecureServers

from transforms.pubsub.client import Publisher, to_wire
from transforms.records import PubsubRecord

TICKET_S = 60
LISTENER = "REAUTH"
_PERIOD_S = 0.5


class LongRun:
    """Messages go from Pub/Sub to Kafka and back, two a second, until `finish`.

    One bridge has a keytab, the other a ticket cache. The broker wants a new log-in every 20 s.

    Attributes:
      began_s: by the monotonic clock.
      cached, renewed: the principals, of the ticket cache and of the keytab.
      sent: how many messages.
      arrived: where they arrive, a subscription.
    """

    cached, renewed = f"{BRIDGE}/cached", f"{BRIDGE}/renewed"

    def __init__(self, secure: SecureServers, pubsub: PubSub, env: dict, folder: Path) -> None:
        self.sent = 0
        self._pubsub = pubsub
        source, subscription = pubsub.create("long-run")
        # Opened now: other tests change the environment for a moment, which says where to.
        self._publisher = Publisher(source, 60)
        returned, self.arrived = pubsub.create("long-run-returned")
        plain = Kafka(secure.bootstrap("PLAINTEXT"))
        plain.create("long-run")
        plain.close()
        keytab = secure.kdc.add(self.cached, max_life_s=TICKET_S)
        cache = secure.kdc.kinit(
            self.cached, folder / "cache", keytab, life_s=TICKET_S, renewable_s=3600
        )
        options = {
            "keyTab": str(secure.kdc.add(self.renewed, max_life_s=TICKET_S)),
            "principal": secure.kdc.principal(self.renewed),
        }
        jaas_file = folder / "jaas.conf"
        jaas_file.write_text(f"KafkaClient {{ {jaas('GSSAPI', options)} }};")
        common = (
            f"--bootstrap_servers={secure.bootstrap(LISTENER)}",
            "--kafka_config=security.protocol=SASL_PLAINTEXT",
            "--kafka_config=sasl.mechanism=GSSAPI",
            f"--krb5_conf={secure.kdc.config}",
        )
        env = {**env, "KRB5_CONFIG": "/dev/null"}  # the flag is what is meant
        self.bridges = (
            Bridge(
                *("ps_to_kafka", folder, env, *common),
                f"--subscription={subscription}",
                "--kafka_topic=long-run",
                f"--kafka_config=sasl.kerberos.ticket.cache={cache}",
            ),
            Bridge(
                *("kafka_to_ps", folder, env, *common),
                "--kafka_topics=long-run",
                "--group_id=long-run",
                f"--pubsub_topic={returned}",
                f"--kafka_properties={jaas_file}",
            ),
        )
        self.began_s = time.monotonic()
        self._stopping = threading.Event()
        self._feeder = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self._feeder.start()

    def _feed(self) -> None:
        while not self._stopping.wait(_PERIOD_S):
            self._publisher.publish([to_wire(PubsubRecord(b"%d" % self.sent))])
            self.sent += 1

    def finish(self) -> list[dict]:
        """Sends no more; takes what has arrived, stops the bridges, and returns their reports."""
        self._stopping.set()
        self._feeder.join(30)
        self.messages = self._pubsub.receive(self.arrived, self.sent)
        return [bridge.stop() for bridge in self.bridges]

    def close(self) -> None:
        self._stopping.set()
        self._feeder.join(30)
        self._publisher.close()
        for bridge in self.bridges:
            with bridge:
                pass
