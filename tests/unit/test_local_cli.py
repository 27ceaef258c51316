"""The command line of the embedded stack before it starts anything, and the compose file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines.local import broker, cli, emulator_jar, jars
from transforms.errors import PreflightError

COMPOSE = Path(__file__).parents[2] / "docker-compose.yaml"


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ([], "up | run | fetch"),
        (["start"], "start"),
        (["fetch", "--all"], "--all"),
        (["up", "--", "ls"], "ls"),
        (["run"], "no command"),
        (["run", "--"], "no command"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(argv, named, capsys):
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert named in err


def test_a_command_that_does_not_exist_starts_nothing(capsys):
    assert cli.main(["run", "--", "no-such-command", "x"]) == 127
    assert capsys.readouterr().err.splitlines() == [
        "python -m pipelines.local: run no-such-command: command not found"
    ]


@pytest.mark.parametrize("argv", [["fetch"], ["up"], ["run", "--", "true"]])
def test_what_cannot_be_had_is_one_line_and_exit_status_2(argv, monkeypatch, tmp_path, capsys):
    def refuse(*_: object) -> None:
        raise PreflightError("download Apache Kafka: no way")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(emulator_jar, "_newest", lambda folder: iter([tmp_path / "emulator.jar"]))
    monkeypatch.setattr(jars, "kafka_jars", refuse)
    monkeypatch.setattr(broker, "kafka_jars", refuse)
    assert cli.main(argv) == 2
    assert capsys.readouterr() == ("", "python -m pipelines.local: download Apache Kafka: no way\n")
    assert list(tmp_path.iterdir()) == []


def test_docker_compose_runs_the_same_broker_on_loopback_only():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    lines = [line.split("=", 1) for line in broker._PROPERTIES.splitlines()]
    ours = {f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in lines}
    theirs = services["kafka"]["environment"]
    of_their_network = {
        "KAFKA_CONTROLLER_QUORUM_VOTERS",
        "KAFKA_LISTENERS",
        "KAFKA_ADVERTISED_LISTENERS",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "KAFKA_LOG_DIRS",
        "KAFKA_HEAP_OPTS",
    }
    assert {k: v for k, v in ours.items() if k not in of_their_network} == {
        k: v for k, v in theirs.items() if k not in of_their_network
    }
    assert services["kafka"]["image"] == f"apache/kafka:{jars.KAFKA_VERSION}"
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:9092:9092", "127.0.0.1:8085:8085"]


def test_docker_compose_reaches_the_servers_from_the_host_and_from_the_bridges():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    kafka = services["kafka"]["environment"]
    advertised = kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert advertised == ["PLAINTEXT://127.0.0.1:9092", "INSIDE://kafka:19092"]
    listeners = kafka["KAFKA_LISTENERS"].split(",")
    assert listeners[:2] == ["PLAINTEXT://:9092", "INSIDE://:19092"]
    for bridge in ("ps-to-kafka", "kafka-to-ps", "setup"):
        assert services[bridge]["environment"] == {
            "KAFKA_BOOTSTRAP_SERVERS": "kafka:19092",
            "PUBSUB_EMULATOR_HOST": "pubsub:8085",
        }


def test_docker_compose_starts_bridges_only_if_asked_and_when_all_is_ready():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    always = {name for name, service in services.items() if "profiles" not in service}
    assert always == {"kafka", "pubsub"}
    for bridge in ("ps-to-kafka", "kafka-to-ps"):
        assert services[bridge]["restart"] == "unless-stopped"
        assert {name: c["condition"] for name, c in services[bridge]["depends_on"].items()} == {
            "kafka": "service_healthy",
            "pubsub": "service_healthy",
            "setup": "service_completed_successfully",
        }
