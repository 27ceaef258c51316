"""Planted secrets are looked for wherever a run leaves something: output, report, arguments, graph,
what travels to workers."""

from __future__ import annotations

import pickle
from contextlib import closing
from pathlib import Path

import apache_beam as beam
import pytest
from certificates import PASSWORD
from ends import Kafka, until
from secure_servers import BRIDGE, PASSWORDS

from pipelines import graph, kafka_to_ps, preflight, ps_to_kafka, runtime
from pipelines.audit import cli as audit
from pipelines.console import cli as console
from pipelines.options import KAFKA_TO_PS, PS_TO_KAFKA, parse
from pipelines.preflight.__main__ import main as preflight_main
from transforms.records import PubsubRecord

SECRET = PASSWORDS[BRIDGE]
WRONG = "planted-and-wrong"


def properties_of(secure, password: str) -> dict[str, str]:
    """A log-in with three secrets: of the user, of the key, and of the trust store."""
    return {
        "security.protocol": "SASL_SSL",
        "ssl.truststore.location": str(secure.certificates.truststore),
        "ssl.truststore.password": PASSWORD,
        "ssl.keystore.location": str(secure.clients[BRIDGE].p12),
        "ssl.keystore.password": PASSWORD,
        "sasl.mechanism": "PLAIN",
        "sasl.username": "not-a-secret",
        "sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="{BRIDGE}" password="{password}";',
    }


def flags_in_a_file(secure, folder: Path, password: str) -> list[str]:
    lines = properties_of(secure, password)
    del lines["sasl.username"]
    path = folder / "client.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    return [f"--kafka_properties={path}"]


def flags_by_reference(secure, folder: Path, password: str, monkeypatch) -> list[str]:
    properties = properties_of(secure, password)
    monkeypatch.setenv("PLANTED_JAAS", properties["sasl.jaas.config"])
    (folder / "store").write_text(PASSWORD)
    del properties["sasl.username"]
    properties |= {
        "sasl.jaas.config": "env:PLANTED_JAAS",
        "ssl.truststore.password": f"file:{folder}/store",
        "ssl.keystore.password": f"file:{folder}/store",
    }
    return [f"--kafka_config={name}={value}" for name, value in properties.items()]


@pytest.fixture(params=["in a file", "by reference"])
def flags(request, secure, tmp_path, monkeypatch):
    """The log-in with a password, in one of the ways to give it."""

    def of(password: str) -> list[str]:
        if request.param == "in a file":
            return flags_in_a_file(secure, tmp_path, password)
        return flags_by_reference(secure, tmp_path, password, monkeypatch)

    return of


def command_lines(secure, name: str, topic: str, subscription: str) -> dict[str, list[str]]:
    servers = f"--bootstrap_servers={secure.bootstrap('SASL_SSL')}"
    return {
        PS_TO_KAFKA: [servers, f"--kafka_topic={name}", f"--subscription={subscription}"],
        KAFKA_TO_PS: [
            servers,
            f"--kafka_topics={name}",
            f"--group_id={name}",
            f"--pubsub_topic={topic}",
        ],
    }


def assert_secretless(what: str, content: str | bytes) -> None:
    text = content if isinstance(content, bytes) else content.encode()
    for secret in (SECRET, WRONG, PASSWORD):
        assert secret.encode() not in text, f"a secret in {what}"


def test_no_secret_is_left_anywhere_by_a_run(
    secure, pubsub, unique, flags, run_bridge, tmp_path, capfd
):
    secure.kafka.create_topic(unique)
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"x")])
    for pipeline, ends in command_lines(secure, unique, topic, subscription).items():
        bridge = run_bridge(pipeline, *ends, *flags(SECRET), "--debug")
        until(lambda b=bridge: " carries Kafka's data" in b.output, "a log-in")
        arguments = Path(f"/proc/{bridge.process.pid}/cmdline").read_bytes()
        report = bridge.stop()
        for what, content in (
            ("output", bridge.output),
            ("report", repr(report)),
            ("arguments", arguments),
        ):
            assert_secretless(f"{what} of {pipeline}", content)


def test_no_secret_travels(secure, pubsub, unique, flags):
    secure.kafka.create_topic(unique)
    with closing(Kafka(secure.bootstrap("PLAINTEXT"))) as kafka:
        dead = kafka.create(f"{unique}-dead", max_message_bytes="20000000")
    topic, subscription = pubsub.create(unique)
    for pipeline, ends in command_lines(secure, unique, topic, subscription).items():
        options = parse(pipeline, [*ends, *flags(SECRET), f"--dead_letter=kafka://{dead}"], {})
        facts = preflight.check(options)
        config = runtime.bridge_config(options)
        job = beam.Pipeline(options=runtime.pipeline_options(options))
        graph.build(job, options, facts, config)
        assert_secretless("the graph", job.to_runner_api().SerializeToString())
        assert_secretless("what workers get", pickle.dumps((options.kafka, config)))
        assert_secretless("repr", repr((options, options.kafka, config)))


def test_no_secret_is_shown_by_a_log_in_that_fails(secure, pubsub, unique, flags, capfd):
    topic, subscription = pubsub.create(unique)
    ends = command_lines(secure, unique, topic, subscription)
    mains = {
        ps_to_kafka.main: ends[PS_TO_KAFKA],
        kafka_to_ps.main: ends[KAFKA_TO_PS],
        audit.main: [*ends[KAFKA_TO_PS], f"--subscription={subscription}"],
        console.main: ends[KAFKA_TO_PS][:2],
        preflight_main: [*ends[KAFKA_TO_PS], "--json"],
    }
    for main, argv in mains.items():
        assert main([*argv, *flags(WRONG), "--debug"]) == 2
        shown = capfd.readouterr()
        assert "Authentication failed" in shown.err or "--subscription" in shown.err
        assert_secretless(main.__module__, shown.out + shown.err)
