"""A broker with every kind of log-in, and bridges."""

from __future__ import annotations

import contextlib

import pytest
from ends import Bridge

from transforms.errors import PreflightError


@pytest.fixture(scope="session")
def secure(tmp_path_factory):
    """A broker with every kind of log-in, and what they need (`tests/helpers/secure_servers.py`);
    fails where they cannot be had. Kerberos clients of this process and its children use it."""
    from secure_servers import SecureServers

    with contextlib.ExitStack() as running:
        try:
            servers = running.enter_context(SecureServers(tmp_path_factory.mktemp("secure")))
        except PreflightError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        patch = running.enter_context(pytest.MonkeyPatch.context())
        for name, value in servers.kdc.environment.items():
            patch.setenv(name, value)
        patch.delenv("KRB5CCNAME", raising=False)
        yield servers


@pytest.fixture
def run_bridge(stack, tmp_path):
    """Starts a bridge process; those that still run at the end of the test are killed."""
    running: list[Bridge] = []

    def start(pipeline: str, *flags: str) -> Bridge:
        running.append(Bridge(pipeline, tmp_path, stack.env(), *flags))
        return running[-1]

    yield start
    for bridge in running:
        with bridge:
            pass


@pytest.fixture(params=["librdkafka", "kafka-python"])
def client(request) -> str:
    """Either Kafka client."""
    return f"--kafka_client={request.param}"


@pytest.fixture(scope="session")
def long_run(secure, stack, pubsub, tmp_path_factory):
    """Bridges that run beside all tests between the first one that asks for it and the last."""
    from long_run import LongRun

    running = LongRun(secure, pubsub, stack.env(), tmp_path_factory.mktemp("long-run"))
    yield running
    running.close()
