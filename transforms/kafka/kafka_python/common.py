"""What the consumer, the producer and the admin client share."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from kafka import OffsetAndMetadata, TopicPartition, errors
from kafka.cluster import ClusterMetadata
from kafka.net.compat import KafkaNetClient

from transforms.errors import BridgeError, SourceError, UnavailableError, UsageError
from transforms.kafka import config as properties
from transforms.kafka.client import KafkaConfig, Offsets, Partition
from transforms.kafka.client_rules import Repeats
from transforms.kafka.kafka_python import login
from transforms.kafka.kafka_python.reads import mend_reads
from transforms.kafka.login import login as login_of
from transforms.kafka.property_table import Role

_Client = TypeVar("_Client")


class _NoRepeats(logging.Filter):
    """Says once in a while what kafka-python says at every attempt to reach a broker; and nothing
    below a warning, where it tells every request, with the password in it."""

    def __init__(self) -> None:
        super().__init__()
        self._repeats = Repeats()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING and self._repeats.let_pass(record.getMessage())


_LOOK_S = 0.05

_NOT_LET_IN = (
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.AuthorizationError,
    UsageError,
)
"""What explains more than the lost connections that come with it."""


class _FirstCause(logging.Filter):
    """Keeps to itself what kafka-python logs while it connects: the error tells the cause, which
    the library's own error, after many attempts, does not."""

    _LOGGERS = ("kafka.net.manager", "kafka.net.connection", "kafka.net.transport", "kafka.cluster")

    def __init__(self) -> None:
        super().__init__()
        self._loggers = [logging.getLogger(name) for name in self._LOGGERS]
        self.cause: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, _NOT_LET_IN) or (
                self.cause is None and isinstance(value, BaseException)
            ):
                self.cause = value
        return False

    def __enter__(self) -> _FirstCause:
        for logger in self._loggers:
            logger.filters.insert(0, self)
            logger.setLevel(logging.WARNING)  # whatever holds for those above: it hears all
        return self

    def __exit__(self, *_: object) -> None:
        for logger in self._loggers:
            logger.removeFilter(self)
            logger.setLevel(logging.NOTSET)


def _quieten() -> None:
    """kafka-python tells every step of every connection at INFO."""
    root = logging.getLogger("kafka")
    if root.level == logging.NOTSET:
        root.setLevel(logging.WARNING)
    once = _NoRepeats()
    # A filter holds for the logger that a line was written to, not for those below it.
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("kafka."):
            logging.getLogger(name).addFilter(once)


_quieten()
mend_reads()


def connection(cluster: KafkaConfig, role: Role, timeout_s: float) -> dict[str, Any]:
    """The arguments of every kafka-python client: where to connect, how, and for how long."""
    plain = properties.opened(cluster.properties, role, cluster.role)
    return {
        **properties.for_kafka_python(plain, role),
        **login.settings(login_of(plain)),
        "bootstrap_servers": [server.strip() for server in cluster.bootstrap_servers.split(",")],
        "bootstrap_timeout_ms": timeout_ms(timeout_s),
    }


def connect(
    client: Callable[..., _Client],
    settings: dict[str, Any],
    failure: type[BridgeError],
) -> _Client:
    """Makes a client; it connects at once.

    Raises:
      BridgeError: of the given class, when no broker answers in time or the log-in is refused.
      UsageError: a property does not go with another one.
    """
    servers = ",".join(settings["bootstrap_servers"])
    first = _FirstCause()
    try:
        with first:
            return _make(client, settings, first)
    except errors.KafkaConfigurationError as error:
        raise UsageError(f"open kafka-python: {reason(error)}; see --kafka_config") from error
    except errors.KafkaTimeoutError as error:
        cause = f": {reason(first.cause)}" if first.cause is not None else ""
        raise failure(
            f"connect {servers}: no Kafka broker answered within "
            f"{settings['bootstrap_timeout_ms'] / 1000:g} s{cause}; check --bootstrap_servers, and "
            "--kafka_config if the brokers want TLS or a log-in"
        ) from error
    except errors.SaslAuthenticationFailedError as error:
        raise failure(f"log in to {servers}: {reason(error)}; {_CREDENTIALS}") from error
    except (errors.KafkaError, OSError, ValueError, RuntimeError) as error:
        raise failure(f"connect {servers}: {reason(error)}; check --kafka_config") from error


_CREDENTIALS = (
    "check the user and the password (sasl.username, sasl.password), or what takes their place"
)


def _make(client: Callable[..., _Client], settings: dict[str, Any], first: _FirstCause) -> _Client:
    """Calls the constructor; where it fails, ends the I/O thread that it leaves behind. A log-in
    that is refused is not tried again, as the constructor would, since that may lock an account."""
    networks: list[KafkaNetClient] = []
    made: Future[_Client] = Future()

    def network(**arguments: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**arguments))
        return networks[-1]

    def make() -> None:
        try:
            made.set_result(client(**settings, kafka_client=network))
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=make, name="connect", daemon=True).start()
    try:
        while not wait([made], _LOOK_S).done:
            if isinstance(first.cause, _NOT_LET_IN):
                raise first.cause
        return made.result()
    except BaseException:
        for failed in networks:
            failed.close()
        raise


def reason(error: BaseException) -> str:
    """One line: the broker's or the library's own words, without the dump of request and answer."""
    text = " ".join((str(error) or type(error).__name__).split())
    text = _CLASS_NAMES.sub("", text)
    said = _BROKER_SAID.search(text)
    return said["words"].rstrip(".") if said else text[:300]


_CLASS_NAMES = re.compile(r"^\[Error [0-9]+\] (SaslAuthenticationFailedError: )+(?=\S)")
_BROKER_SAID = re.compile(r"""failed with response .*?error_message=(['"])(?P<words>.+?)\1, """)


def timeout_ms(timeout_s: float) -> int:
    return max(1, int(timeout_s * 1000))


def new_offsets(
    offsets: Offsets, metadata: Mapping[Partition, str]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Offsets to be committed, each with its text, as the library takes them."""
    return {
        TopicPartition(*part): OffsetAndMetadata(offset, metadata.get(part, ""), -1)
        for part, offset in offsets.items()
    }


def committed_text(metadata: str | None) -> str:
    """The text that came with an offset; confluent-kafka ends it with a zero byte."""
    return (metadata or "").removesuffix("\0")


def asking_failed(what: str, error: Exception) -> SourceError:
    """An answer that did not come; `UnavailableError` where asking again may help."""
    ends = isinstance(error, _NOT_LET_IN) or not getattr(error, "retriable", True)
    return (SourceError if ends else UnavailableError)(f"{what}: {reason(error)}")


def create_no_topics(metadata: ClusterMetadata) -> None:
    """Keeps metadata requests from creating topics: as of 3.0 `allow_auto_create_topics` of the
    consumer and the producer gets lost on its way to here."""
    metadata.config["allow_auto_create_topics"] = False
