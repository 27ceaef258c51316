"""Servers that lie, text that deceives, and what must never come out of a bridge."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
import subprocess
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from ends import Bridge, until
from google.pubsub_v1 import types

MARKER = "planted-in-a-payload"
"""Stands in values, keys and data, and nowhere in a log."""

SECRET = "planted-as-a-secret"

DECEIT = (
    "no\n2026-01-01 00:00:00 ERROR forged\r\x1b[2J\x1b]0;title\x07\x1b]8;;http://x\x1b\\link"
    "\x08\x08\x00\x0b\x85\u2028\u202etfel\u2066 end"
)
"""A log line of its own, a cleared screen, a title, a link, backspaces, line ends that only some
know, text from right to left."""

_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) \S")
_LAST_LINE = re.compile(r"(ps_to_kafka|kafka_to_ps|preflight|redrive): \S")
_STOPPING = "SIGTERM: draining; once more ends at once"


# -- what comes out --------------------------------------------------------------------------------


def deceives(character: str) -> bool:
    """Whether a character moves, hides or reorders what a person sees."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co")


def assert_harmless(text: str) -> None:
    """Lines of printable text, with nothing that was planted."""
    odd = {hex(ord(c)) for c in text if c != "\n" and deceives(c)}
    assert not odd, f"raw control characters {odd} in:\n{text!r}"
    assert MARKER not in text
    assert SECRET not in text


def assert_honest(bridge: Bridge) -> None:
    """Every line is a log line of its own or the error at the end; log and report are harmless."""
    output = bridge.output
    assert_harmless(output)
    lines = output.splitlines()
    for number, line in enumerate(lines):
        at_end = number >= len(lines) - 1 and _LAST_LINE.match(line)
        assert _LOG_LINE.match(line) or at_end or line == _STOPPING, f"{line!r} in:\n{output}"
        assert not line.startswith("2026-01-01"), output
    with contextlib.suppress(FileNotFoundError):
        assert_harmless(bridge._report.read_text(encoding="utf-8"))


class Watch:
    """Looks at a process, and at those that it starts, while the `with` lasts.

    Attributes:
      largest_bytes: of resident memory, all of them together.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.largest_bytes = 0
        self._process_id = bridge.process.pid
        self._children: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            self._look()

    def _look(self) -> None:
        shown = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,rss=,args="], capture_output=True, text=True, timeout=10
        ).stdout
        rows = [line.split(None, 3) for line in shown.splitlines()]
        ours = {str(self._process_id)}
        resident_bytes = 0
        for row in rows:  # by number, so that a child comes after its parent
            if len(row) == 4 and (row[0] in ours or row[1] in ours):
                ours.add(row[0])
                resident_bytes += int(row[2]) * 1024
                if row[0] != str(self._process_id):
                    self._children.add(row[3])
        self.largest_bytes = max(self.largest_bytes, resident_bytes)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error) -> None:
        self._ended.set()
        self._thread.join(10)
        for arguments in self._children:
            assert SECRET not in arguments


# -- servers that answer garbage -------------------------------------------------------------------


def random_bytes(connection: socket.socket) -> None:
    connection.recv(10_000)
    connection.sendall(random.Random(1).randbytes(1_000_000))


def huge_length(connection: socket.socket) -> None:
    """Says that 2 GB follow, and begins to send them."""
    connection.recv(10_000)
    connection.sendall(struct.pack(">i", 2**31 - 1))
    for _ in range(2_000):
        connection.sendall(bytes(1_000_000))


def http_error(connection: socket.socket) -> None:
    connection.recv(10_000)
    body = f"<h1>{DECEIT}</h1>".encode()
    connection.sendall(
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )


class Server:
    """Serves each connection in a thread of its own, while the `with` lasts.

    Attributes:
      address: `127.0.0.1:PORT`.
      served: connections so far.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.served = 0

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.served += 1
                self._open.add(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._serve(connection)
        self._open.discard(connection)

    def disconnect(self) -> None:
        """Ends all connections."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Server:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.disconnect()


class Relay(Server):
    """Passes on what goes to and from `target`; in between, clients get garbage.

    Attributes:
      garbage: while it is true, clients get garbage.
      spoilt: connections that got some.
    """

    def __init__(self, target: str) -> None:
        super().__init__(self._relay)
        self._target = target
        self.garbage = False
        self.spoilt = 0

    def _relay(self, connection: socket.socket) -> None:
        host, _, port = self._target.rpartition(":")
        with socket.create_connection((host, int(port))) as behind:
            threading.Thread(target=self._pass_on, args=(connection, behind), daemon=True).start()
            while received := behind.recv(65_536):
                if self.garbage:
                    self.spoilt += 1
                    connection.sendall(random.Random(2).randbytes(10_000))
                    return
                connection.sendall(received)

    @staticmethod
    def _pass_on(connection: socket.socket, behind: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while received := connection.recv(65_536):
                behind.sendall(received)
            behind.shutdown(socket.SHUT_WR)

    @contextlib.contextmanager
    def turned_to_garbage(self) -> Iterator[None]:
        """Within, what clients get next is garbage; returns when one has got some."""
        before = self.spoilt
        self.garbage = True
        try:
            until(lambda: self.spoilt > before, "a connection is spoilt")
            yield
        finally:
            self.garbage = False


# -- services that refuse with words of their own --------------------------------------------------


def refusing_broker(connection: socket.socket) -> None:
    """A Kafka broker that knows SASL/PLAIN, and whose log-in is refused with deceitful words.

    Source: https://kafka.apache.org/protocol
    """

    def text(words: str) -> bytes:
        encoded = words.encode()
        return struct.pack(">h", len(encoded)) + encoded

    versions = b"".join(struct.pack(">hhh", key, 0, key != 18) for key in range(61))
    requests = connection.makefile("rb")
    while len(size := requests.read(4)) == 4:
        request = requests.read(*struct.unpack(">i", size))
        key, version, correlation_id = struct.unpack(">hhi", request[:8])
        if key == 18:  # ApiVersions; newer ones than 0 are told to come back with that
            unsupported = 35 if version else 0
            answer = struct.pack(">hi", unsupported, 61) + versions
        elif key == 17:  # SaslHandshake
            answer = struct.pack(">hi", 0, 1) + text("PLAIN")
        elif key == 36:  # SaslAuthenticate: refused
            lifetime = struct.pack(">q", 0) if version else b""
            answer = struct.pack(">h", 58) + text(DECEIT) + struct.pack(">i", 0) + lifetime
        else:
            return
        answer = struct.pack(">i", correlation_id) + answer
        connection.sendall(struct.pack(">i", len(answer)) + answer)


class LyingPubSub:
    """A Pub/Sub service that fails calls with deceitful words, and gives such message ids.

    Args:
      codes: by method, the status that a call fails with; None is for success.
      messages: are given once, by the first pull.
    """

    def __init__(
        self,
        codes: dict[str, list[grpc.StatusCode | None]],
        messages: list[types.PubsubMessage] | None = None,
    ) -> None:
        self._codes = {method: list(found) for method, found in codes.items()}
        self._messages = messages or []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.published = 0
        self.acknowledged = 0
        self._server = grpc.server(ThreadPoolExecutor(16))
        self._add("Publisher", "GetTopic", types.GetTopicRequest, self._get_topic)
        self._add("Publisher", "Publish", types.PublishRequest, self._publish)
        self._add("Subscriber", "GetSubscription", types.GetSubscriptionRequest, self._get)
        self._add("Subscriber", "Pull", types.PullRequest, self._pull)
        self._add("Subscriber", "Acknowledge", types.AcknowledgeRequest, self._acknowledge)
        self._add("Subscriber", "ModifyAckDeadline", types.ModifyAckDeadlineRequest, _empty)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def _add(self, service: str, name: str, request, behaviour) -> None:
        def answer(asked, context):
            with self._lock:
                codes = self._codes.get(name)
                code = (codes.pop(0) if len(codes) > 1 else codes[0]) if codes else None
            if code is not None:
                context.abort(code, DECEIT)
            return behaviour(asked)

        handler = grpc.unary_unary_rpc_method_handler(answer, request.deserialize, None)
        handlers = {name: handler}
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(f"google.pubsub.v1.{service}", handlers)]
        )

    # Answers are bytes, as they go out.

    @staticmethod
    def _get_topic(asked) -> bytes:
        return types.Topic.serialize(types.Topic(name=asked.topic))

    @staticmethod
    def _get(asked) -> bytes:
        topic = "projects/test/topics/lies"
        return types.Subscription.serialize(
            types.Subscription(name=asked.subscription, topic=topic, ack_deadline_seconds=60)
        )

    def _publish(self, asked) -> bytes:
        self.published += len(asked.messages)
        ids = [DECEIT] * len(asked.messages)
        return types.PublishResponse.serialize(types.PublishResponse(message_ids=ids))

    def _pull(self, _asked) -> bytes:
        with self._lock:
            messages, self._messages = self._messages, []
        if not messages:
            self._stopped.wait(0.2)
        received = [
            types.ReceivedMessage(ack_id=f"{number}{DECEIT}", message=message)
            for number, message in enumerate(messages)
        ]
        return types.PullResponse.serialize(types.PullResponse(received_messages=received))

    def _acknowledge(self, asked) -> bytes:
        self.acknowledged += len(asked.ack_ids)
        return b""

    def __enter__(self) -> LyingPubSub:
        self._server.start()
        return self

    def __exit__(self, *_error) -> None:
        self._stopped.set()
        self._server.stop(None)


def _empty(_asked) -> bytes:
    return b""
