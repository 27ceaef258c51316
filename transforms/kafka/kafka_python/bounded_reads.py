"""Bounds what kafka-python takes from a connection in one turn.

As of 3.0 it reads until the socket has nothing left, and only then looks at how long an answer is
allowed to be: a server that sends without pause, Kafka or not, would fill the memory.
"""

from __future__ import annotations

from typing import Any

from kafka.net.transport import KafkaTCPTransport

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


def _receive(transport: Any) -> Any:
    socket = transport._sock
    transport._sock = bounded = _Bounded(socket)
    try:
        return _receive_all(transport)
    finally:
        if transport._sock is bounded:
            transport._sock = socket


def bound_reads() -> None:
    """For every connection of this process that is not encrypted; what TLS has decrypted must be
    taken at once, since the socket does not tell of it again."""
    KafkaTCPTransport._sock_recv = _receive
