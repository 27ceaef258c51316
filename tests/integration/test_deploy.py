"""The services of deploy/ on real servers: they stop and fail as systemd is told."""

from __future__ import annotations

import signal

import pytest
from deployed import DEPLOY, command_line, settings

from transforms.records import KafkaRecord, PubsubRecord

SERVICES = [
    DEPLOY / "systemd" / f"pubsub-bridge-{name}.service" for name in ("kafka-to-ps", "ps-to-kafka")
]


@pytest.fixture(params=SERVICES, ids=lambda unit: unit.stem)
def service(request):
    return request.param


@pytest.fixture
def start(service, stack, kafka, pubsub, run_bridge, tmp_path, unique):
    """Starts a service's command with its own flags, but for the places; its topics are made."""
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 2)
    login = tmp_path / "kafka.properties"
    login.write_text("security.protocol=PLAINTEXT\n")
    here = {
        "bootstrap_servers": stack.bootstrap_servers,
        "kafka_properties": login,
        "kafka_topics": unique,
        "kafka_topic": unique,
        "group_id": unique,
        "pubsub_topic": topic,
        "subscription": subscription,
        "dead_letter": tmp_path / "dead-letters",
    }
    module, *flags = command_line(service)

    def run(**changed):
        places = {**here, **changed}
        values = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
        return run_bridge(
            module.removeprefix("pipelines."),
            *(f"--{name}={places.get(name, value)}" for name, value in values.items()),
        )

    return run


def test_a_stop_drains_and_is_followed_by_no_new_start(service, start, kafka, pubsub, unique):
    bridge = start()
    if service.stem.endswith("kafka-to-ps"):
        kafka.send(KafkaRecord(unique, value=b"%d" % n) for n in range(100))
        arrived = pubsub.receive(f"projects/test/subscriptions/{unique}", 100)
    else:
        pubsub.send(f"projects/test/topics/{unique}", [PubsubRecord(b"%d" % n) for n in range(100)])
        arrived = kafka.receive(unique, 100)
    report = bridge.stop(getattr(signal, settings(service).get("KillSignal", "SIGTERM")))
    assert (len(arrived), report["delivered"], report["commit_failures"]) == (100, 100, 0)
    assert settings(service)["Restart"] == "on-failure"


def test_what_cannot_begin_is_not_started_again(service, start, unique):
    bridge = start(kafka_topics=f"{unique}-missing", kafka_topic=f"{unique}-missing")
    assert str(bridge.process.wait(60)) == settings(service)["RestartPreventExitStatus"]
