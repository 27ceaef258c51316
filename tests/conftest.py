"""Fixtures of all tests: one embedded stack for the whole run, names of one's own for each test."""

from __future__ import annotations

import os
import socket
import uuid

import pytest


@pytest.fixture(scope="session")
def stack():
    """A real Kafka and the Pub/Sub emulator; fails where they cannot be had."""
    from pipelines.local.stack import EmbeddedStack

    with EmbeddedStack(emulator_heap="2g") as running:
        before = os.environ.get("PUBSUB_EMULATOR_HOST")
        os.environ["PUBSUB_EMULATOR_HOST"] = running.pubsub_emulator_host
        yield running
        if before is None:
            del os.environ["PUBSUB_EMULATOR_HOST"]
        else:
            os.environ["PUBSUB_EMULATOR_HOST"] = before


@pytest.fixture(scope="session")
def kafka(stack):
    """What is in the embedded Kafka, written and read past the bridge."""
    from ends import Kafka

    ends = Kafka(stack.bootstrap_servers)
    yield ends
    ends.close()


@pytest.fixture(scope="session")
def pubsub(stack):
    """The same of the emulator."""
    from ends import PubSub

    ends = PubSub()
    yield ends
    ends.close()


@pytest.fixture(autouse=True)
def no_default_timeout():
    """Beam's Google credentials give a default timeout to all sockets made later in the process;
    servers of later tests would stop accepting after it."""
    yield
    socket.setdefaulttimeout(None)


@pytest.fixture
def unique(request) -> str:
    """A name that no other test uses, good for topics: `t-killed-3f2a9c1e`."""
    return f"t-{request.node.name.split('[')[0].removeprefix('test_')[:40]}-{uuid.uuid4().hex[:8]}"
