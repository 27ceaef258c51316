"""Both Kafka clients, one after the other, against the embedded broker."""

from __future__ import annotations

import file_stores
import pytest
from kafka_clients import Clients

from pipelines.local import broker
from pipelines.local.stack import EmbeddedStack
from transforms.kafka.client import KafkaConfig

QUICK = {"heartbeat.interval.ms": "300"}
"""Members hear of a rebalance by their heartbeat."""


@pytest.fixture(params=["librdkafka", "kafka-python"])
def client(request):
    """The name of the client under test."""
    return request.param


@pytest.fixture
def clients(stack, client):
    """Opens clients of that kind; closes them at the end."""
    clients = Clients(KafkaConfig(stack.bootstrap_servers, client, QUICK))
    yield clients
    clients.close()


@pytest.fixture(scope="module")
def creating_stack():
    """A broker that makes the topics that it is asked about."""
    settings = broker._PROPERTIES.replace("auto.create.topics.enable=false\n", "")
    assert settings != broker._PROPERTIES
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker, "_PROPERTIES", settings)
        with EmbeddedStack(pubsub=False) as running:
            yield running


@pytest.fixture
def topic(clients, unique):
    """A topic of the test's own, with one partition."""
    return clients.topic(unique)


@pytest.fixture(scope="module")
def s3_server():
    with file_stores.s3() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def gcs_server():
    with file_stores.gcs() as proxy:
        yield proxy


@pytest.fixture(params=["folder", "s3", "gs"])
def store(request, unique, tmp_path):
    """Each place for files, empty."""
    if request.param == "folder":
        return file_stores.Folder(tmp_path)
    name = file_stores.bucket_name(unique)
    if request.param == "s3":
        return file_stores.s3_bucket(request.getfixturevalue("s3_server"), name)
    return file_stores.gcs_bucket(request.getfixturevalue("gcs_server"), name)
