"""A secure Kafka and what its log-ins need: certificates, a Kerberos realm, a token endpoint."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

from certificates import PASSWORD, Certificates, Identity
from kdc import SERVICE, Kdc
from secure_kafka import LISTENERS, SecureKafka, jaas
from token_endpoint import TokenEndpoint

from pipelines.local.java import find_java
from pipelines.local.status import say_on_stderr
from transforms.errors import PreflightError

BRIDGE = "bridge"
STRANGER = "stranger"
AWKWARD = "awkward"
PASSWORDS = {
    BRIDGE: "bridge-secret",
    STRANGER: "stranger-secret",
    AWKWARD: "a \"b\" 'c'; d\\e=f, {g}: %25+é€",
}
"""Every user, with the password for PLAIN and SCRAM and the client secret for OAuth. `bridge` and
`awkward` are allowed everything, `stranger` nothing."""

LOGINS = [
    (name, mechanism)
    for name, listener in LISTENERS.items()
    if name not in ("TLS_WRONG_HOST", "TLS_EXPIRED")
    for mechanism in listener.mechanisms or ("",)
]
"""(listener, mechanism) of all that let the bridge in; the mechanism is empty without SASL."""

_SCOPE = "kafka"
_JAVA_TIMEOUT_S = 20.0


class SecureServers:
    """Runs while the `with` lasts.

    Args:
      folder: an empty folder, where all data go.
    Attributes:
      certificates: of servers, and the roots; `certificates.client(...)` makes more clients.
      clients: a certificate for every user.
      keytabs: of every user in the realm.
      kdc: the realm; programs find it by `kdc.environment`.
      tokens: the token endpoint.
      kafka: the broker.
    Raises:
      PreflightError: on entering, when something is not installed or does not start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> SecureServers:
        with self._stack:
            self._start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.kdc = Kdc(self._folder / "kdc", say_on_stderr)
        self.kdc.prepare()
        _check_java()
        folder = self._folder / "certificates"
        folder.mkdir()
        self.certificates = Certificates(folder)
        self.clients: dict[str, Identity] = {
            user: self.certificates.client(user) for user in PASSWORDS
        }
        self.tokens = self._stack.enter_context(TokenEndpoint(PASSWORDS, self.certificates.server))
        self._stack.callback(self.kdc.stop)
        self.kdc.launch()
        self.kdc.wait_ready()
        self.keytabs = {user: self.kdc.add(user) for user in PASSWORDS}
        self.kafka = SecureKafka(
            *(self._folder / "kafka", say_on_stderr),
            *(self.certificates, self.kdc, self.tokens, PASSWORDS),
        )
        self._stack.callback(self.kafka.stop)
        self.kafka.prepare()
        self.kafka.launch()
        self.kafka.wait_ready()
        for user, password in PASSWORDS.items():
            self.kafka.add_scram_user(user, password)
        for user in (BRIDGE, AWKWARD):
            self.kafka.allow_everything(user)

    def bootstrap(self, listener: str) -> str:
        """`localhost:PORT`, for `--bootstrap_servers`."""
        return self.kafka.bootstrap(listener)

    def properties(
        self, listener: str, mechanism: str = "", user: str = BRIDGE, **others: str
    ) -> dict[str, str]:
        """The standard client properties that log a user in, without bootstrap.servers.

        Args:
          mechanism: one of the listener's; its first by default.
          others: instead or besides; `ssl_truststore_location` sets `ssl.truststore.location`.
        """
        protocol, mechanisms = LISTENERS[listener]
        found = {"security.protocol": protocol}
        if protocol.endswith("SSL"):
            found |= self.trust()
        if listener == "MTLS":
            found |= keystore(self.clients[user])
        if mechanisms:
            found |= self.login(mechanism or mechanisms[0], user)
        return found | {name.replace("_", "."): value for name, value in others.items()}

    def trust(self) -> dict[str, str]:
        """The properties that trust the servers' root, as a PEM file."""
        return {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates.ca),
        }

    def login(self, mechanism: str, user: str = BRIDGE, password: str = "") -> dict[str, str]:
        """The properties of SASL; with a password (a client secret) other than the user's own."""
        password = password or PASSWORDS[user]
        properties = {"sasl.mechanism": mechanism}
        if mechanism == "GSSAPI":
            properties["sasl.kerberos.service.name"] = SERVICE
            options = {
                "useKeyTab": "true",
                "storeKey": "true",
                "keyTab": str(self.keytabs[user]),
                "principal": self.kdc.principal(user),
            }
        elif mechanism == "OAUTHBEARER":
            properties["sasl.oauthbearer.token.endpoint.url"] = self.tokens.url
            properties["sasl.login.callback.handler.class"] = (
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"
            )
            options = {"clientId": user, "clientSecret": password, "scope": _SCOPE}
        else:
            options = {"username": user, "password": password}
        return {**properties, "sasl.jaas.config": jaas(mechanism, options)}


def keystore(identity: Identity) -> dict[str, str]:
    """The properties that show a client's certificate, with an encrypted key, as a PEM file."""
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(identity.encrypted_pem),
        "ssl.key.password": PASSWORD,
    }


def _check_java() -> None:
    """A Java without this module starts a broker that then refuses every log-in by Kerberos."""
    modules = subprocess.run(
        [find_java(), "--list-modules"], capture_output=True, text=True, timeout=_JAVA_TIMEOUT_S
    )
    if "jdk.security.jgss@" not in modules.stdout:
        raise PreflightError(f'{find_java()} has no Kerberos for servers: run "make kerberos"')
