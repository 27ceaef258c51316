"""The connections of a subscriber, to a service that answers at once and to one that is silent."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from ends import until

from benchmarks.instant import running
from transforms.errors import SourceError, UnavailableError
from transforms.pubsub.client import Subscriber, subscriber
from transforms.pubsub.client.common import open_channel
from transforms.pubsub.service import DEFAULT

NAME = "projects/instant/subscriptions/alerts"


@pytest.fixture
def silent():
    """`HOST:PORT` of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def subscriber_of(monkeypatch, for_acks, for_pulls):
    channels = iter(grpc.insecure_channel(address) for address in (for_acks, for_pulls))
    monkeypatch.setattr(subscriber, "open_channel", lambda _service: next(channels))
    return Subscriber(NAME)


@pytest.mark.parametrize("pulls_from", ["instant", "silent"])
def test_a_service_is_asked_over_the_connection_that_pulls(monkeypatch, silent, pulls_from):
    with running() as instant:
        addresses = {"instant": instant.address, "silent": silent}
        acks_to = silent if pulls_from == "instant" else instant.address
        opened = subscriber_of(monkeypatch, acks_to, addresses[pulls_from])
        if pulls_from == "instant":
            opened.ask(10)
        else:
            with pytest.raises(UnavailableError, match=f"pull {NAME}: "):
                opened.ask(0.3)
        opened.close()


def test_a_pull_that_waits_is_over_when_it_is_cancelled(monkeypatch, silent):
    opened = subscriber_of(monkeypatch, silent, silent)
    found = []
    pulling = threading.Thread(target=lambda: found.append(opened.pull(10, 60.0)))
    pulling.start()
    pulling.join(0.2)
    assert pulling.is_alive()
    opened.cancel()
    pulling.join(5)
    assert [len(pulled) for pulled in found] == [0]
    assert len(opened.pull(10, 60.0)) == 0
    opened.close()


def test_a_stream_that_breaks_leaves_no_thread(monkeypatch):
    def senders() -> list[str]:
        return [of.name for of in threading.enumerate() if "consume_request_iterator" in of.name]

    with running() as instant:
        opened = subscriber_of(monkeypatch, instant.address, instant.address)
        for _ in range(3):
            with pytest.raises(SourceError, match=f"pull {NAME}"):
                list(opened.stream(10, 1_000, 10))
        until(lambda: not senders(), "they end", 5)
        opened.close()


def test_each_channel_has_a_connection_of_its_own(monkeypatch):
    peers = set()

    def tell(_request, context):
        peers.add(context.peer())
        return b""

    method = grpc.unary_unary_rpc_method_handler(tell)
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("tests.Peers", {"Tell": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    channels = [open_channel(DEFAULT) for _ in range(2)]
    for channel in channels:
        channel.unary_unary("/tests.Peers/Tell")(b"", timeout=10)
    for channel in channels:
        channel.close()
    server.stop(None).wait()
    assert len(peers) == 2
