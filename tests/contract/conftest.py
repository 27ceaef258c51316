"""Both Kafka clients, one after the other, against the embedded broker."""

from __future__ import annotations

import pytest
from kafka_clients import Clients

from transforms.kafka.client import KafkaConfig


@pytest.fixture(params=["librdkafka", "kafka-python"])
def client(request):
    """The name of the client under test."""
    return request.param


@pytest.fixture
def clients(stack, client):
    """Opens clients of that kind; closes them at the end."""
    clients = Clients(KafkaConfig(stack.bootstrap_servers, client))
    yield clients
    clients.close()


@pytest.fixture
def topic(clients, unique):
    """A topic of the test's own, with one partition."""
    return clients.topic(unique)
