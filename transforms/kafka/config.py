"""Kafka client properties by their standard (Java) names, and what each client calls them.

One table, `PROPERTIES`, says for every property that a user may set who reads it and under which
name; a second one, `OWNED`, names those that the bridge sets by itself, with the flag to use
instead or the reason. Whatever stands in neither is a misspelling, and refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from transforms.errors import UsageError

Role = Literal["consumer", "producer", "admin"]
EVERY: tuple[Role, ...] = ("consumer", "producer", "admin")
CONSUMER: tuple[Role, ...] = ("consumer",)
PRODUCER: tuple[Role, ...] = ("producer",)

Converter = Callable[[str], Any]


def _number(text: str) -> int:
    """A whole number that is not negative."""
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError("expected a whole number")
    return int(text)


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


class Property(NamedTuple):
    """One property that users may set.

    Attributes:
      name: the standard name.
      roles: the clients that read it; the others never see it.
      librdkafka: its name there.
      kafka_python: its name there.
      convert: its text to what kafka-python takes; raises ValueError on what makes no sense.
      to_librdkafka: its text to what librdkafka takes.
      secret: its value appears in no message and no log.
    """

    name: str
    roles: tuple[Role, ...]
    librdkafka: str
    kafka_python: str
    convert: Converter = str
    to_librdkafka: Callable[[str], str] = str
    secret: bool = False


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
        _number,
    ),
    Property(
        "reconnect.backoff.ms", EVERY, "reconnect.backoff.ms", "reconnect_backoff_ms", _number
    ),
    Property(
        "reconnect.backoff.max.ms",
        EVERY,
        "reconnect.backoff.max.ms",
        "reconnect_backoff_max_ms",
        _number,
    ),
    Property("retry.backoff.ms", EVERY, "retry.backoff.ms", "retry_backoff_ms", _number),
    Property("request.timeout.ms", EVERY, "socket.timeout.ms", "request_timeout_ms", _number),
    Property(
        "receive.buffer.bytes",
        EVERY,
        "socket.receive.buffer.bytes",
        "receive_buffer_bytes",
        _number,
    ),
    Property("send.buffer.bytes", EVERY, "socket.send.buffer.bytes", "send_buffer_bytes", _number),
    Property(
        "security.protocol",
        EVERY,
        "security.protocol",
        "security_protocol",
        _one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    ),
    Property(
        "sasl.mechanism",
        EVERY,
        "sasl.mechanism",
        "sasl_mechanism",
        _one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI"),
        str.upper,
    ),
    Property("sasl.username", EVERY, "sasl.username", "sasl_plain_username"),
    Property("sasl.password", EVERY, "sasl.password", "sasl_plain_password", secret=True),
    Property(
        "sasl.kerberos.service.name",
        EVERY,
        "sasl.kerberos.service.name",
        "sasl_kerberos_service_name",
    ),
    Property("ssl.ca.location", EVERY, "ssl.ca.location", "ssl_cafile"),
    Property("ssl.certificate.location", EVERY, "ssl.certificate.location", "ssl_certfile"),
    Property("ssl.key.location", EVERY, "ssl.key.location", "ssl_keyfile"),
    Property("ssl.key.password", EVERY, "ssl.key.password", "ssl_password", secret=True),
    Property("ssl.crl.location", EVERY, "ssl.crl.location", "ssl_crlfile"),
    Property(
        "ssl.endpoint.identification.algorithm",
        EVERY,
        "ssl.endpoint.identification.algorithm",
        "ssl_check_hostname",
        _check_hostname,
        lambda text: text.lower() or "none",
    ),
    Property("client.rack", CONSUMER, "client.rack", "client_rack"),
    Property("fetch.min.bytes", CONSUMER, "fetch.min.bytes", "fetch_min_bytes", _number),
    Property("fetch.max.wait.ms", CONSUMER, "fetch.wait.max.ms", "fetch_max_wait_ms", _number),
    Property(
        "isolation.level",
        CONSUMER,
        "isolation.level",
        "isolation_level",
        _one_of("read_committed", "read_uncommitted"),
        str.lower,
    ),
    Property("check.crcs", CONSUMER, "check.crcs", "check_crcs", _boolean, str.lower),
    Property("session.timeout.ms", CONSUMER, "session.timeout.ms", "session_timeout_ms", _number),
    Property(
        "heartbeat.interval.ms",
        CONSUMER,
        "heartbeat.interval.ms",
        "heartbeat_interval_ms",
        _number,
    ),
    Property(
        "compression.type",
        PRODUCER,
        "compression.type",
        "compression_type",
        _compression,
        str.lower,
    ),
    Property("batch.size", PRODUCER, "batch.size", "batch_size", _number),
)

_BY_NAME = {entry.name: entry for entry in PROPERTIES}

OWNED: Mapping[str, str] = {
    "acks": "the bridge always waits for all replicas",
    "allow.auto.create.topics": "use --create_topics",
    "auto.commit.interval.ms": "use --commit_interval_s",
    "auto.offset.reset": "use --start",
    "bootstrap.servers": "use --bootstrap_servers",
    "buffer.memory": "use --max_in_flight_bytes",
    "delivery.timeout.ms": "use --delivery_timeout_s",
    "enable.auto.commit": "offsets are committed once the other side has confirmed the write",
    "enable.idempotence": "the bridge always writes idempotently",
    "fetch.max.bytes": "use --max_in_flight_bytes",
    "group.id": "use --group_id",
    "group.instance.id": "use --instance_id",
    "group.protocol": "both clients share a group by the classic protocol",
    "group.remote.assignor": "both clients share a group by the classic protocol",
    "interceptor.classes": "a Python client runs no Java classes",
    "key.deserializer": "keys are never decoded",
    "key.serializer": "keys are never encoded",
    "linger.ms": "use --linger_ms",
    "max.in.flight.requests.per.connection": "idempotent writes set it",
    "max.partition.fetch.bytes": "use --max_in_flight_bytes",
    "max.poll.interval.ms": "it follows --delivery_timeout_s and --commit_interval_s",
    "max.poll.records": "the bridge sets it per poll",
    "max.request.size": "it follows the destination topic's max.message.bytes",
    "metadata.max.age.ms": "use --metadata_interval_s",
    "partition.assignment.strategy": "both clients share a group by the roundrobin assignor",
    "partitioner": "keys are placed as Java's client does; use --partition",
    "partitioner.class": "keys are placed as Java's client does; use --partition",
    "retries": "use --delivery_timeout_s",
    "transactional.id": "the bridge writes at least once, without transactions",
    "value.deserializer": "values are never decoded",
    "value.serializer": "values are never encoded",
}
"""Properties that the bridge sets by itself: the flag to use instead, or the reason."""


# -- reading ---------------------------------------------------------------------------------------

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse_properties_file(path: str) -> dict[str, str]:
    """Reads a Java `.properties` file: comments, continuation lines, escapes; UTF-8.

    Raises:
      UsageError: the file cannot be read, or an escape in it is broken (named by its line).
    Source: https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html#load-java.io.Reader-
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"read --kafka_properties {path}: {reason}; name a readable .properties file"
        ) from error
    properties: dict[str, str] = {}
    for number, line in _logical_lines(text):
        key, value = _split(line)
        try:
            properties[_unescape(key)] = _unescape(value)
        except ValueError as error:
            raise UsageError(
                f"read --kafka_properties {path}: line {number}: {error}; write a backslash twice"
            ) from None
    return properties


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined, without blanks and comments; numbers begin at 1."""
    lines = iter(enumerate(re.split(r"\r\n|\n|\r", text), start=1))
    for number, line in lines:
        logical = line.lstrip(" \t\f")
        if not logical or logical[0] in "#!":
            continue
        while _ends_with_backslash(logical):
            _, following = next(lines, (0, ""))
            logical = logical[:-1] + following.lstrip(" \t\f")
        yield number, logical


def _ends_with_backslash(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(line: str) -> tuple[str, str]:
    """The key ends at the first `=`, `:` or blank that no backslash precedes."""
    match = re.match(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", line, re.DOTALL)
    assert match is not None
    return match[1], match[2]


def _unescape(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] is not None:
            return chr(int(match[1], 16))
        if match[2] == "u":
            raise ValueError("\\u needs four hexadecimal digits")
        return _ESCAPES.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", replace, text, flags=re.DOTALL)


# -- checking --------------------------------------------------------------------------------------


def validate(properties: Mapping[str, str]) -> dict[str, str]:
    """Checks names and values; returns a copy with the blanks around both cut off.

    Raises:
      UsageError: names every property that is unknown (with the closest known one), that the bridge
        sets by itself (with the flag to use), or whose value makes no sense.
    """
    checked = {name.strip(): str(value).strip() for name, value in properties.items()}
    complaints = [
        complaint for name, value in checked.items() if (complaint := _complaint(name, value))
    ]
    if complaints:
        raise UsageError("read --kafka_config: " + "; ".join(complaints))
    return checked


def _complaint(name: str, value: str) -> str | None:
    if name in OWNED:
        return f"'{name}' cannot be set: {OWNED[name]}"
    entry = _BY_NAME.get(name)
    if entry is None:
        standard = {row.librdkafka: row.name for row in PROPERTIES}.get(name)
        close = [standard] if standard else difflib.get_close_matches(name, [*_BY_NAME, *OWNED], 1)
        return f"unknown property '{name}'" + (f", did you mean '{close[0]}'?" if close else "")
    try:
        entry.convert(value)
    except ValueError as error:
        return f"'{name}': {error}" + ("" if entry.secret else f", got '{value}'")
    return None


# -- translating -----------------------------------------------------------------------------------


def for_librdkafka(properties: Mapping[str, str], role: Role) -> dict[str, Any]:
    """The properties that this role reads, as librdkafka names and spells them."""
    return {
        entry.librdkafka: entry.to_librdkafka(value) for entry, value in _rows(properties, role)
    }


def for_kafka_python(properties: Mapping[str, str], role: Role) -> dict[str, Any]:
    """The properties that this role reads, as keyword arguments of kafka-python's classes."""
    return {entry.kafka_python: entry.convert(value) for entry, value in _rows(properties, role)}


def _rows(properties: Mapping[str, str], role: Role) -> Iterator[tuple[Property, str]]:
    for name, value in validate(properties).items():
        entry = _BY_NAME[name]
        if role in entry.roles:
            yield entry, value
