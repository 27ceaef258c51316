"""A Pub/Sub service that answers at once: what a bridge could do if the service cost nothing.

    python -m benchmarks.instant [--size BYTES] [--total COUNT] [--headers N]

It speaks the real gRPC protocol, and keeps nothing. What is published is counted in the bytes of
the request, and confirmed with ids made beforehand; a pull is answered with bytes made beforehand,
until `--total` messages have been handed out, and then with nothing. Prints its port.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
from google.pubsub_v1 import types

from benchmarks.processes import ROOT
from transforms import limits
from transforms.errors import PreflightError

TOPIC = "projects/instant/topics/alerts"

_RESPONSES = 32
"""Different answers to a pull, in turn: what is in flight at once has different ids."""
_RESPONSE_BYTES = 10_000_000
"""Of messages in one answer, at most; as the service has it."""
_EMPTY_S = 0.1
_THREADS = 16
_STATUS = "/benchmarks.Instant/Status"
_START_S = 20.0

Answer = Callable[[bytes], bytes]


def count_fields(message: bytes, field: int) -> int:
    """How many length-delimited fields of this number a protobuf message has at its top level; all
    of its fields are length-delimited, as those of the requests here are."""
    tag, at, found, end = field << 3 | 2, 0, 0, len(message)
    while at < end:
        found += message[at] == tag
        at += 1
        byte = message[at]
        at += 1
        if byte < 0x80:
            at += byte
            continue
        length, shift = byte & 0x7F, 7
        while True:
            byte = message[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        at += length
    return found


def pull_response(number: int, count: int, size_bytes: int, headers: int) -> bytes:
    """An answer of `count` messages, with ids that other answers do not have."""
    response = types.PullResponse.pb(types.PullResponse())
    payload = os.urandom(size_bytes)
    for n in range(count):
        item = response.received_messages.add()
        item.ack_id = f"ack-{number}-{n}-" + "x" * 150  # about as long as the service's
        item.message.data = payload
        item.message.message_id = str(10**15 + number * 10**6 + n)
        item.message.publish_time.GetCurrentTime()
        for header in range(headers):
            item.message.attributes[f"header-{header}"] = f"value of header {header}"
    written: bytes = response.SerializeToString()
    return written


class Instant:
    """The service, in this process.

    Attributes:
      address: `127.0.0.1:PORT`.
      published, pulled, acknowledged: messages so far.
    """

    def __init__(self, size_bytes: int = 1_000, total: int = 0, headers: int = 0) -> None:
        self.published = self.pulled = self.acknowledged = 0
        self._total = total
        self._lock = threading.Lock()
        most = limits.PUBSUB_MAX_REQUEST_MESSAGES
        self._in_one = min(most, max(1, _RESPONSE_BYTES // size_bytes))
        self._responses = itertools.cycle(
            pull_response(n, self._in_one, size_bytes, headers) for n in range(_RESPONSES)
        )
        if total:
            for _ in range(_RESPONSES):  # all are made before the first pull
                next(self._responses)
        self._rest = partial(pull_response, _RESPONSES, size_bytes=size_bytes, headers=headers)
        self._ids = [self._publish_response(n) for n in range(most + 1)]
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        methods: dict[str, dict[str, Answer]] = {
            "google.pubsub.v1.Publisher": {"Publish": self._publish, "GetTopic": bytes},
            "google.pubsub.v1.Subscriber": {
                "Pull": self._pull,
                "Acknowledge": self._acknowledge,
                "ModifyAckDeadline": lambda _: b"",
                "GetSubscription": self._get_subscription,
            },
            "benchmarks.Instant": {"Status": self._status},
        }
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    service, {name: _handler(answer) for name, answer in of_service.items()}
                )
                for service, of_service in methods.items()
            ]
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    @staticmethod
    def _publish_response(count: int) -> bytes:
        ids = [str(10**15 + n) for n in range(count)]
        response: bytes = types.PublishResponse.serialize(types.PublishResponse(message_ids=ids))
        return response

    def _publish(self, request: bytes) -> bytes:
        count = count_fields(request, 2)
        with self._lock:
            self.published += count
        return self._ids[count]

    def _pull(self, _: bytes) -> bytes:
        with self._lock:
            count = min(self._in_one, self._total - self.pulled)
            self.pulled += count
            if count == self._in_one:
                return next(self._responses)
        if count:
            return self._rest(count=count)
        time.sleep(_EMPTY_S)
        return b""

    def _acknowledge(self, request: bytes) -> bytes:
        count = count_fields(request, 2)
        with self._lock:
            self.acknowledged += count
        return b""

    @staticmethod
    def _get_subscription(request: bytes) -> bytes:
        name = types.GetSubscriptionRequest.deserialize(request).subscription
        found = types.Subscription(name=name, topic=TOPIC, ack_deadline_seconds=60)
        response: bytes = types.Subscription.serialize(found)
        return response

    def _status(self, _: bytes) -> bytes:
        names = ("published", "pulled", "acknowledged")
        with self._lock:
            return json.dumps({name: getattr(self, name) for name in names}).encode()


def _handler(answer: Answer) -> Any:
    return grpc.unary_unary_rpc_method_handler(lambda request, _: answer(request))


class InstantProcess:
    """The service, in a process of its own while the `with` lasts."""

    def __init__(self, size_bytes: int = 1_000, total: int = 0, headers: int = 0) -> None:
        self._flags = [f"--size={size_bytes}", f"--total={total}", f"--headers={headers}"]
        self.address = ""

    def __enter__(self) -> InstantProcess:
        command = [sys.executable, "-m", "benchmarks.instant", *self._flags]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip().decode()
        if not port:
            self._process.wait(_START_S)
            raise PreflightError(
                f"start the instant server: it ended with status {self._process.returncode}"
            )
        self.address = f"127.0.0.1:{port}"
        self._channel = grpc.insecure_channel(self.address)
        self._status = self._channel.unary_unary(_STATUS)
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._process.terminate()
        self._process.wait(_START_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def status(self) -> dict[str, int]:
        """What it has counted."""
        found: dict[str, int] = json.loads(self._status(b"", timeout=_START_S))
        return found


@contextlib.contextmanager
def running(size_bytes: int = 1_000, total: int = 0, headers: int = 0) -> Iterator[Instant]:
    """The service, in this process."""
    server = Instant(size_bytes, total, headers)
    try:
        yield server
    finally:
        server.stop()


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=1_000, help="of a message, in bytes")
    parser.add_argument("--total", type=int, default=0, help="messages to be pulled")
    parser.add_argument("--headers", type=int, default=0, help="attributes of each of them")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with running(options.size, options.total, options.headers) as server:
        print(server.address.rpartition(":")[2], flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
