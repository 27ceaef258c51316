"""Kafka Connect's files as commands of the bridge: what each setting becomes, and what is said."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pipelines.migrate import __main__ as cli
from pipelines.migrate import files
from pipelines.preflight import __main__ as preflight
from transforms.kafka.properties_file import parse_properties

DATA = Path(__file__).parents[1] / "data" / "connect"
WORKER, SINK, SOURCE = (
    str(DATA / f"{name}.properties")
    for name in ("psconnect-worker", "ps-sink-connector", "ps-source-connector")
)
SECRET = "hunter2-do-not-tell"
PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"

A_SINK = {
    "name": "out",
    "connector.class": "com.google.pubsub.kafka.sink.CloudPubSubSinkConnector",
    "topics": "alerts",
    "cps.project": "p",
    "cps.topic": "alerts",
}
A_SOURCE = {
    "name": "in",
    "connector.class": "com.google.pubsub.kafka.source.CloudPubSubSourceConnector",
    "cps.project": "p",
    "cps.subscription": "alerts",
    "kafka.topic": "alerts",
}
A_WORKER = {
    "bootstrap.servers": "broker:9092",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
}
ENDS = {
    "kafka_to_ps": ["--kafka_topics=alerts", "--pubsub_topic=projects/p/topics/alerts"],
    "ps_to_kafka": ["--subscription=projects/p/subscriptions/alerts", "--kafka_topic=alerts"],
}


def properties(settings: dict[str, str]) -> str:
    lines = (f"{name}={value}" for name, value in settings.items())
    return "".join(line.replace("\\", "\\\\").replace("\n", "\\n") + "\n" for line in lines)


class Folder:
    """Files of one installation, and the command line that reads them."""

    def __init__(self, path: Path, capsys, monkeypatch) -> None:
        self._path, self._capsys = path, capsys
        monkeypatch.chdir(path)
        monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)

    def write(self, name: str, content: str | bytes | dict | list) -> str:
        text = json.dumps(content) if isinstance(content, (dict, list)) else content
        (self._path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    def run(self, *argv: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        status = cli.main(argv)
        return (status, *self._capsys.readouterr())

    def migrate(self, *files: str) -> dict:
        """What `--json` prints; every command is one that the bridge accepts."""
        status, out, err = self.run("--json", *files)
        assert (status, err) == (0, "")
        found = json.loads(out)
        for command in found["commands"]:
            assert "the bridge refuses" not in str(command["notes"])
        return found

    def connector(self, config: dict[str, str], worker: dict[str, str] = A_WORKER) -> dict:
        """The one command of a connector, with all notes in it."""
        files = self.write("c.json", config), self.write("w.properties", properties(worker))
        found = self.migrate(*files)
        (command,) = found["commands"]
        return {**command, "notes": command["notes"] + found["workers"]}


@pytest.fixture
def folder(tmp_path, capsys, monkeypatch) -> Folder:
    return Folder(tmp_path, capsys, monkeypatch)


def flags(command: dict) -> list[str]:
    return command["argv"][3:]


def said(command: dict, setting: str) -> list[str]:
    """The kinds of what is said of a setting."""
    return [
        note["kind"]
        for note in command["notes"]
        if any(shown.partition("=")[0].partition(" ")[0] == setting for shown in note["settings"])
    ]


# -- the sample installation -----------------------------------------------------------------------


def test_the_sample_becomes_two_commands(folder):
    found = folder.migrate(SOURCE, WORKER, SINK)
    assert [command["argv"] for command in found["commands"]] == [
        [
            *("python", "-m", "pipelines.ps_to_kafka"),
            "--subscription=projects/example-project/subscriptions/ztf-loop",
            "--kafka_topic=ztf-loop",
            "--attributes=metadata",
            "--key=attribute:objectId",
            f"--kafka_properties={WORKER}",
        ],
        [
            *("python", "-m", "pipelines.kafka_to_ps"),
            "--kafka_topics=ztf_20260103_programid1",
            "--group_id=connect-ps-sink-connector-ztf",
            "--pubsub_topic=projects/example-project/topics/ztf-alert-data",
            "--attributes=metadata",
            "--start=earliest",
            f"--kafka_properties={WORKER}",
        ],
    ]


@pytest.mark.parametrize("extra", ["", "consumer.properties", "kafka_client_jaas.conf"])
def test_every_setting_of_the_sample_is_in_a_command_or_has_a_line(folder, extra):
    files = [WORKER, SINK, SOURCE, *([str(DATA / extra)] if extra else [])]
    found = folder.migrate(*files)
    notes = found["workers"] + [n for command in found["commands"] for n in command["notes"]]
    lines = {shown.partition("=")[0] for note in notes for shown in note["settings"]}
    argv = " ".join(flag for command in found["commands"] for flag in flags(command))
    for path in files:
        if path.endswith(".conf"):
            assert any(note.get("file") == path for note in notes)
            continue
        for name, value in parse_properties(Path(path).read_text()).items():
            assert name in lines or value in argv, f"{path}: {name}"


def test_a_script_is_what_a_shell_runs(folder):
    _, script, _ = folder.run(WORKER, SINK, SOURCE)
    spy = 'python() { for word; do printf "%s\\n" "$word"; done; }\n'
    ran = subprocess.run(
        ["sh", "-c", spy + script], capture_output=True, text=True, timeout=20, check=True
    )
    commands = folder.migrate(WORKER, SINK, SOURCE)["commands"]
    expected = [word for command in commands for word in command["argv"][1:]]
    assert ran.stdout.splitlines() == expected
    assert ran.stderr == ""


def test_what_differs_comes_before_what_has_no_equivalent(folder):
    config = A_SINK | {"maxBufferSize": "9", "tasks.max": "3", "strange.thing": "1"}
    files = folder.write("c.json", config), folder.write("w.properties", properties(A_WORKER))
    _, script, _ = folder.run(*files)
    headings = ["to do first", "behaves differently", "has no equivalent", "is unknown"]
    places = [script.index(f"# {heading}") for heading in headings]
    assert places == sorted(places)
    assert places[0] < script.index("\npython -m") < places[1]


# -- settings of a sink ----------------------------------------------------------------------------

D, L, S, F, U = "differs", "lacks", "same", "first", "unknown"
STREAMING = {"cps.streamingPull.enabled": "true"}


@pytest.mark.parametrize(
    ("settings", "flag", "kinds"),
    [
        ({"topics": "a, b,a"}, "--kafka_topics=a,b", []),
        ({"topics": "", "topics.regex": "a.*"}, "--kafka_topics=^a.*$", [S]),
        ({"topics": "", "topics.regex": "^a|b$"}, "--kafka_topics=^(?:a|b)$", [S]),
        ({"topics": "", "topics.regex": r"a\$"}, r"--kafka_topics=^a\$$", [S]),
        ({"topics": "", "topics.regex": "(?i)a"}, "--kafka_topics=^(?i:a)$", [S]),
        ({"orderingKeySource": "none"}, "--ordering_key=none", []),
        ({"orderingKeySource": "key"}, "--ordering_key=key", [D]),
        ({"orderingKeySource": "partition"}, "--ordering_key=partition", [D]),
        ({"metadata.publish": "true"}, "--attributes=metadata", [D]),
        ({"headers.publish": "TRUE"}, "--attributes=metadata", [D]),
        ({"delayThresholdMs": "100"}, "--linger_ms=100", []),
        ({"delayThresholdMs": "60001"}, "--linger_ms=60000", [D]),
        ({"maxDelayThresholdMs": "100"}, "", [S]),
        ({"maxTotalTimeoutMs": "60000"}, "--delivery_timeout_s=60", [D]),
        ({"maxTotalTimeoutMs": "1500"}, "--delivery_timeout_s=1.5", [D]),
        ({"maxOutstandingRequestBytes": "9500000"}, "--max_in_flight_bytes=9500000", [D]),
        ({"maxOutstandingRequestBytes": "10"}, "--max_in_flight_bytes=1000000", [D, D]),
        ({"maxOutstandingRequestBytes": "9223372036854775807"}, "", [D]),
        ({"maxBufferSize": "1000"}, "", [L]),
        ({"enableCompression": "true"}, "", [L]),
        ({"messageBodyName": "body"}, "", [L]),
        ({"cps.endpoint": "pubsub.googleapis.com:443"}, "", [S]),
        ({"cps.endpoint": "pubsub.googleapis.com"}, "", [S]),
        ({"cps.endpoint": "us-east1-pubsub.googleapis.com"}, "--pubsub_endpoint=us-east1-", []),
        ({"tasks.max": "1"}, "", [S]),
        ({"tasks.max": "10"}, "", [D]),
        ({"errors.tolerance": "none"}, "", [S]),
        ({"errors.tolerance": "all"}, "", [D]),
        ({"errors.tolerance": "none", "errors.deadletterqueue.topic.name": "dead"}, "", [D]),
        ({"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead"}, "", [D]),
        ({"errors.deadletterqueue.topic.name": "dead"}, "--dead_letter=kafka://dead", [D]),
        ({"errors.deadletterqueue.topic.replication.factor": "3"}, "", [L]),
        ({"errors.retry.timeout": "1000"}, "", [D]),
        ({"transforms": "a"}, "", [D]),
        ({"transforms.a.type": "org.x.RegexRouter"}, "", [D]),
        ({"transforms.a.type": "org.x.Filter$Value", "transforms.a.x": SECRET}, "", [D]),
        ({"predicates": "a"}, "", [D]),
        ({"topic.creation.default.partitions": "4"}, "", [S]),
        ({"consumer.group.id": "ignored"}, "--group_id=connect-out", [U]),
        ({"spec.autoRestart": "true"}, "", [L]),
        ({"header.converter": "x.SimpleHeaderConverter"}, "", [D]),
        ({"consumer.override.group.id": "mine"}, "--group_id=mine", []),
        ({"consumer.override.auto.offset.reset": "latest"}, "--start=latest", [D]),
        ({"consumer.override.auto.offset.reset": "none"}, "", [D]),
        ({"consumer.override.metadata.max.age.ms": "5000"}, "--metadata_interval_s=5", []),
        (
            {"consumer.override.fetch.min.bytes": "9"},
            "--kafka_config=consumer.fetch.min.bytes=9",
            [],
        ),
        ({"consumer.override.max.poll.records": "5"}, "", [L]),
        ({"consumer.override.interceptor.classes": "x.Y"}, "", [L]),
        ({"consumer.override.enable.auto.commit": "false"}, "", [S]),
        ({"consumer.override.key.deserializer": "x.Y"}, "", [S]),
        ({"consumer.override.nonsense": "1"}, "", [U]),
        ({"producer.override.linger.ms": "5"}, "", [S]),
        (
            {"consumer.override.isolation.level": "read_committed"},
            "--kafka_config=consumer.iso",
            [],
        ),
        ({"nonsense": "1"}, "", [U]),
    ],
)
def test_each_setting_of_a_sink(folder, settings, flag, kinds):
    command = folder.connector(A_SINK | settings)
    assert command["argv"][2] == "pipelines.kafka_to_ps"
    assert any(each.startswith(flag) for each in flags(command))
    assert said(command, next(iter(settings))) == kinds
    if "topics" not in settings:
        assert set(ENDS["kafka_to_ps"]) < set(flags(command))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "only attribute is `key`"),
        ({"metadata.publish": "true"}, "headers that fit become attributes too"),
        ({"headers.publish": "true"}, "kafka.timestamp become attributes too"),
        ({"metadata.publish": "true", "headers.publish": "true"}, "--attributes=lossless"),
    ],
)
def test_what_travels_beside_the_data_is_said(folder, given, words):
    texts = [note["text"] for note in folder.connector(A_SINK | given)["notes"]]
    assert any(words in text for text in texts)


def test_the_group_is_the_one_that_connect_made(folder):
    of_worker = A_WORKER | {"consumer.group.id": "theirs", "group.id": "connect-cluster"}
    assert "--group_id=connect-out" in flags(folder.connector(A_SINK))
    assert "--group_id=theirs" in flags(folder.connector(A_SINK, of_worker))
    override = {"consumer.override.group.id": "mine"}
    command = folder.connector(A_SINK | override, of_worker)
    assert "--group_id=mine" in flags(command)
    assert said(command, "name") == said(folder.connector(A_SOURCE), "name") == [S]


def test_a_file_of_properties_does_not_decide_where_a_sink_begins(folder):
    # Connect looks at consumer.auto.offset.reset alone.
    command = folder.connector(A_SINK, A_WORKER | {"auto.offset.reset": "latest"})
    assert "--start=earliest" in flags(command)
    command = folder.connector(A_SINK, A_WORKER | {"consumer.auto.offset.reset": "latest"})
    assert "--start=latest" in flags(command)


# -- settings of a source --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "flag", "kinds"),
    [
        ({"kafka.key.attribute": "objectId"}, "--key=attribute:objectId", [D]),
        ({"kafka.key.attribute": "orderingKey"}, "--key=ordering_key", [D]),
        ({"kafka.key.attribute": ""}, "--key=none", [S, S]),
        ({"kafka.partition.scheme": "round_robin"}, "--key=none", [D]),
        ({"kafka.partition.scheme": "hash_key"}, "--key=none", [D]),
        ({"kafka.partition.scheme": "hash_value"}, "--key=none", [D]),
        ({"kafka.partition.scheme": "kafka_partitioner"}, "--key=none", [S]),
        ({"kafka.partition.scheme": "ordering_key"}, "--key=ordering_key", [D]),
        ({"kafka.partition.count": "4"}, "", [D]),
        ({"kafka.timestamp.attribute": "t"}, "", [L]),
        ({"kafka.record.headers": "true"}, "--attributes=metadata", [D]),
        ({"kafka.record.headers": "false"}, "--attributes=metadata", [D]),
        ({"cps.makeOrderingKeyAttribute": "true"}, "", [D]),
        ({"cps.maxBatchSize": "100"}, "", [L]),
        ({"cps.streamingPull.enabled": "true"}, "--pull=streaming", []),
        ({"cps.streamingPull.enabled": "false"}, "--pull=unary", []),
        ({"cps.streamingPull.flowControlBytes": "104857600"}, "", [S]),
        ({"cps.streamingPull.flowControlMessages": "1000"}, "", [S]),
        ({"cps.streamingPull.parallelStreams": "2"}, "", [S]),
        ({"cps.streamingPull.maxAckExtensionMs": "600000"}, "", [S]),
        (
            {"cps.streamingPull.flowControlBytes": "104857600"} | STREAMING,
            "--max_in_flight_bytes=1048",
            [D],
        ),
        ({"cps.streamingPull.flowControlMessages": "1000"} | STREAMING, "", [L]),
        ({"cps.streamingPull.parallelStreams": "1"} | STREAMING, "", [S]),
        ({"cps.streamingPull.parallelStreams": "2"} | STREAMING, "", [L]),
        ({"cps.streamingPull.maxAckExtensionMs": "0"} | STREAMING, "", [S]),
        (
            {"cps.streamingPull.maxAckExtensionMs": "600000"} | STREAMING,
            "--max_lease_s=600",
            [],
        ),
        (
            {"cps.streamingPull.maxAckExtensionMs": "1000"} | STREAMING,
            "--max_lease_s=10",
            [D],
        ),
        ({"producer.override.linger.ms": "20"}, "--linger_ms=20", []),
        ({"producer.override.delivery.timeout.ms": "9000"}, "--delivery_timeout_s=9", []),
        ({"producer.override.acks": "1"}, "", [L]),
        ({"producer.override.acks": "all"}, "", [S]),
        (
            {"producer.override.compression.type": "zstd"},
            "--kafka_config=producer.compression.type=zstd",
            [],
        ),
        (
            {
                "topic.creation.default.partitions": "4",
                "topic.creation.default.replication.factor": "3",
            },
            "--create_topics=4:3",
            [],
        ),
        ({"topic.creation.default.partitions": "-1"}, "", [L]),
        ({"topic.creation.hot.partitions": "9"}, "", [L]),
        ({"cps.useEmulator": "true", "cps.endpoint": "x.test:443"}, "--pubsub_endpoint=x", [S]),
        ({"exactly.once.support": "required"}, "", [L]),
        ({"errors.deadletterqueue.topic.name": "x"}, "", [S]),
        ({"consumer.override.group.id": "x"}, "", [S]),
    ],
)
def test_each_setting_of_a_source(folder, settings, flag, kinds):
    command = folder.connector(A_SOURCE | settings)
    assert command["argv"][2] == "pipelines.ps_to_kafka"
    assert any(each.startswith(flag) for each in flags(command))
    assert said(command, next(iter(settings))) == kinds
    assert set(ENDS["ps_to_kafka"]) < set(flags(command))


OF_GOOGLES_SINK = """cps.endpoint cps.project cps.topic cps.useEmulator maxBufferSize
maxBufferBytes maxOutstandingRequestBytes maxOutstandingMessages delayThresholdMs
maxRequestTimeoutMs maxTotalTimeoutMs maxShutdownTimeoutMs metadata.publish headers.publish
orderingKeySource messageBodyName enableCompression compressionBytesThreshold
gcp.credentials.file.path gcp.credentials.json"""
OF_GOOGLES_SOURCE = """cps.endpoint cps.project cps.subscription kafka.topic cps.maxBatchSize
cps.makeOrderingKeyAttribute kafka.key.attribute kafka.timestamp.attribute kafka.partition.count
kafka.partition.scheme kafka.record.headers cps.streamingPull.enabled
cps.streamingPull.flowControlMessages cps.streamingPull.flowControlBytes
cps.streamingPull.parallelStreams cps.streamingPull.maxAckExtensionMs
cps.streamingPull.maxMsPerAckExtension gcp.credentials.file.path gcp.credentials.json"""
OF_CONNECTORS = """name connector.class tasks.max tasks.max.enforce key.converter value.converter
header.converter config.action.reload transforms predicates errors.retry.timeout
errors.retry.delay.max.ms errors.tolerance errors.log.enable errors.log.include.messages"""
OF_SINKS = """topics topics.regex errors.deadletterqueue.topic.name
errors.deadletterqueue.topic.replication.factor errors.deadletterqueue.context.headers.enable"""
OF_SOURCES = """topic.creation.groups exactly.once.support transaction.boundary
transaction.boundary.interval.ms offsets.storage.topic"""


@pytest.mark.parametrize(
    ("config", "name"),
    [
        *((A_SINK, n) for n in f"{OF_GOOGLES_SINK} {OF_CONNECTORS} {OF_SINKS}".split()),
        *((A_SOURCE, n) for n in f"{OF_GOOGLES_SOURCE} {OF_CONNECTORS} {OF_SOURCES}".split()),
    ],
)
def test_every_setting_that_there_is_has_a_flag_or_a_line(folder, config, name):
    values = {
        "orderingKeySource": "key",
        "kafka.partition.scheme": "hash_key",
        "topics.regex": "a.*",
    }
    truth = ("publish", "enable", "Emulator", "Attribute", "headers", "enabled", "Compression")
    value = values.get(name, "true" if name.endswith(truth) else "77")
    given = {name: config.get(name, value)}
    rest = without(config, "topics") if name == "topics.regex" else config
    before, command = folder.connector(config), folder.connector(rest | given)
    assert U not in said(command, name)
    changed = flags(command) != flags(before)
    assert said(command, name) or changed or any(given[name] in flag for flag in flags(command))


# -- converters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "name", "kind", "kinds"),
    [
        (A_SINK, "value.converter", "x.ByteArrayConverter", [S]),
        (A_SINK, "value.converter", "x.StringConverter", [D]),
        (A_SINK, "value.converter", "x.JsonConverter", [D]),
        (A_SINK, "value.converter", "io.confluent.connect.avro.AvroConverter", [D]),
        (A_SINK, "value.converter", "x.LongConverter", [S]),
        (A_SINK, "value.converter", "com.example.Rot13", [D]),
        (A_SINK, "key.converter", "x.ByteArrayConverter", [D]),
        (A_SINK, "key.converter", "x.StringConverter", [D]),
        (A_SOURCE, "value.converter", "x.ByteArrayConverter", [D]),
        (
            A_SOURCE | {"kafka.record.headers": "true"},
            "value.converter",
            "x.ByteArrayConverter",
            [S],
        ),
        (A_SOURCE, "value.converter", "x.StringConverter", [D]),
        (A_SOURCE, "value.converter", "x.JsonConverter", [D]),
        (A_SOURCE, "value.converter", "x.ProtobufConverter", [D]),
        (A_SOURCE, "key.converter", "x.StringConverter", [S]),
        (A_SOURCE, "key.converter", "x.ByteArrayConverter", [D]),
        (A_SOURCE, "header.converter", "x.JsonConverter", [D]),
    ],
)
def test_a_converter_is_named_as_the_change_it_makes(folder, config, name, kind, kinds):
    more = {f"{name}.schemas.enable": "false"}
    in_connector = folder.connector(config | {name: kind} | more)
    own = [n for n in in_connector["notes"] if "file" not in n]
    assert said({"notes": own}, name) == kinds
    assert said({"notes": own}, f"{name}.schemas.enable") == [L]
    in_worker = folder.connector(config, A_WORKER | {name: kind} | more)
    assert said(in_worker, name) == kinds


def test_the_default_of_the_header_converter_is_named(folder):
    assert said(folder.connector(A_SINK), "header.converter") == []
    assert said(folder.connector(A_SINK | {"headers.publish": "true"}), "header.converter") == [D]


def test_converters_that_nobody_names_are_said_to_be_unknown(folder):
    command = folder.connector(A_SINK, {"bootstrap.servers": "b:1"})
    assert said(command, "value.converter") == said(command, "key.converter") == [D]


# -- kinds of files --------------------------------------------------------------------------------

POSTED = {"name": "out", "config": {k: v for k, v in A_SINK.items() if k != "name"}}
ANSWER = {
    "name": "out",
    "config": A_SINK,
    "tasks": [{"connector": "out", "task": 0}],
    "type": "sink",
}
STRIMZI = {
    "apiVersion": "kafka.strimzi.io/v1beta2",
    "kind": "KafkaConnector",
    "metadata": {"name": "out", "labels": {"strimzi.io/cluster": "c"}},
    "spec": {
        "class": A_SINK["connector.class"],
        "tasksMax": 2,
        "autoRestart": {"enabled": True},
        "config": {k: v for k, v in A_SINK.items() if k not in ("name", "connector.class")},
    },
}


@pytest.mark.parametrize(
    "content",
    [
        A_SINK,
        POSTED,
        ANSWER,
        [POSTED],
        {"out": {"info": ANSWER, "status": {"name": "out"}}},
        {"out": {"info": ANSWER}},
        {"info": ANSWER, "status": {"name": "out"}},
        {"config": {"info": ANSWER, "status": {"name": "config"}}},
        {"status": {"info": ANSWER}},
        STRIMZI,
        {"apiVersion": "v1", "kind": "List", "items": [STRIMZI]},
        "\ufeff" + json.dumps(POSTED),
        properties(A_SINK),
        "\r\n# comment\r\n" + properties(A_SINK).replace("\n", "\r\n"),
    ],
)
def test_a_connector_is_recognised_in_every_form(folder, content):
    files = folder.write("w", properties(A_WORKER)), folder.write("c", content)
    (command,) = folder.migrate(*files)["commands"]
    assert {*ENDS["kafka_to_ps"], "--group_id=connect-out"} < set(flags(command))


def test_short_names_of_the_class_and_values_that_are_no_texts(folder):
    config = A_SINK | {"connector.class": "CloudPubSubSink", "tasks.max": 2, "predicates": None}
    command = folder.connector(config | {"metadata.publish": True})
    assert said(command, "tasks.max") == said(command, "metadata.publish") == [D]


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("CONNECT_BOOTSTRAP_SERVERS", "bootstrap.servers"),
        ("CONNECT_A_B__C___D", "a.b_c-d"),
        ("KAFKA_OPTS", "KAFKA_OPTS"),
    ],
)
def test_the_setting_of_a_variable(variable, setting):
    assert files.setting(variable) == setting


ENV = rf"""
# a container's
CONNECT_BOOTSTRAP_SERVERS=SASL_SSL://b1:9092, b2:9092
CONNECT_GROUP_ID=connect-cluster
export CONNECT_SECURITY_PROTOCOL='SASL_SSL'
CONNECT_SASL_MECHANISM=PLAIN
CONNECT_SASL_JAAS_CONFIG="{PLAIN_LOGIN} username=\"u\" password=\"{SECRET}\";"
CONNECT_CONSUMER_SECURITY_PROTOCOL=SASL_SSL
CONNECT_SSL_TRUSTSTORE_LOCATION=${{env:STORE}}
CONNECT_SSL_TRUSTSTORE_PASSWORD=${{directory:/run/secrets:store}}
CONNECT_SSL_KEY_PASSWORD=${{file:/secrets.properties:key}}
CONNECT_CONFIG_STORAGE_TOPIC=connect-config
CONNECT_OFFSET_FLUSH_INTERVAL_MS=10000
CONNECT_KEY_CONVERTER=org.apache.kafka.connect.storage.StringConverter
CONNECT_VALUE_CONVERTER=org.apache.kafka.connect.converters.ByteArrayConverter
CONNECT_LOG4J_ROOT_LOGLEVEL=WARN
CONNECT_PRODUCER_INTERCEPTOR_CLASSES=io.confluent.Monitoring
CONNECT_PRODUCER_REQUEST_TIMEOUT_MS=5000
CONNECT_WHAT__IS___THIS=1
KAFKA_HEAP_OPTS=-Xmx2g
KAFKA_OPTS="-Djava.security.auth.login.config=/j -Djava.security.krb5.conf=krb5.conf -Dx={SECRET}"
GOOGLE_APPLICATION_CREDENTIALS=/key.json
SOMETHING={SECRET}
"""


def test_variables_become_flags_and_secrets_references(folder):
    folder.write("krb5.conf", "[libdefaults]\n")
    files = folder.write("w.env", ENV), folder.write("c.json", A_SINK)
    found = folder.migrate(*files)
    (command,) = found["commands"]
    assert command["environment"] == {"GOOGLE_APPLICATION_CREDENTIALS": "/key.json"}
    assert flags(command) == [
        "--bootstrap_servers=b1:9092,b2:9092",
        "--kafka_topics=alerts",
        "--group_id=connect-out",
        "--pubsub_topic=projects/p/topics/alerts",
        "--attributes=metadata",
        "--kafka_config=sasl.mechanism=PLAIN",
        "--kafka_config=sasl.jaas.config=env:CONNECT_SASL_JAAS_CONFIG",
        "--kafka_config=consumer.security.protocol=SASL_SSL",
        "--kafka_config=ssl.truststore.location=env:STORE",
        "--kafka_config=ssl.truststore.password=file:/run/secrets/store",
        "--kafka_config=ssl.key.password=env:CONNECT_SSL_KEY_PASSWORD",
        "--krb5_conf=krb5.conf",
        "--commit_interval_s=10",
    ]
    everything = {"notes": found["workers"] + command["notes"]}
    for name in ("sasl.jaas.config", "ssl.truststore.location", "ssl.key.password"):
        assert said(everything, name) == [F, D], name
    for name, kind in {
        "group.id": S,
        "config.storage.topic": S,
        "security.protocol": S,
        "log4j.root.loglevel": L,
        "producer.interceptor.classes": S,
        "producer.request.timeout.ms": S,
        "what_is-this": U,
        "KAFKA_HEAP_OPTS": S,
        "SOMETHING": U,
    }.items():
        assert said(everything, name) == [kind], name


def test_a_key_in_the_place_of_a_path_is_not_shown(folder):
    env = f"""CONNECT_BOOTSTRAP_SERVERS=b:1
GOOGLE_APPLICATION_CREDENTIALS='{{"private_key": "{SECRET}"}}'
"""
    _, out, _ = folder.run(folder.write("w.env", env), folder.write("c", A_SINK))
    assert SECRET not in out
    assert "GOOGLE_APPLICATION_CREDENTIALS: put the key into a file" in out


@pytest.mark.parametrize("variable", ["KAFKA_OPTS", "GOOGLE_APPLICATION_CREDENTIALS"])
def test_a_variable_that_changes_nothing_has_a_line(folder, variable):
    env = f"CONNECT_BOOTSTRAP_SERVERS=b:1\n{variable}=\n"
    own = A_SINK | {"gcp.credentials.file.path": "/own.json"}
    found = folder.migrate(folder.write("w.env", env), folder.write("c.json", own))
    assert said({"notes": found["workers"]}, variable) == [S]
    assert found["commands"][0]["environment"] == {"GOOGLE_APPLICATION_CREDENTIALS": "/own.json"}


def test_a_proxy_of_java_is_the_bridges_too(folder):
    host = "-Dhttps.proxyHost=proxy.test -Dhttps.proxyPort=3128 -Dhttp.nonProxyHosts=a|*.b"
    for more, there in (
        ("", True),
        (f" -Dhttps.proxyUser=u -Dhttps.proxyPassword={SECRET}", False),
    ):
        env = f'CONNECT_BOOTSTRAP_SERVERS=b:1\nKAFKA_OPTS="{host}{more}"\nHTTPS_PROXY=x\n'
        _, out, _ = folder.run(folder.write("e", env), folder.write("c", A_SINK))
        assert SECRET not in out
        assert ("https_proxy=http://proxy.test:3128 no_proxy=a,.b python" in out) == there
        assert "KAFKA_OPTS https.proxyHost" in out
        assert "HTTPS_PROXY: Java does not look at it" in out


def test_a_word_of_java_options_that_may_be_a_password_is_not_shown(folder):
    env = f"CONNECT_BOOTSTRAP_SERVERS=b:1\nKAFKA_OPTS=-Dhttp.proxyPassword=my {SECRET}+/1\n"
    _, out, _ = folder.run(folder.write("e", env), folder.write("c", A_SINK))
    assert SECRET not in out


def test_a_jaas_file_goes_into_the_command_before_the_worker_which_wins(folder):
    jaas = folder.write("j", f'KafkaClient {{ {PLAIN_LOGIN} username="u" password="{SECRET}"; }};')
    worker = A_WORKER | {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}
    files = folder.write("w", properties(worker)), folder.write("c", A_SINK), jaas
    (command,) = folder.migrate(*files)["commands"]
    assert flags(command)[-2:] == ["--kafka_properties=j", "--kafka_properties=w"]


def test_the_jaas_file_of_kafka_opts_is_used_where_nothing_else_says_the_same(folder):
    jaas = folder.write("j", f'KafkaClient {{ {PLAIN_LOGIN} username="u" password="{SECRET}"; }};')
    env = f"CONNECT_BOOTSTRAP_SERVERS=b:1\nKAFKA_OPTS=-Djava.security.auth.login.config={jaas}\n"
    (command,) = folder.migrate(folder.write("e", env), folder.write("c", A_SINK))["commands"]
    assert "--kafka_properties=j" in flags(command)
    gone = env.replace(f"={jaas}", "=/nowhere/j")
    _, script, _ = folder.run(folder.write("e", gone), "c")
    assert "/nowhere/j is not here: copy it" in script
    assert "refuses the command as it stands: --kafka_properties" in script


def test_a_login_without_a_secret_is_spelled_out(folder):
    keytab = 'com.sun.security.auth.module.Krb5LoginModule required keyTab="/k" principal="r@R"'
    config = A_SINK | {"consumer.override.sasl.jaas.config": f"{keytab};"}
    found = flags(folder.connector(config))
    assert "--kafka_config=consumer.sasl.kerberos.keytab=/k" in found
    assert "--kafka_config=consumer.sasl.kerberos.principal=r@R" in found


@pytest.mark.parametrize(
    "line",
    [
        {"producer.acks": "1"},
        {"strange.thing": "1"},
        {"ssl.key.password": "${file:/s:key}"},
        {"producer.interceptor.classes": "io.confluent.Monitoring"},
    ],
)
def test_a_worker_that_the_bridge_cannot_read_as_it_is_becomes_flags(folder, line):
    worker = A_WORKER | {"security.protocol": "SSL"} | line
    command = folder.connector(A_SINK, worker)
    assert "--bootstrap_servers=broker:9092" in flags(command)
    assert "--kafka_config=security.protocol=SSL" in flags(command)
    assert not [flag for flag in flags(command) if flag.startswith("--kafka_properties")]
    assert any("cannot read the file as it is" in note["text"] for note in command["notes"])
    assert said(command, next(iter(line))) in ([S], [U], [F, D])


OF_WORKERS = """config.storage.topic config.storage.replication.factor offset.storage.topic
offset.storage.partitions offset.storage.replication.factor offset.storage.file.filename
status.storage.topic status.storage.partitions status.storage.replication.factor listeners
rest.advertised.host.name rest.advertised.port rest.advertised.listener rest.extension.classes
plugin.path plugin.discovery offset.flush.interval.ms offset.flush.timeout.ms
task.shutdown.graceful.timeout.ms topic.creation.enable exactly.once.source.support
rebalance.timeout.ms topic.tracking.enable topic.tracking.allow.reset worker.sync.timeout.ms
worker.unsync.backoff.ms connect.protocol scheduled.rebalance.max.delay.ms inter.worker.key.size
access.control.allow.origin admin.listeners response.http.headers.config config.providers
connector.client.config.override.policy listeners.https.ssl.keystore.location ssl.client.auth"""


@pytest.mark.parametrize("name", OF_WORKERS.split())
def test_every_setting_of_a_distributed_worker_has_a_line(folder, name):
    command = folder.connector(A_SINK, A_WORKER | {name: "1000"})
    assert said(command, name) in ([S], [L]) or "--commit_interval_s=1" in flags(command)
    assert any(flag.startswith("--kafka_properties") for flag in flags(command))


def test_what_workers_mean_to_one_connector_alone_is_said_there(folder):
    found = folder.migrate(WORKER, SINK, SOURCE)
    sink_command, source_command = found["commands"]
    assert D in said(sink_command, "key.converter")
    assert S in said(source_command, "consumer.auto.offset.reset")
    assert said({"notes": found["workers"]}, "key.converter") == []
    assert said({"notes": found["workers"]}, "plugin.path") == [S]


# -- which of several settings holds ---------------------------------------------------------------


def test_a_prefix_wins_whatever_the_order(folder):
    lines = [
        "CONNECT_CONSUMER_BOOTSTRAP_SERVERS=B:1",
        "CONNECT_BOOTSTRAP_SERVERS=A:1",
        "CONNECT_CONSUMER_GROUP_ID=theirs",
        "CONNECT_CONSUMER_SSL_KEYSTORE_TYPE=PEM",
        "CONNECT_SSL_KEYSTORE_TYPE=JKS",
    ]
    for each in (lines, lines[::-1]):
        files = folder.write("w.env", "\n".join(each)), folder.write("c", A_SINK)
        found = folder.migrate(*files)
        (command,) = found["commands"]
        assert {"--bootstrap_servers=B:1", "--group_id=theirs"} < set(flags(command))
        assert "--kafka_config=consumer.ssl.keystore.type=PEM" in flags(command)
        assert "JKS" not in str(flags(command))
        notes = {"notes": found["workers"]}
        assert said(notes, "bootstrap.servers") == said(notes, "ssl.keystore.type") == [S]


@pytest.mark.parametrize(
    ("config", "role", "other"),
    [(A_SINK, "consumer", "producer"), (A_SOURCE, "producer", "consumer")],
)
def test_the_brokers_are_those_of_the_connectors_own_clients(folder, config, role, other):
    theirs = {f"{role}.bootstrap.servers": "theirs:1", f"{other}.bootstrap.servers": "others:1"}
    command = folder.connector(config, theirs | A_WORKER)
    assert "--bootstrap_servers=theirs:1" in flags(command)
    assert said(command, f"{other}.bootstrap.servers") == [S]


def test_the_emulator_of_the_environment_wins_over_the_endpoint(folder):
    env = "CONNECT_BOOTSTRAP_SERVERS=b:1\nPUBSUB_EMULATOR_HOST=e:1\n"
    config = A_SINK | {"cps.useEmulator": "true", "cps.endpoint": "other:1"}
    for each, expected in ((config, {"PUBSUB_EMULATOR_HOST": "e:1"}), (A_SINK, {})):
        found = folder.migrate(folder.write("w.env", env), folder.write("c", each))
        assert found["commands"][0]["environment"] == expected
        assert bool(said({"notes": found["workers"]}, "PUBSUB_EMULATOR_HOST")) == (not expected)


@pytest.mark.parametrize(("more", "kind"), [({}, D), ({"strange.thing": "1"}, S)])
def test_what_overrides_counts_in_a_connector_alone(folder, more, kind):
    worker = A_WORKER | {"consumer.override.group.id": "theirs"} | more
    command = folder.connector(A_SINK, worker)
    assert "--group_id=connect-out" in flags(command)
    assert said(command, "consumer.override.group.id") == [kind]


def test_a_prefix_in_one_file_wins_over_none_in_another(folder):
    first = folder.write("1", properties(A_WORKER | {"consumer.security.protocol": "SSL"}))
    env = "CONNECT_BOOTSTRAP_SERVERS=b:1\nCONNECT_SECURITY_PROTOCOL=PLAINTEXT\n"
    files = folder.write("2.env", env), folder.write("c", A_SINK)
    for order in ([first, *files], [*files, first]):
        (command,) = folder.migrate(*order)["commands"]
        assert "--kafka_config=consumer.security.protocol=SSL" in flags(command)
        assert "PLAINTEXT" not in str(flags(command))


def test_what_a_connector_overrides_is_all_that_is_said_of(folder):
    config = A_SINK | {"consumer.override.auto.offset.reset": "earliest"}
    command = folder.connector(config, A_WORKER | {"consumer.auto.offset.reset": "latest"})
    assert "--start=earliest" in flags(command)
    assert said(command, "consumer.auto.offset.reset") == [S]


@pytest.mark.parametrize("as_file", [True, False])
def test_what_stands_without_a_prefix_is_not_the_connectors(folder, as_file):
    plain = {
        "session.timeout.ms": "10000",
        "batch.size": "5",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": PLANTED,
    }
    more = {} if as_file else {"strange.thing": "1"}
    command = folder.connector(A_SINK, A_WORKER | plain | more)
    assert any("could not log in" in note["text"] for note in command["notes"])
    for name in ("security.protocol", "sasl.jaas.config"):
        assert D in said(command, name)
    assert "session.timeout.ms" not in str(flags(command))
    assert (D in said(command, "session.timeout.ms")) == as_file
    prefixed = {f"consumer.{name}": value for name, value in plain.items()}
    command = folder.connector(A_SINK, A_WORKER | plain | prefixed | more)
    assert "could not log in" not in str(command["notes"])
    assert D not in said(command, "session.timeout.ms")


def test_records_of_aborted_transactions_are_spoken_of(folder):
    assert said(folder.connector(A_SINK), "isolation.level") == [D]
    of_worker = A_WORKER | {"consumer.isolation.level": "read_committed"}
    assert said(folder.connector(A_SINK, of_worker), "isolation.level") == []
    assert said(folder.connector(A_SOURCE), "isolation.level") == []


def test_a_producers_settings_are_a_sinks_only_with_dead_letters(folder):
    env = "CONNECT_BOOTSTRAP_SERVERS=b:1\nCONNECT_PRODUCER_COMPRESSION_TYPE=zstd\n"
    worker = folder.write("w.env", env)
    flag = "--kafka_config=producer.compression.type=zstd"
    for more, expected in (({}, False), ({"errors.deadletterqueue.topic.name": "dead"}, True)):
        files = worker, folder.write("c", A_SINK | more)
        assert (flag in flags(folder.migrate(*files)["commands"][0])) == expected


def test_connect_may_be_told_to_make_no_topics(folder):
    created = {
        "topic.creation.default.partitions": "4",
        "topic.creation.default.replication.factor": "3",
    }
    command = folder.connector(A_SOURCE | created, A_WORKER | {"topic.creation.enable": "false"})
    assert "create_topics" not in str(flags(command))
    assert said(command, "topic.creation.default.partitions") == [S]


def test_a_backslash_that_java_drops_is_named(folder):
    regex = "topics.regex=ztf_\\d{8}"
    for text, kinds in ((regex, [F]), (regex.replace("\\d", "\\\\d"), [])):
        config = properties(without(A_SINK, "topics")) + text
        files = folder.write("c", config), folder.write("w", properties(A_WORKER))
        (command,) = folder.migrate(*files)["commands"]
        assert [kind for kind in said(command, "topics.regex") if kind == F] == kinds


@pytest.mark.parametrize("here", [True, False])
def test_a_file_of_the_log_in_that_is_not_here_is_named(folder, here):
    config = A_SINK | {"consumer.override.ssl.truststore.location": "ca.p12"}
    if here:
        folder.write("ca.p12", "x")
    first = [n["text"] for n in folder.connector(config)["notes"] if n["kind"] == F]
    assert any("ca.p12 is not here: copy it" in text for text in first) != here


@pytest.mark.parametrize("name", ["security.protocol", "consumer.group.id", "bootstrap.servers"])
def test_an_empty_variable_is_as_if_it_were_not_there(folder, name):
    variable = f"CONNECT_{name.upper().replace('.', '_')}"
    env = f"CONNECT_CONSUMER_BOOTSTRAP_SERVERS=b:1\n{variable}=\n"
    found = folder.migrate(folder.write("w.env", env), folder.write("c", A_SINK))
    assert said({"notes": found["workers"]}, name) == [S]
    assert "--group_id=connect-out" in flags(found["commands"][0])


def test_a_value_that_a_shell_fills_in_stays_a_variable(folder):
    env = "CONNECT_BOOTSTRAP_SERVERS=b:1\nCONNECT_CONSUMER_CLIENT_ID=$HOSTNAME\n"
    (command,) = folder.migrate(folder.write("w", env), folder.write("c", A_SINK))["commands"]
    assert "--kafka_config=consumer.client.id=env:CONNECT_CONSUMER_CLIENT_ID" in flags(command)


def test_a_secret_that_stands_there_twice_is_asked_for_once(folder):
    env = (
        f"CONNECT_BOOTSTRAP_SERVERS=b:1\nCONNECT_SASL_JAAS_CONFIG='{PLANTED}'\n"
        f"CONNECT_CONSUMER_SASL_JAAS_CONFIG='{PLANTED}'\n"
    )
    config = A_SINK | {"errors.deadletterqueue.topic.name": "dead"}
    found = folder.migrate(folder.write("w.env", env), folder.write("c", config))
    assert said({"notes": found["workers"]}, "consumer.sasl.jaas.config") == [S]
    first = [note["settings"] for note in found["workers"] if note["kind"] == F]
    assert first == [["sasl.jaas.config"]]


def test_a_log_in_of_which_only_the_mechanism_is_there_is_named(folder):
    worker = A_WORKER | {"consumer.security.protocol": "SASL_SSL"}
    text = "who logs in is in none of these files"
    assert text in str(folder.connector(A_SINK, worker)["notes"])
    worker |= {"consumer.sasl.kerberos.keytab": "/k"}
    assert text not in str(folder.connector(A_SINK, worker)["notes"])
    jaas = folder.write("j", f"KafkaClient {{ {PLAIN_LOGIN} username=u password=p; }};")
    assert text not in str(folder.migrate(jaas, "c.json", "w.properties"))


def test_what_tls_is_restricted_to_has_no_equivalent(folder):
    worker = A_WORKER | {"consumer.ssl.enabled.protocols": "TLSv1.3"}
    assert said(folder.connector(A_SINK, worker), "consumer.ssl.enabled.protocols") == [L]


def test_two_connectors_with_secrets_of_their_own_have_two_variables(folder):
    one = A_SINK | {"consumer.override.sasl.jaas.config": PLANTED}
    files = folder.write("c", [one, one | {"name": "b-2"}]), folder.write("w", properties(A_WORKER))
    for command, name in zip(folder.migrate(*files)["commands"], ("OUT", "B_2"), strict=True):
        variable = f"env:KAFKA_{name}_CONSUMER_SASL_JAAS_CONFIG"
        assert f"--kafka_config=consumer.sasl.jaas.config={variable}" in flags(command)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("header.publish", "headers.publish"), ("maxBuffersize", "maxBufferSize")],
)
def test_a_misspelt_setting_is_said_to_be_close_to_one_that_is_known(folder, misspelt, meant):
    assert f"{meant} is known" in str(folder.connector(A_SINK | {misspelt: "true"})["notes"])


def test_a_provider_within_a_log_in_has_to_be_filled_in(folder):
    line = f'{PLAIN_LOGIN} username="u" password="${{file:/s:p}}";'
    command = folder.connector(A_SINK | {"consumer.override.sasl.jaas.config": line})
    assert "with what stands for ${...} filled in" in str(command["notes"])


# -- Pub/Sub's end ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        (
            {"gcp.credentials.file.path": "/a b.json"},
            {"GOOGLE_APPLICATION_CREDENTIALS": "/a b.json"},
        ),
        (
            {"gcp.credentials.file.path": "/a", "gcp.sa.credentials.file.path": "/b"},
            {"GOOGLE_APPLICATION_CREDENTIALS": "/b"},
        ),
        (
            {"cps.useEmulator": "true", "cps.endpoint": "localhost:8085"},
            {"PUBSUB_EMULATOR_HOST": "localhost:8085"},
        ),
        ({"cps.useEmulator": "false"}, {}),
        ({"gcp.credentials.json": f'{{"private_key": "{SECRET}"}}'}, {}),
    ],
)
def test_who_logs_in_and_where_stands_in_front_of_the_command(folder, settings, variables):
    command = folder.connector(A_SINK | settings)
    assert command["environment"] == variables
    for name in settings:
        value_is_there = settings[name] in variables.values()
        assert value_is_there or said(command, name), name


# -- nothing that is secret ------------------------------------------------------------------------

PLANTED = f'{PLAIN_LOGIN} username="u" password="{SECRET}";'


@pytest.mark.parametrize("flag", [[], ["--json"], ["--debug"]])
@pytest.mark.parametrize(
    ("config", "of_worker"),
    [
        (
            A_SINK
            | {
                "gcp.credentials.json": SECRET,
                "gcp.sa.credentials.json": SECRET,
                "consumer.override.sasl.jaas.config": PLANTED,
                "consumer.override.ssl.key.password": SECRET,
                "consumer.override.ssl.keystore.key": SECRET,
                "value.converter.basic.auth.user.info": f"u:{SECRET}",
                "transforms.a.password": SECRET,
                "my.password": SECRET,
            },
            A_WORKER
            | {
                "sasl.jaas.config": PLANTED,
                "producer.sasl.jaas.config": PLANTED,
                "ssl.keystore.password": SECRET,
                "listeners.https.ssl.key.password": SECRET,
                "sasl.oauthbearer.token.endpoint.url": f"https://u:{SECRET}@host/token",
                "config.providers.file.param.x": SECRET,
                "plugin.path": f"https://u:{SECRET}@host/plugins",
            },
        ),
        (A_SINK | {"consumer.override.sasl.jaas.config": SECRET}, A_WORKER),
        (A_SINK, A_WORKER | {"sasl.jaas.config": f"{PLAIN_LOGIN} password=my {SECRET};"}),
        (A_SINK | {"gcp.credentials.file.path": f'{{"private_key": "{SECRET}"}}'}, A_WORKER),
        (A_SINK | {"cps.endpoint": f"https://u:{SECRET}@h/"}, A_WORKER),
        (A_SINK | {"cps.endpoint": f"u:{SECRET}@h", "cps.useEmulator": "true"}, A_WORKER),
        (A_SINK, A_WORKER | {"bootstrap.servers": f"user:{SECRET}@host"}),
        (A_SOURCE | {"kafka.key.attribute": f"https://u:{SECRET}@h/"}, A_WORKER),
        (A_SINK | {"consumer.override.ssl.truststore.location": PLANTED}, A_WORKER),
        (A_SINK | {"connector.class": PLANTED}, A_WORKER),
        (A_SINK, A_WORKER | {"consumer.isolation.level": SECRET}),
        # a key that was pasted into a file without backslashes
        (A_SOURCE | {f"{SECRET}+/Ab12": "", f'"private_key": "{SECRET}"': ""}, A_WORKER),
        (A_SINK | {"consumer.override.sasl.jaas.config": f"garbage {SECRET}"}, A_WORKER),
        (A_SINK, A_WORKER | {"sasl.jaas.config": f"x.Unknown required password={SECRET};"}),
        (A_SINK, A_WORKER | {"sasl.jaas.config": PLANTED, "strange": SECRET}),
    ],
)
def test_no_secret_is_printed(folder, config, of_worker, flag):
    files = folder.write("c.json", config), folder.write("w.properties", properties(of_worker))
    _, out, err = folder.run(*flag, *files)
    assert out + err
    assert SECRET not in out + err


def test_names_and_values_cannot_add_lines_to_the_script(folder):
    evil = "\nrm -rf /\n"
    config = A_SINK | {f"x{evil}": "1", "maxBufferSize": f"1{evil}", "transforms": evil}
    files = folder.write("c.json", config), folder.write(f"w{'é'}", properties(A_WORKER))
    status, script, _ = folder.run(*files)
    assert status == 0
    assert not [line for line in script.splitlines() if line.startswith("rm")]
    status, out, err = folder.run(folder.write("c.json", A_SINK | {"name": f"a{evil}"}), files[1])
    assert (status, out) == (2, "")
    assert "control characters" in err


# -- what cannot be migrated -----------------------------------------------------------------------


def without(config: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in config.items() if name not in names}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\x7fELF\x00\x01\xff", "it is not UTF-8 text"),
        (b"name=a\x00b", "it holds zero bytes"),
        (b"#" * 1_000_001, "it is over 1,000,000 bytes"),
        ("{", "broken JSON in line 1"),
        ("[" * 100_000, "nested too deeply"),
        ('{"name": "a", "name": "b"}', "'name' stands there more than once"),
        ('["a", "b"]', "expand=info"),
        ('{"name": "\\ud800"}', "one half of a character"),
        ("name=\\ud800\n", "one half of a character"),
        ({"apiVersion": "v1", "kind": "KafkaConnect"}, "a KafkaConnector with its spec"),
        ({"a": {"status": {"name": "a"}}}, "expand=info"),
        ({"name": "a", "connector": {"state": "RUNNING"}, "tasks": []}, "expand=info"),
        ('{"a":' * 900 + "1" + "}" * 900, "'a' is no text"),
        ({"name": "a", "config": {"topics": ["x"]}}, "'topics' is no text"),
        ({"cps.project": "p"}, "connector.class is missing"),
        ("Dear admin, please migrate this.\n", "neither connector.class nor bootstrap.servers"),
        ("a=\\u12\n", "line 1"),
        ("CONNECT_A=1\nCONNECT_B={\n  x\n}\n", "the line after CONNECT_B is no NAME=VALUE"),
        ("Other { x.Krb5LoginModule required; };", "no section KafkaClient"),
    ],
)
def test_a_file_that_is_not_understood_is_named_with_the_reason(folder, content, words):
    status, out, err = folder.run(folder.write("file", content))
    assert (status, out) == (2, "")
    assert err.startswith("migrate: read file: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "of_worker", "words"),
    [
        (without(A_SINK, "cps.topic", "cps.project"), A_WORKER, "cps.project, cps.topic: missing"),
        (without(A_SINK, "name"), A_WORKER, "name (of which the group is made): missing"),
        (without(A_SOURCE, "kafka.topic"), A_WORKER, "kafka.topic: missing"),
        (A_SINK, {"key.converter": "x"}, "bootstrap.servers (give the worker's file too"),
        (without(A_SINK, "topics"), A_WORKER, "'topics' and topics.regex are missing"),
        (A_SINK | {"topics.regex": "a"}, A_WORKER, "'topics' is there beside topics.regex"),
        (A_SINK | {"topics": "a b"}, A_WORKER, "'topics' gives no --kafka_topics"),
        (A_SINK | {"cps.topic": "g"}, A_WORKER, "gives no --pubsub_topic"),
        (A_SINK | {"cps.topic": "${file:/f:t}"}, A_WORKER, "'cps.topic' is a placeholder"),
        (A_SINK | {"delayThresholdMs": "1.5"}, A_WORKER, "is not a whole number"),
        (A_SINK | {"metadata.publish": "yes"}, A_WORKER, "is neither true nor false"),
        (A_SINK | {"orderingKeySource": "x"}, A_WORKER, "gives no --ordering_key"),
        (A_SOURCE | {"kafka.partition.scheme": "x"}, A_WORKER, "is none of round_robin"),
        (A_SINK | {"topics": "", "topics.regex": "[a&&[b]]"}, A_WORKER, "is of Java's kind"),
        (A_SINK | {"topics": "", "topics.regex": r"\p{L}+"}, A_WORKER, "is of Java's kind"),
        (A_SINK | {"topics": "", "topics.regex": "("}, A_WORKER, "is of Java's kind"),
        (A_SINK | {"connector.class": "io.x.Other"}, A_WORKER, "io.x.Other is not one for Pub/Sub"),
        (
            A_SINK
            | {"connector.class": "com.google.pubsublite.kafka.sink.PubSubLiteSinkConnector"},
            A_WORKER,
            "another service",
        ),
        (
            A_SINK | {"connector.class": "io.x.CloudPubSubSinkConnector"},
            A_WORKER,
            "is not one for Pub/Sub",
        ),
    ],
)
def test_what_is_wrong_with_a_connector_is_said_in_one_line(folder, config, of_worker, words):
    files = folder.write("c.json", config), folder.write("w.properties", properties(of_worker))
    status, out, err = folder.run(*files)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"name": "odd", "config": {}},
        {"name": "odd", "config": {"connector.class": "x.Y", "topics": ["x"]}},
    ],
)
def test_an_odd_connector_among_good_ones_is_named(folder, odd):
    files = folder.write("c", [POSTED, odd]), folder.write("w", properties(A_WORKER))
    status, script, err = folder.run(*files)
    assert (status, err) == (0, "")
    assert "# c: odd: " in script
    assert "--group_id=connect-out" in script


def test_a_broken_connector_among_good_ones_is_an_error_beside_their_commands(folder):
    broken = without(A_SOURCE, "kafka.topic")
    files = folder.write("c", [A_SINK, broken]), folder.write("w", properties(A_WORKER))
    status, script, err = folder.run(*files)
    assert status == 2
    assert "--group_id=connect-out" in script
    assert err == "migrate: read c: connector 'in': kafka.topic: missing; add what is missing\n"


def test_an_error_is_one_line_whatever_a_file_has(folder):
    config = A_SINK | {"connector.class": "a\nb\x1b[2J"}
    status, out, err = folder.run(folder.write("c", config))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_another_connector_is_named_beside_those_that_are_migrated(folder):
    other = {"name": "s3", "connector.class": "io.x.S3Sink", "s3.bucket": "b"}
    files = folder.write("c.json", [A_SINK, other]), folder.write("w", properties(A_WORKER))
    status, script, _ = folder.run(*files)
    assert status == 0
    assert "# c.json: s3 is not migrated: io.x.S3Sink is not one for Pub/Sub" in script
    assert "s3.bucket" in script
    assert len(folder.migrate(*files)["not_migrated"]) == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "FILE"),
        (["nowhere"], "read nowhere: No such file"),
        (["."], "read .: Is a directory"),
        (["--nonsense", "c.json"], "--nonsense"),
        (["w.properties"], "no connector is configured"),
        (["w.properties", "c.json", "d.json"], "connector 'out' is configured twice"),
    ],
)
def test_wrong_usage_is_one_line(folder, argv, words):
    folder.write("c.json", A_SINK)
    folder.write("d.json", POSTED)
    folder.write("w.properties", properties(A_WORKER))
    status, out, err = folder.run(*argv)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_the_brokers_may_be_named_by_the_environment(folder, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "b:9092")
    assert len(folder.migrate(folder.write("c.json", A_SINK))["commands"]) == 1


def test_a_command_that_the_bridge_would_refuse_is_said_to_be_so(folder):
    config = A_SINK | {"errors.deadletterqueue.topic.name": "alerts"}
    files = folder.write("c.json", config), folder.write("w", properties(A_WORKER))
    _, script, _ = folder.run(*files)
    assert (
        "#   the bridge refuses the command as it stands: --dead_letter: alerts is what" in script
    )


# -- --check ---------------------------------------------------------------------------------------


FOUND = {
    "kafka_to_ps": {
        "source": {
            "topics": {"alerts": 2},
            "committed_partitions": 1,
            "group_id": "connect-out",
            "start": "earliest",
            "max_message_bytes": 1,
            "offsets_to_read": 3,
            "members": 0,
        },
        "destination": {"pubsub_topic": "t", "max_message_bytes": 1},
        "dead_letter": "",
        "notes": ["as seen"],
    },
}


@pytest.fixture
def preflight_runs(monkeypatch):
    """What preflight was run with; it finds FOUND, or fails where a status is set."""
    ran = {"argv": [], "environ": [], "names": [], "statuses": [], "found": FOUND["kafka_to_ps"]}

    def main(argv, name):
        ran["argv"].append(argv)
        ran["names"].append(name)
        ran["environ"].append(dict(os.environ))
        status = ran["statuses"].pop(0) if ran["statuses"] else 0
        if not status:
            print(json.dumps(ran["found"]))
        return status

    monkeypatch.setattr(preflight, "main", main)
    return ran


def test_check_runs_preflight_with_each_command(folder, preflight_runs, monkeypatch):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    other = A_SINK | {"name": "other", "gcp.credentials.file.path": "/key.json"}
    files = (
        folder.write("c.json", [A_SINK, other]),
        folder.write("w", properties(A_WORKER)),
    )
    preflight_runs["statuses"] = [2, 0]
    status, script, _ = folder.run("--check", *files)
    assert status == 2
    assert preflight_runs["names"] == ["migrate: check out", "migrate: check other"]
    commands = folder.migrate(*files)["commands"]
    assert preflight_runs["argv"] == [[*flags(each), "--json"] for each in commands]
    keys = [e.get("GOOGLE_APPLICATION_CREDENTIALS") for e in preflight_runs["environ"]]
    assert keys == [None, "/key.json"]
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ
    assert "# out: the check failed" in script
    assert "# other: the check\n" in script
    assert "1 of 2 partitions committed" in script
    assert "#   as seen\n" in script


def test_check_leaves_out_what_would_change_something(folder, preflight_runs):
    preflight_runs["statuses"] = [2]
    created = {
        "topic.creation.default.partitions": "4",
        "topic.creation.default.replication.factor": "3",
    }
    files = folder.write("c", A_SOURCE | created), folder.write("w", properties(A_WORKER))
    _, script, _ = folder.run("--check", *files)
    assert "--create_topics=4:3" in script
    assert "--create_topics=4:3" not in preflight_runs["argv"][0]


def test_check_has_the_variables_that_the_files_have(folder, preflight_runs, monkeypatch):
    monkeypatch.delenv("CONNECT_CONSUMER_SASL_JAAS_CONFIG", raising=False)
    env = f"CONNECT_BOOTSTRAP_SERVERS=b:1\nCONNECT_CONSUMER_SASL_JAAS_CONFIG='{PLANTED}'\n"
    files = folder.write("w.env", env), folder.write("c", A_SINK)
    status, out, err = folder.run("--check", *files)
    assert (status, err) == (0, "")
    assert SECRET not in out
    assert preflight_runs["environ"][0]["CONNECT_CONSUMER_SASL_JAAS_CONFIG"] == PLANTED
    assert "CONNECT_CONSUMER_SASL_JAAS_CONFIG" not in os.environ


def test_check_says_that_the_connector_is_running_still(folder, preflight_runs):
    source = preflight_runs["found"]["source"] | {"members": 1}
    preflight_runs["found"] = preflight_runs["found"] | {"source": source}
    files = folder.write("c", A_SINK), folder.write("w", properties(A_WORKER))
    status, script, _ = folder.run("--check", *files)
    assert status == 0
    assert "the group has members: stop the connector" in script


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"committed_partitions": 0}, "the group has committed nothing"),
        ({"committed_partitions": 0, "topics": {}}, "there is no such topic"),
    ],
)
def test_check_fails_where_the_bridge_would_not_go_on(folder, preflight_runs, wrong, words):
    source = preflight_runs["found"]["source"] | wrong
    preflight_runs["found"] = preflight_runs["found"] | {"source": source}
    files = folder.write("c", A_SINK), folder.write("w", properties(A_WORKER))
    status, script, err = folder.run("--check", *files)
    assert status == 2
    assert words in script
    assert err.startswith(f"migrate: check out: {words}")


def test_check_puts_what_preflight_found_into_the_json(folder, preflight_runs):
    files = folder.write("c.json", A_SINK), folder.write("w", properties(A_WORKER))
    _, out, _ = folder.run("--json", "--check", *files)
    assert json.loads(out)["commands"][0]["preflight"] == preflight_runs["found"]
