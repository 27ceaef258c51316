"""Client properties: reading, checking, translating, and the choice of the client."""

from __future__ import annotations

import re

import pytest

from transforms.errors import UsageError
from transforms.kafka import clients, config
from transforms.kafka.clients import choose_client
from transforms.kafka.config import (
    OWNED,
    PROPERTIES,
    for_kafka_python,
    for_librdkafka,
    parse_properties_file,
    validate,
)


def read(tmp_path, text):
    file = tmp_path / "client.properties"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return parse_properties_file(str(file))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ("a = b ", {"a": "b "}),
        ("a:b\nc d\ne", {"a": "b", "c": "d", "e": ""}),
        ("a == b", {"a": "= b"}),
        ("# no\n  ! no\n\n \t\na=#b", {"a": "#b"}),
        ("a=b\\\n   c\\\n\td\r\ne=f\rg=h", {"a": "bcd", "e": "f", "g": "h"}),
        ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
        ("a=b\\\n# c", {"a": "b# c"}),
        ("a=b\\", {"a": "b"}),
        ("a\\=b\\ c=d", {"a=b c": "d"}),
        ("a=\\t\\n\\u00e9\\q\\\\", {"a": "\t\né" + "q\\"}),
        ("a=é", {"a": "é"}),
        ("a=1\na=2", {"a": "2"}),
        ("ssl.ca.location=C:\\\\ca.pem", {"ssl.ca.location": "C:\\ca.pem"}),
    ],
)
def test_properties_files_are_read_as_java_reads_them(tmp_path, text, expected):
    assert read(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a=b\nc=\\u12", r"line 2: \\u needs four hexadecimal digits"),
        (b"a=\xff", "it is not UTF-8"),
    ],
)
def test_a_broken_properties_file_is_named(tmp_path, text, complaint):
    with pytest.raises(UsageError, match=rf"client\.properties: {complaint}"):
        read(tmp_path, text)


def test_a_missing_properties_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere: No such file or directory"):
        parse_properties_file(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        (
            {"fetch.min.byte": "1"},
            "unknown property 'fetch.min.byte', did you mean 'fetch.min.bytes'?",
        ),
        ({"fetch.wait.max.ms": "1"}, "did you mean 'fetch.max.wait.ms'?"),
        ({"zzz": "1"}, "unknown property 'zzz'"),
        ({"group.id": "g"}, "'group.id' cannot be set: use --group_id"),
        ({"linger.ms": "1"}, "'linger.ms' cannot be set: use --linger_ms"),
        ({"bootstrap.servers": "h"}, "use --bootstrap_servers"),
        ({"fetch.min.bytes": "-1"}, "'fetch.min.bytes': expected a whole number, got '-1'"),
        ({"check.crcs": "yes"}, "'check.crcs': expected true or false, got 'yes'"),
        ({"security.protocol": "TLS"}, "expected one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"compression.type": "rar"}, "expected one of none, gzip, snappy, lz4, zstd"),
        ({"ssl.endpoint.identification.algorithm": "no"}, "expected https, or nothing"),
        ({"zzz": "1", "acks": "1"}, "; 'acks' cannot be set: "),
    ],
)
def test_every_property_that_cannot_be_used_is_named(properties, complaint):
    with pytest.raises(UsageError, match=re.escape(complaint)):
        validate(properties)


def test_what_is_right_is_returned_without_blanks():
    given = {" client.id ": " me ", "compression.type": "LZ4", "ssl.key.password": "p w"}
    expected = {"client.id": "me", "compression.type": "LZ4", "ssl.key.password": "p w"}
    assert validate(given) == expected


ALL = {
    "client.id": "me",
    "client.rack": "r1",
    "request.timeout.ms": "5000",
    "security.protocol": "sasl_ssl",
    "sasl.mechanism": "scram-sha-256",
    "sasl.username": "u",
    "sasl.password": "p",
    "ssl.ca.location": "/ca.pem",
    "ssl.endpoint.identification.algorithm": "",
    "fetch.max.wait.ms": "50",
    "isolation.level": "READ_UNCOMMITTED",
    "check.crcs": "FALSE",
    "compression.type": "none",
    "batch.size": "1000",
}


def test_librdkafka_gets_its_own_names():
    shared = {
        "client.id": "me",
        "socket.timeout.ms": "5000",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "u",
        "sasl.password": "p",
        "ssl.ca.location": "/ca.pem",
        "ssl.endpoint.identification.algorithm": "none",
    }
    assert for_librdkafka(ALL, "admin") == shared
    assert for_librdkafka(ALL, "producer") == {
        **shared,
        "compression.type": "none",
        "batch.size": "1000",
    }
    assert for_librdkafka(ALL, "consumer") == {
        **shared,
        "client.rack": "r1",
        "fetch.wait.max.ms": "50",
        "isolation.level": "read_uncommitted",
        "check.crcs": "false",
    }


def test_kafka_python_gets_its_own_names_and_types():
    shared = {
        "client_id": "me",
        "request_timeout_ms": 5000,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
        "ssl_cafile": "/ca.pem",
        "ssl_check_hostname": False,
    }
    assert for_kafka_python(ALL, "admin") == shared
    assert for_kafka_python(ALL, "producer") == {
        **shared,
        "compression_type": None,
        "batch_size": 1000,
    }
    assert for_kafka_python(ALL, "consumer") == {
        **shared,
        "client_rack": "r1",
        "fetch_max_wait_ms": 50,
        "isolation_level": "read_uncommitted",
        "check_crcs": False,
    }


SAMPLES = {
    "client.dns.lookup": "use_all_dns_ips",
    "compression.type": "gzip",
    "isolation.level": "read_committed",
    "sasl.mechanism": "PLAIN",
    "security.protocol": "PLAINTEXT",
    "ssl.endpoint.identification.algorithm": "https",
    "check.crcs": "true",
}
"""A value for every property that takes no number and no text of one's own."""


@pytest.mark.parametrize("entry", PROPERTIES, ids=lambda entry: entry.name)
def test_both_clients_know_every_property_in_each_of_its_roles(entry):
    import confluent_kafka
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

    classes = {"consumer": KafkaConsumer, "producer": KafkaProducer, "admin": KafkaAdminClient}
    number = entry.convert is config._number
    value = SAMPLES.get(entry.name, "2000" if number else "text")
    if entry.name.endswith(".location"):
        value = ""  # librdkafka opens the file
    properties = {entry.name: value}
    for role in entry.roles:
        assert set(for_kafka_python(properties, role)) <= set(classes[role].DEFAULT_CONFIG)
        if role == "consumer":
            extra = {"group.id": "g", "bootstrap.servers": "127.0.0.1:1", "log_level": 0}
            confluent_kafka.Consumer({**extra, **for_librdkafka(properties, role)}).close()
        elif role == "producer":
            extra = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
            confluent_kafka.Producer({**extra, **for_librdkafka(properties, role)}).purge()


def test_no_name_stands_twice():
    names = [entry.name for entry in PROPERTIES]
    assert len(set(names)) == len(names)
    assert not set(names) & set(OWNED)
    assert list(OWNED) == sorted(OWNED)


def test_secrets_stay_out_of_messages():
    assert {entry.name for entry in PROPERTIES if entry.secret} == {
        "sasl.password",
        "ssl.key.password",
    }


@pytest.mark.parametrize(
    ("requested", "mechanism", "installed", "expected"),
    [
        ("auto", "", True, ("librdkafka", "the faster one")),
        ("auto", "", False, ("kafka-python", "confluent-kafka is not installed")),
        ("auto", "PLAIN", True, ("librdkafka", "the faster one")),
        ("auto", "gssapi", True, ("kafka-python", "confluent-kafka's wheels come without")),
        ("librdkafka", "", True, ("librdkafka", "asked for")),
        ("kafka-python", "", True, ("kafka-python", "asked for")),
        ("kafka-python", "GSSAPI", False, ("kafka-python", "asked for")),
    ],
)
def test_the_client_is_chosen_with_a_reason(monkeypatch, requested, mechanism, installed, expected):
    monkeypatch.setattr(clients, "has_librdkafka", lambda: installed)
    properties = {"sasl.mechanism": mechanism} if mechanism else {}
    client, reason = choose_client(requested, properties)
    assert client == expected[0]
    assert reason.startswith(expected[1])


@pytest.mark.parametrize(("mechanism", "installed"), [("GSSAPI", True), ("PLAIN", False)])
def test_asking_for_librdkafka_where_it_cannot_be_is_a_usage_error(
    monkeypatch, mechanism, installed
):
    monkeypatch.setattr(clients, "has_librdkafka", lambda: installed)
    with pytest.raises(UsageError, match="use --kafka_client=auto or kafka-python"):
        choose_client("librdkafka", {"sasl.mechanism": mechanism})
