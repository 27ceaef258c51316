"""The two ends, on the embedded stack."""

from __future__ import annotations

import pytest
from ends import Kafka, PubSub


@pytest.fixture(scope="module")
def kafka(stack):
    ends = Kafka(stack.bootstrap_servers)
    yield ends
    ends.close()


@pytest.fixture(scope="module")
def pubsub(stack):
    ends = PubSub()
    yield ends
    ends.close()
