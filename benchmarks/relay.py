"""A Pub/Sub service that hands on at once: what is published answers the pull that waits for it.

    python -m benchmarks.relay

The emulator looks for messages only every 50 ms while a pull waits (measured: 25 ms at the median
from publish to pull, nothing between): a bridge's own latency is lost in that. This one speaks the
real gRPC protocol, keeps nothing but what no pull has taken yet, and delivers once. The
subscription `projects/P/subscriptions/NAME` is that of the topic `projects/P/topics/NAME`. Prints
its port; serves until SIGTERM.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.pubsub_v1 import types

from benchmarks.processes import ROOT
from transforms.errors import PreflightError

_THREADS = 16
_STOP_S = 10.0
_SIZES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Relay:
    """What was published and not pulled yet, by the name that topic and subscription share."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[Any]] = defaultdict(list)
        self._changed = threading.Condition()
        self._ids = itertools.count(1)

    def publish(self, request: Any) -> Any:
        now_s = time.time()
        ids = []
        with self._changed:
            queue = self._waiting[_name(request.topic)]
            for message in request.messages:
                message.message_id = str(next(self._ids))
                message.publish_time.FromMilliseconds(int(now_s * 1000))
                ids.append(message.message_id)
                queue.append(message)
            self._changed.notify_all()
        return _pb(types.PublishResponse)(message_ids=ids)

    def pull(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Waits for messages as long as the caller does."""
        name = _name(request.subscription)
        context.add_callback(self._wake)
        with self._changed:
            while context.is_active() and not self._waiting[name]:
                self._changed.wait()
            taken = self._waiting[name][: request.max_messages] if context.is_active() else []
            del self._waiting[name][: len(taken)]
        received = _pb(types.ReceivedMessage)
        return _pb(types.PullResponse)(
            received_messages=[received(ack_id=m.message_id, message=m) for m in taken]
        )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _name(resource: str) -> str:
    return resource.rpartition("/")[2]


def _pb(kind: Any) -> Any:
    """The protobuf class behind one of the library's."""
    return type(kind.pb(kind()))


@contextmanager
def serving() -> Iterator[int]:
    """The service in this process, while the `with` lasts; yields its port."""
    relay = Relay()
    methods: dict[str, dict[str, Any]] = {
        "google.pubsub.v1.Publisher": {
            "Publish": (types.PublishRequest, lambda request, _: relay.publish(request)),
            "CreateTopic": (types.Topic, lambda topic, _: topic),
            "GetTopic": (types.GetTopicRequest, lambda r, _: _pb(types.Topic)(name=r.topic)),
        },
        "google.pubsub.v1.Subscriber": {
            "Pull": (types.PullRequest, relay.pull),
            "Acknowledge": (types.AcknowledgeRequest, lambda _, __: None),
            "ModifyAckDeadline": (types.ModifyAckDeadlineRequest, lambda _, __: None),
            "CreateSubscription": (types.Subscription, lambda subscription, _: subscription),
            "GetSubscription": (types.GetSubscriptionRequest, _subscription),
        },
    }
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=_SIZES)
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                service,
                {
                    name: grpc.unary_unary_rpc_method_handler(
                        answer, _pb(kind).FromString, _serialized
                    )
                    for name, (kind, answer) in of_service.items()
                },
            )
            for service, of_service in methods.items()
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def _serialized(message: Any) -> bytes:
    """None stands for google.protobuf.Empty."""
    return b"" if message is None else message.SerializeToString()


def _subscription(request: Any, _: grpc.ServicerContext) -> Any:
    topic = request.subscription.replace("/subscriptions/", "/topics/")
    found = _pb(types.Subscription)
    return found(name=request.subscription, topic=topic, ack_deadline_seconds=60)


@contextmanager
def process() -> Iterator[str]:
    """The service in a process of its own, while the `with` lasts; yields `127.0.0.1:PORT`."""
    command = [sys.executable, "-m", "benchmarks.relay"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    ) as server:
        assert server.stdout is not None
        try:
            port = server.stdout.readline().strip().decode()
            if not port:
                raise PreflightError(f"start the relay: status {server.wait(_STOP_S)}")
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def main() -> None:
    """Serves until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with serving() as port:
        print(port, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
