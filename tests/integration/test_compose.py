"""docker-compose.yaml: what its bridges run, on the embedded stack, as containers would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from transforms.records import PubsubRecord

SERVICES = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yaml").read_text())[
    "services"
]
DEADLINE_S = 60


@pytest.fixture
def start(stack, unique):
    """Starts the command of a service; names of the file are made the test's own."""
    running: list[subprocess.Popen] = []

    def run(service: str) -> subprocess.Popen:
        python, *words = SERVICES[service]["command"]
        assert python == "python"
        command = [
            word.replace("alerts", unique).replace("returned", f"{unique}-r") for word in words
        ]
        running.append(
            subprocess.Popen([sys.executable, *command], env={**os.environ, **stack.env()})
        )
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait(DEADLINE_S)


def test_the_bridges_of_compose_carry_what_is_published_and_drain(
    start, kafka, pubsub, unique
) -> None:
    for _ in range(2):
        assert start("setup").wait(DEADLINE_S) == 0
    bridges = [start("ps-to-kafka"), start("kafka-to-ps")]
    payloads = [b"alert %d" % number for number in range(100)]
    pubsub.send(f"projects/try/topics/{unique}", [PubsubRecord(payload) for payload in payloads])
    received = pubsub.receive(f"projects/try/subscriptions/{unique}-r", 100)
    assert sorted(message.data for message in received) == sorted(payloads)
    for bridge in bridges:
        bridge.send_signal(signal.SIGTERM)
    assert [bridge.wait(DEADLINE_S) for bridge in bridges] == [0, 0]
    assert kafka.size(unique) == 100
