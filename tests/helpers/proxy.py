"""A TCP proxy that cuts, holds and slows what passes through it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024
_SLOW_CHUNK_BYTES = 4 * 1024


class Proxy:
    """Stands before one server on the loopback interface; any protocol over TCP.

    Attributes:
      port: where it listens.
      target: (host, port) of the server; may be set later than made.
      connections: accepted so far.
      cuts: connections that were reset here.
      refused: connections that were reset at once, while none were wanted.
      passed_bytes: both ways.
      held_s: seconds for which data were held back, over all connections.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.target = (LOOPBACK, 0)
        self.connections = self.cuts = self.refused = self.passed_bytes = 0
        self.held_s = 0.0
        self._lock = threading.Lock()
        self._open: set[tuple[socket.socket, socket.socket]] = set()
        self._refuse_until = 0.0
        self._flowing = threading.Event()
        self._flowing.set()
        self._bytes_per_s = 0.0
        self._latency_s = 0.0
        self._free_at = 0.0
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    # -- faults

    def cut(self, refuse_s: float = 0.0) -> int:
        """Resets all connections, and new ones for a while; returns how many there were."""
        self._refuse_until = time.monotonic() + refuse_s
        with self._lock:
            pairs, self._open = self._open, set()
        for pair in pairs:
            for end in pair:
                _reset(end)
        self.cuts += len(pairs)
        return len(pairs)

    def freeze(self) -> None:
        """Passes nothing on, and keeps all connections: a network that is gone."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Ends `freeze`: what was held goes on."""
        self._flowing.set()

    def slow(self, bytes_per_s: float, latency_s: float = 0.0) -> None:
        """Passes so many bytes a second, in both directions and all connections together.

        Args:
          latency_s: what each piece of at most 4 kB waits besides.
        """
        self._bytes_per_s, self._latency_s = bytes_per_s, latency_s

    def heal(self) -> None:
        """Ends all faults."""
        self._bytes_per_s = self._latency_s = self._refuse_until = 0.0
        self.thaw()

    def close(self) -> None:
        self.heal()
        self._listener.close()
        self.cut()

    # -- threads

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if time.monotonic() < self._refuse_until:
                self.refused += 1
                _reset(client)
                continue
            try:
                server = socket.create_connection(self.target, 5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self._lock:
                self._open.add(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(source, sink, pair), daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        try:
            while data := source.recv(_SLOW_CHUNK_BYTES if self._bytes_per_s else _CHUNK_BYTES):
                self._hold(len(data))
                sink.sendall(data)
                self.passed_bytes += len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            with self._lock:
                self._open.discard(pair)
            for end in pair:
                _reset(end)

    def _hold(self, size_bytes: int) -> None:
        began = time.monotonic()
        self._flowing.wait()
        if rate := self._bytes_per_s:
            with self._lock:
                self._free_at = max(time.monotonic(), self._free_at) + size_bytes / rate
                wait_s = self._free_at - time.monotonic() + self._latency_s
            time.sleep(max(0.0, wait_s))
        held_s = time.monotonic() - began
        if held_s > 0.001:
            self.held_s += held_s


def _reset(end: socket.socket) -> None:
    """Closes with a reset, not an orderly end; wakes who waits for it."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()
