"""A broker with every kind of log-in, each listener on a port of its own, and access by ACLs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from certificates import PASSWORD, Certificates
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from ends import until
from kdc import SERVICE, Kdc
from token_endpoint import AUDIENCE, ISSUER, TokenEndpoint

from pipelines.local.broker import KafkaServer
from pipelines.local.jars import Pin
from pipelines.local.server import LOOPBACK, free_ports
from pipelines.local.status import Say

JAAS_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "GSSAPI": "com.sun.security.auth.module.Krb5LoginModule",
    "OAUTHBEARER": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
}
MECHANISMS = tuple(JAAS_MODULES)
REAUTHENTICATION_S = 20

# The broker verifies signed tokens with it; Kafka's distribution has it, too.
_JOSE4J = Pin(
    "7314af50cde9c99e8eaf43eee617a23edcc6bb43036221064355094999d837ef",
    299_502,
    *("org.bitbucket.b_c", "jose4j", "0.9.6"),
)
_START_TIMEOUT_S = 60.0
_HEAP = "400m"
_TIMEOUT_S = 20.0
_SCRAM_ITERATIONS = 4096


class Listener(NamedTuple):
    """How one listener lets clients in."""

    protocol: str
    mechanisms: tuple[str, ...] = ()


LISTENERS = {
    "PLAINTEXT": Listener("PLAINTEXT"),
    "TLS": Listener("SSL"),
    "TLS_WRONG_HOST": Listener("SSL"),
    "TLS_EXPIRED": Listener("SSL"),
    "MTLS": Listener("SSL"),
    "SASL_PLAINTEXT": Listener("SASL_PLAINTEXT", MECHANISMS),
    "SASL_SSL": Listener("SASL_SSL", MECHANISMS),
    "REAUTH": Listener("SASL_PLAINTEXT", MECHANISMS),
}
"""By name. Clients of REAUTH log in again every `REAUTHENTICATION_S`. Whoever need not log in (at
PLAINTEXT and the first three with TLS) is a super user; the others may do what an ACL says."""


class SecureKafka(KafkaServer):
    """One broker with `LISTENERS`; topics, users and ACLs are made while it runs.

    Args:
      kdc, tokens: are running.
      passwords: of the users of PLAIN, which are read at the start.
    """

    def __init__(
        self,
        folder: Path,
        say: Say,
        certificates: Certificates,
        kdc: Kdc,
        tokens: TokenEndpoint,
        passwords: dict[str, str],
    ) -> None:
        java_options = (
            f"-Djava.security.krb5.conf={kdc.config}",
            f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={tokens.jwks_url}",
        )
        super().__init__(
            folder,
            say,
            _START_TIMEOUT_S,
            _HEAP,
            java_options=java_options,
            more_jars=[_JOSE4J],
        )
        self._settings = {
            **_tls(certificates),
            **_sasl(kdc, tokens, passwords),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        self._ports: dict[str, int] = {}

    def bootstrap(self, listener: str) -> str:
        """`localhost:PORT`, as the broker advertises it."""
        return f"localhost:{self._ports[listener]}"

    def create_topic(self, name: str, partitions: int = 1) -> str:
        self._wait(self._admin.create_topics([NewTopic(name, partitions, 1)]))
        return name

    def add_scram_user(
        self,
        name: str,
        password: str,
        mechanisms: Iterable[str] = ("SCRAM-SHA-256", "SCRAM-SHA-512"),
    ) -> None:
        """Makes a user, or changes its password."""
        for mechanism in mechanisms:
            info = ScramCredentialInfo(_scram(mechanism), _SCRAM_ITERATIONS)
            change = UserScramCredentialUpsertion(name, info, password.encode())
            self._wait(self._admin.alter_user_scram_credentials([change]))
            until(lambda m=mechanism: m in self._scram_mechanisms(name), f"{mechanism} of {name}")

    def remove_scram_user(self, name: str) -> None:
        for mechanism in self._scram_mechanisms(name):
            change = UserScramCredentialDeletion(name, _scram(mechanism))
            self._wait(self._admin.alter_user_scram_credentials([change]))
        until(lambda: not self._scram_mechanisms(name), f"no {name}")

    def allow(
        self, user: str, kind: str, name: str, *operations: str, prefixed: bool = False
    ) -> None:
        """Lets a user do something, or everything if no operation is named.

        Args:
          kind: `topic`, `group`, `transactional_id` or `cluster` (whose name does not matter).
          name: of the resource, or the beginning of its name; `*` is all of them.
          operations: `read`, `write`, `describe`, ... as Kafka calls them.
        """
        pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        if kind == "cluster":
            resource, name = ResourceType.BROKER, "kafka-cluster"
        else:
            resource = ResourceType[kind.upper()]
        bindings = [
            AclBinding(
                *(resource, name, pattern, f"User:{user}", "*"),
                *(AclOperation[operation.upper()], AclPermissionType.ALLOW),
            )
            for operation in operations or ("all",)
        ]
        self._wait(self._admin.create_acls(bindings))
        until(lambda: set(bindings) <= set(self._acls(user)), f"ACLs of {user}")

    def allow_everything(self, user: str) -> None:
        for kind in ("topic", "group", "transactional_id", "cluster"):
            self.allow(user, kind, "*")

    def withdraw(self, user: str) -> None:
        """Ends whatever was allowed to a user."""
        self._wait(self._admin.delete_acls([_all_of(user)]))
        until(lambda: not self._acls(user), f"no ACLs of {user}")

    def _choose_ports(self) -> None:
        *ports, controller_port = free_ports(len(LISTENERS) + 1)
        self._ports = dict(zip(LISTENERS, ports, strict=True))
        self.port = self._ports["PLAINTEXT"]
        protocols = {name: each.protocol for name, each in LISTENERS.items()}
        protocols["CONTROLLER"] = "PLAINTEXT"
        own = [f"{name}://{LOOPBACK}:{port}" for name, port in self._ports.items()]
        settings = {
            "listeners": ",".join([*own, f"CONTROLLER://{LOOPBACK}:{controller_port}"]),
            "advertised.listeners": ",".join(
                f"{name}://{self.bootstrap(name)}" for name in LISTENERS
            ),
            "listener.security.protocol.map": ",".join(map(":".join, protocols.items())),
            "inter.broker.listener.name": "PLAINTEXT",
            **self._settings,
        }
        self._more_properties = "".join(_line(*item) for item in settings.items())
        self._configure(controller_port)

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap("PLAINTEXT"), "log_level": 0})

    @staticmethod
    def _wait(futures: dict) -> None:
        for future in futures.values():
            future.result(_TIMEOUT_S)

    def _scram_mechanisms(self, name: str) -> Sequence[str]:
        [future] = self._admin.describe_user_scram_credentials([name]).values()
        try:
            infos = future.result(_TIMEOUT_S).scram_credential_infos
        except KafkaException:  # there is no such user
            return []
        return [info.mechanism.name.replace("_", "-") for info in infos]

    def _acls(self, user: str) -> Sequence[AclBinding]:
        return self._admin.describe_acls(_all_of(user)).result(_TIMEOUT_S)


def _tls(certificates: Certificates) -> dict[str, str]:
    """Each listener's certificate, and who may log in with one."""
    settings = {
        "ssl.truststore.type": "PKCS12",
        "ssl.truststore.location": str(certificates.truststore),
        "ssl.truststore.password": PASSWORD,
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(certificates.server.p12),
        "ssl.keystore.password": PASSWORD,
        "ssl.key.password": PASSWORD,
        "listener.name.mtls.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
    }
    others = {"tls_wrong_host": certificates.wrong_host, "tls_expired": certificates.expired_server}
    for name, identity in others.items():
        settings[f"listener.name.{name}.ssl.keystore.location"] = str(identity.p12)
    return settings


def _sasl(kdc: Kdc, tokens: TokenEndpoint, passwords: dict[str, str]) -> dict[str, str]:
    """The log-ins; the same at every listener that has any."""
    service = f"{SERVICE}/localhost"
    options = {
        "PLAIN": {f"user_{name}": password for name, password in passwords.items()},
        "GSSAPI": {
            "useKeyTab": "true",
            "storeKey": "true",
            "keyTab": str(kdc.add(service)),
            "principal": kdc.principal(service),
        },
    }
    handler = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
    settings = {
        "sasl.kerberos.service.name": SERVICE,
        "sasl.oauthbearer.jwks.endpoint.url": tokens.jwks_url,
        "sasl.oauthbearer.expected.audience": AUDIENCE,
        "sasl.oauthbearer.expected.issuer": ISSUER,
        "listener.name.reauth.connections.max.reauth.ms": str(REAUTHENTICATION_S * 1000),
    }
    for name, listener in LISTENERS.items():
        prefix = f"listener.name.{name.lower()}"
        if listener.mechanisms:
            settings[f"{prefix}.sasl.enabled.mechanisms"] = ",".join(listener.mechanisms)
            settings[f"{prefix}.oauthbearer.sasl.server.callback.handler.class"] = handler
        for mechanism in listener.mechanisms:
            settings[f"{prefix}.{mechanism.lower()}.sasl.jaas.config"] = jaas(
                mechanism, options.get(mechanism, {})
            )
    return settings


def jaas(mechanism: str, options: dict[str, str]) -> str:
    """The value of sasl.jaas.config."""
    quoted = (
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
        for name, value in options.items()
    )
    return " ".join([JAAS_MODULES[mechanism], "required", *quoted]) + ";"


def _line(name: str, value: str) -> str:
    """A line of server.properties, whose braces survive `str.format`. Java reads it as Latin-1."""
    escaped = value.replace("\\", "\\\\")
    ascii_only = "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in escaped)
    return f"{name}={ascii_only.replace('{', '{{').replace('}', '}}')}\n"


def _scram(mechanism: str) -> ScramMechanism:
    return ScramMechanism[mechanism.replace("-", "_")]


def _all_of(user: str) -> AclBindingFilter:
    return AclBindingFilter(
        *(ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{user}", None),
        *(AclOperation.ANY, AclPermissionType.ANY),
    )
