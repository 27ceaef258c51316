"""A Pub/Sub publisher service that speaks the real protocol and confirms slowly."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.pubsub_v1 import types


class SlowPubSub:
    """Confirms `rate` messages a second in all, one request after the other; keeps none.

    Attributes:
      address: `127.0.0.1:PORT`.
      published: messages confirmed so far.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self.published = 0
        options = [("grpc.max_receive_message_length", -1)]
        self._server = grpc.server(ThreadPoolExecutor(32), options=options)
        handlers = {
            "Publish": self._handler(types.PublishRequest, types.PublishResponse, self._publish),
            "GetTopic": self._handler(types.GetTopicRequest, types.Topic, self._get_topic),
        }
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", handlers)]
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    @staticmethod
    def _handler(request, response, behaviour):
        return grpc.unary_unary_rpc_method_handler(
            behaviour, request.deserialize, response.serialize
        )

    def _publish(self, request, _context):
        with self._turn:
            for _ in request.messages:
                if self._stopped.is_set():
                    break
                time.sleep(1 / self._rate)
                self.published += 1
        return types.PublishResponse(message_ids=["1"] * len(request.messages))

    def _get_topic(self, request, _context):
        return types.Topic(name=request.topic)

    def __enter__(self) -> SlowPubSub:
        self._server.start()
        return self

    def __exit__(self, *_error) -> None:
        self._stopped.set()
        self._server.stop(None)
