"""Mends how kafka-python 3.0 reads from a connection.

It reads until the socket has nothing left, and only then looks at how long an answer is allowed to
be: a server that sends without pause, Kafka or not, would fill the memory. And what has come right
before the end of a connection is thrown away, which is how brokers tell why they refuse a log-in.
"""

from __future__ import annotations

from typing import Any

from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

_MOST_BYTES = 1_000_000
"""What is left is read in the next turn."""


class _Bounded:
    """A socket that has nothing more to give after so many bytes."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._left = _MOST_BYTES

    def recv(self, size: int) -> bytes:
        if self._left <= 0:
            raise BlockingIOError
        data: bytes = self._socket.recv(size)
        self._left -= len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


_receive_all = KafkaTCPTransport._sock_recv
_receive_decrypted = KafkaSSLTransport._sock_recv


def _receive(transport: Any) -> Any:
    socket = transport._sock
    transport._sock = bounded = _Bounded(socket)
    try:
        return _last_words_first(*_receive_all(transport))
    finally:
        if transport._sock is bounded:
            transport._sock = socket


def _receive_encrypted(transport: Any) -> Any:
    """Unbounded: what TLS has decrypted must be taken at once, since the socket does not tell of it
    again."""
    return _last_words_first(*_receive_decrypted(transport))


def _last_words_first(data: bytes, error: Exception | None) -> tuple[bytes, Exception | None]:
    """A connection that has ended says so again in the next turn."""
    return data, None if data else error


def mend_reads() -> None:
    """For every connection of this process."""
    KafkaTCPTransport._sock_recv = _receive
    KafkaSSLTransport._sock_recv = _receive_encrypted
