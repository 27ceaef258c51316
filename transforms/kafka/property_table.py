"""Every Kafka client property that is known here, by its standard (Java) name.

`PROPERTIES` are handed to the clients, each under the client's own name. `LOGIN` are those that say
how to log in, which `transforms.kafka.login` makes sense of. `OWNED` are those that the bridge sets
by itself, with the flag to use instead or the reason; `REFUSED` those that ask for what it does not
do. `is_meaningless` knows those that say nothing here. Whatever stands nowhere is a misspelling,
and refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

Role = Literal["consumer", "producer", "admin"]
EVERY: tuple[Role, ...] = ("consumer", "producer", "admin")
CONSUMER: tuple[Role, ...] = ("consumer",)
PRODUCER: tuple[Role, ...] = ("producer",)

Converter = Callable[[str], Any]


def number(text: str) -> int:
    """A whole number that is not negative."""
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError("expected a whole number")
    return int(text)


def number_or_default(text: str) -> int | None:
    """A whole number; -1 is for the client's own default, None."""
    return None if text == "-1" else number(text)


def _zero_for_default(text: str) -> str:
    return "0" if text == "-1" else text


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


def _one_of(*allowed: str) -> Converter:
    """One of these words, in any case; written as it stands here."""

    def convert(text: str) -> str:
        for word in allowed:
            if text.lower() == word.lower():
                return word
        raise ValueError(f"expected one of {', '.join(allowed)}")

    return convert


def _check_hostname(text: str) -> bool:
    """`https` verifies the broker's name, an empty value (or `none`) does not."""
    if text.lower() not in ("https", "none", ""):
        raise ValueError("expected https, or nothing to switch it off")
    return text.lower() == "https"


def _compression(text: str) -> str | None:
    word = str(_one_of("none", "gzip", "snappy", "lz4", "zstd")(text))
    return None if word == "none" else word


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+.*", text):
        raise ValueError("expected https://HOST/PATH")
    return text


class Property(NamedTuple):
    """One property that users may set, and that a client is given.

    Attributes:
      name: the standard name.
      roles: the clients that read it; the others never see it.
      librdkafka: its name there.
      kafka_python: its name there.
      convert: its text to what kafka-python takes; raises ValueError on what makes no sense.
      to_librdkafka: its text to what librdkafka takes.
    """

    name: str
    roles: tuple[Role, ...]
    librdkafka: str
    kafka_python: str
    convert: Converter = str
    to_librdkafka: Callable[[str], str] = str


PROPERTIES: tuple[Property, ...] = (
    Property("client.id", EVERY, "client.id", "client_id"),
    Property(
        "client.dns.lookup",
        EVERY,
        "client.dns.lookup",
        "client_dns_lookup",
        _one_of("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
    ),
    Property(
        "connections.max.idle.ms",
        EVERY,
        "connections.max.idle.ms",
        "connections_max_idle_ms",
        number,
    ),
    Property("reconnect.backoff.ms", EVERY, "reconnect.backoff.ms", "reconnect_backoff_ms", number),
    Property(
        "reconnect.backoff.max.ms",
        EVERY,
        "reconnect.backoff.max.ms",
        "reconnect_backoff_max_ms",
        number,
    ),
    Property("retry.backoff.ms", EVERY, "retry.backoff.ms", "retry_backoff_ms", number),
    Property("request.timeout.ms", EVERY, "socket.timeout.ms", "request_timeout_ms", number),
    Property(
        "receive.buffer.bytes",
        EVERY,
        "socket.receive.buffer.bytes",
        "receive_buffer_bytes",
        number_or_default,
        _zero_for_default,
    ),
    Property(
        "send.buffer.bytes",
        EVERY,
        "socket.send.buffer.bytes",
        "send_buffer_bytes",
        number_or_default,
        _zero_for_default,
    ),
    Property("client.rack", CONSUMER, "client.rack", "client_rack"),
    Property("fetch.min.bytes", CONSUMER, "fetch.min.bytes", "fetch_min_bytes", number),
    Property("fetch.max.wait.ms", CONSUMER, "fetch.wait.max.ms", "fetch_max_wait_ms", number),
    Property(
        "isolation.level",
        CONSUMER,
        "isolation.level",
        "isolation_level",
        _one_of("read_committed", "read_uncommitted"),
        str.lower,
    ),
    Property("check.crcs", CONSUMER, "check.crcs", "check_crcs", _boolean, str.lower),
    Property("session.timeout.ms", CONSUMER, "session.timeout.ms", "session_timeout_ms", number),
    Property(
        "heartbeat.interval.ms",
        CONSUMER,
        "heartbeat.interval.ms",
        "heartbeat_interval_ms",
        number,
    ),
    Property(
        "compression.type",
        PRODUCER,
        "compression.type",
        "compression_type",
        _compression,
        str.lower,
    ),
    Property("batch.size", PRODUCER, "batch.size", "batch_size", number),
)


class LoginProperty(NamedTuple):
    """One property that says how to log in; read in every role.

    Attributes:
      convert: its text to what it means; raises ValueError on what makes no sense.
      secret: its value appears in no message, no log and no job graph.
      file: it names a file, so that a reference stands for that file's content: of text, or of
        bytes that are none.
    """

    convert: Converter = str
    secret: bool = False
    file: Literal["", "text", "binary"] = ""


_TEXT_FILE = LoginProperty(file="text")
_BINARY_FILE = LoginProperty(file="binary")
_SECRET = LoginProperty(secret=True)
_PLAIN_TEXT = LoginProperty()
_STORE_TYPE = LoginProperty(_one_of("PEM", "PKCS12", "JKS"))

JAAS_MODULE = "sasl.jaas.module"
"""What is kept of a login module beside its options: its name, which may tell the mechanism."""

LOGIN: Mapping[str, LoginProperty] = {
    "security.protocol": LoginProperty(_one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")),
    "sasl.mechanism": LoginProperty(
        _one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER")
    ),
    "sasl.jaas.config": _SECRET,
    JAAS_MODULE: _PLAIN_TEXT,
    "sasl.username": _PLAIN_TEXT,
    "sasl.password": _SECRET,
    "sasl.kerberos.service.name": _PLAIN_TEXT,
    "sasl.kerberos.principal": _PLAIN_TEXT,
    "sasl.kerberos.keytab": _BINARY_FILE,
    "sasl.kerberos.ticket.cache": _BINARY_FILE,
    "java.security.krb5.conf": _TEXT_FILE,
    "sasl.oauthbearer.token.endpoint.url": LoginProperty(_url),
    "sasl.oauthbearer.client.id": _PLAIN_TEXT,
    "sasl.oauthbearer.client.secret": _SECRET,
    "sasl.oauthbearer.scope": _PLAIN_TEXT,
    "sasl.oauthbearer.extensions": _PLAIN_TEXT,
    "https.ca.location": _TEXT_FILE,
    "ssl.ca.location": _TEXT_FILE,
    "ssl.ca.pem": _PLAIN_TEXT,
    "ssl.truststore.location": _BINARY_FILE,
    "ssl.truststore.password": _SECRET,
    "ssl.truststore.type": _STORE_TYPE,
    "ssl.certificate.location": _TEXT_FILE,
    "ssl.certificate.pem": _PLAIN_TEXT,
    "ssl.key.location": _TEXT_FILE,
    "ssl.key.pem": _SECRET,
    "ssl.key.password": _SECRET,
    "ssl.keystore.location": _BINARY_FILE,
    "ssl.keystore.password": _SECRET,
    "ssl.keystore.type": _STORE_TYPE,
    "ssl.crl.location": _TEXT_FILE,
    "ssl.endpoint.identification.algorithm": LoginProperty(_check_hostname),
}

ALIASES: Mapping[str, str] = {
    "compression.codec": "compression.type",
    "metadata.broker.list": "bootstrap.servers",
    "sasl.mechanisms": "sasl.mechanism",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
}
"""Other spellings, of Java's client or of librdkafka, of what is known under a standard name."""

OWNED: Mapping[str, str] = {
    "allow.auto.create.topics": "use --create_topics",
    "auto.commit.interval.ms": "use --commit_interval_s",
    "buffer.memory": "use --max_in_flight_bytes",
    "delivery.timeout.ms": "use --delivery_timeout_s",
    "fetch.max.bytes": "use --max_in_flight_bytes",
    "group.instance.id": "use --instance_id",
    "group.protocol": "both clients share a group by the classic protocol",
    "group.remote.assignor": "both clients share a group by the classic protocol",
    "linger.ms": "use --linger_ms",
    "max.in.flight.requests.per.connection": "idempotent writes set it",
    "max.partition.fetch.bytes": "use --max_in_flight_bytes",
    "max.poll.interval.ms": "it follows --delivery_timeout_s and --commit_interval_s",
    "max.poll.records": "the bridge sets it per poll",
    "max.request.size": "it follows the destination topic's max.message.bytes",
    "message.max.bytes": "it follows the destination topic's max.message.bytes",
    "metadata.max.age.ms": "use --metadata_interval_s",
    "partition.assignment.strategy": "both clients share a group by the roundrobin assignor",
    "partitioner": "keys are placed as Java's client does; use --partition",
    "partitioner.class": "keys are placed as Java's client does; use --partition",
    "retries": "use --delivery_timeout_s",
}
"""Properties that the bridge sets by itself: the flag to use instead, or the reason."""


class Refusal(NamedTuple):
    """Why a property is refused; and the values that are not, since the bridge does so anyway."""

    reason: str
    unless: frozenset[str] = frozenset()


_OWN_CODE = "a Python client runs no Java classes"
_HANDLERS = "org.apache.kafka.common.security.oauthbearer."

REFUSED: Mapping[str, Refusal] = {
    "acks": Refusal("the bridge always waits for all replicas", frozenset({"all", "-1"})),
    "enable.auto.commit": Refusal(
        "offsets are committed once the other side has confirmed the write; as soon as they are "
        "read would lose what was under way",
        frozenset({"false"}),
    ),
    "enable.idempotence": Refusal("the bridge always writes idempotently", frozenset({"true"})),
    "enable.ssl.certificate.verification": Refusal(
        "the broker's certificate is always verified; name its CA with ssl.ca.location",
        frozenset({"true"}),
    ),
    "interceptor.classes": Refusal(_OWN_CODE, frozenset({""})),
    "sasl.client.callback.handler.class": Refusal(_OWN_CODE),
    "sasl.login.callback.handler.class": Refusal(
        f"{_OWN_CODE}; tokens come from sasl.oauthbearer.token.endpoint.url",
        frozenset(
            {
                f"{_HANDLERS}OAuthBearerLoginCallbackHandler",
                f"{_HANDLERS}secured.OAuthBearerLoginCallbackHandler",
            }
        ),
    ),
    "sasl.oauthbearer.method": Refusal(
        "tokens come from sasl.oauthbearer.token.endpoint.url", frozenset({"oidc"})
    ),
    "ssl.engine.factory.class": Refusal(_OWN_CODE),
    "transactional.id": Refusal("the bridge writes at least once, without transactions"),
}
"""Properties that ask for what the bridge does not do."""

_MEANINGLESS = re.compile(
    r"""
    # the JVM and its metrics
    auto\.include\.jmx\.reporter | client\.telemetry\..* | enable\.metrics\.push
    | metric\.reporters | metrics\..* | config\.providers(\..*)? | security\.providers
    | (key|value)\.(de)?serializer(\..*)?
    | sasl\.kerberos\.(kinit\.cmd|min\.time\.before\.relogin|ticket\.renew\..*)
    | sasl\.login\.(class|connect\.timeout\.ms|read\.timeout\.ms|refresh\..*|retry\..*)
    | sasl\.oauthbearer\.(header\.urlencode|clock\.skew\.seconds|expected\..*|.*claim\.name
        |jwks\.endpoint\..*|jwt\..*)
    | ssl\.(provider|protocol|enabled\.protocols|cipher\.suites|(key|trust)manager\.algorithm
        |secure\.random\.implementation|client\.auth)
    # tuning of Java's clients
    | default\.api\.timeout\.ms | max\.block\.ms | retry\.backoff\.max\.ms
    | exclude\.internal\.topics
    | socket\.connection\.setup\.timeout(\.max)?\.ms | metadata\.(recovery\..*|max\.idle\.ms)
    | compression\.(gzip|lz4|zstd)\.level | transaction\.timeout\.ms
    | partitioner\.(adaptive\.partitioning\.enable|availability\.timeout\.ms|ignore\.keys)
    # tuning of librdkafka
    | api\.version\.request(\..*)? | broker\.(address\.family|address\.ttl|version\.fallback)
    | debug
    | log_level | log\..* | statistics\.interval\.ms | socket\.(keepalive|nagle\.disable).*
    | queue(d|\.buffering)\..* | enable\.(auto\.offset\.store|partition\.eof) | topic\.metadata\..*
    # Kafka Connect, and schema registries
    | plugin\.(path|discovery) | (internal\.)?(key|value|header)\.converter(\..*)?
    | (offset|config|status)\.(storage|flush)\..* | rest\..* | (admin\.)?listeners(\..*)?
    | connector\.client\.config\.override\.policy | task\.shutdown\..* | worker\..*
    | topic\.(creation|tracking)\..* | response\.http\..* | access\.control\..* | exactly\.once\..*
    | inter\.worker\..* | scheduled\.rebalance\..* | rebalance\.timeout\.ms | connect\.protocol
    | schema\.registry\..* | (basic|bearer)\.auth\..*
    """,
    re.VERBOSE,
)


def is_meaningless(name: str) -> bool:
    """Whether a property is known and says nothing here: it is the JVM's, Kafka Connect's, or a
    client's tuning that the bridge does not offer."""
    return _MEANINGLESS.fullmatch(name) is not None


BY_NAME: Mapping[str, Property] = {entry.name: entry for entry in PROPERTIES}
