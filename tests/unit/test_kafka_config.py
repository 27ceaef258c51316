"""Client properties: reading, checking, translating, and the choice of the client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from transforms import secrets
from transforms.errors import UsageError
from transforms.kafka import clients, config, config_files
from transforms.kafka.clients import choose_client
from transforms.kafka.config import for_kafka_python, for_librdkafka
from transforms.kafka.properties_file import parse_properties
from transforms.kafka.property_table import (
    ALIASES,
    BY_NAME,
    LOGIN,
    OWNED,
    PROPERTIES,
    REFUSED,
    is_meaningless,
    number,
    number_or_default,
)

NUMBERS = (number, number_or_default)
CONNECT = Path(__file__).parents[1] / "data" / "connect"


@pytest.fixture
def file(tmp_path):
    """Writes a file of properties, and returns its path."""

    def write(content: str | bytes, name: str = "client.properties") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def from_flags(**flags):
    return config_files.read([], {name.replace("_", "."): value for name, value in flags.items()})


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
def test_properties_files_are_read_as_java_reads_them(text, expected):
    assert parse_properties(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a=b\nc=\\u12", r"line 2: \\u needs four hexadecimal digits"),
        (b"a=\xff", "it is not UTF-8"),
    ],
)
def test_a_broken_properties_file_is_named(file, text, complaint):
    with pytest.raises(UsageError, match=rf"client\.properties: {complaint}"):
        config_files.read([file(text)])


def test_a_missing_properties_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere: No such file or directory"):
        config_files.read([str(tmp_path / "nowhere")])


# -- files that users have -------------------------------------------------------------------------

KERBEROS = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "GSSAPI",
    "sasl.kerberos.service.name": "kafka",
}
KEYTAB = {
    "sasl.kerberos.keytab": "/etc/bridge/reader.user.keytab",
    "sasl.kerberos.principal": "reader@KAFKA.SECURE",
}


def test_a_consumers_file_and_its_jaas_file_work_as_they_are():
    files = [str(CONNECT / name) for name in ("consumer.properties", "kafka_client_jaas.conf")]
    found = config_files.read(files)
    plain = {**KERBEROS, **KEYTAB, "session.timeout.ms": "10000"}
    assert config.opened(found.properties, "consumer") == plain
    assert found.flags == {
        "bootstrap.servers": "broker.example.org:9094",
        "group.id": "alerts-reader",
        "auto.offset.reset": "earliest",
    }
    [note] = found.notes
    assert note.endswith("left out; of no use here: sasl.kerberos.kinit.cmd")


def test_a_connect_workers_file_works_as_it_is():
    found = config_files.read([str(CONNECT / "psconnect-worker.properties")])
    for role in ("consumer", "producer", "admin"):
        assert config.opened(found.properties, role, "producer") == {**KERBEROS, **KEYTAB}
    assert config_files.of_flag(found, "auto.offset.reset", "consumer") == "earliest"
    assert config_files.of_flag(found, "auto.offset.reset", "producer") is None
    [note] = found.notes
    assert note.endswith(
        "plugin.path, key.converter, value.converter, offset.storage.file.filename"
    )


def test_the_group_of_connects_workers_is_not_the_bridges(file):
    text = "group.id=connect-cluster\nconsumer.group.id=mine\noffset.storage.topic=connect-offsets"
    found = config_files.read([file(text)])
    assert config_files.of_flag(found, "group.id", "consumer") == "mine"
    assert config_files.of_flag(found, "group.id", "producer") is None
    assert "of no use here: group.id" in found.notes[0]


def test_a_connectors_file_is_told_where_it_belongs():
    with pytest.raises(UsageError, match=r"python -m pipelines\.migrate .*ps-sink"):
        config_files.read([str(CONNECT / "ps-sink-connector.properties")])


def test_later_files_win_and_flags_win_over_what_is_for_one_role(file):
    first = file("client.id=one\nfetch.min.bytes=1\nconsumer.client.id=reader", "a.properties")
    second = file("client.id=two", "b.properties")
    found = config_files.read([first, second], {"fetch.min.bytes": "7"})
    assert config.in_role(found.properties, "consumer")["client.id"] == "reader"
    assert config.in_role(found.properties, "producer") == {
        "client.id": "two",
        "fetch.min.bytes": "7",
    }
    found = config_files.read([first, second], {"client.id": "flag"})
    assert config.in_role(found.properties, "consumer")["client.id"] == "flag"


def test_a_flag_mends_what_a_file_must_not_say(file):
    text = "consumer.enable.auto.commit=true"
    with pytest.raises(UsageError, match=r"under way; remove it$"):
        config_files.read([file(text)])
    assert config_files.read([file(text)], {"enable.auto.commit": "false"}).properties == {}


def test_a_byte_order_mark_is_no_part_of_a_name(file):
    assert config_files.read([file(b"\xef\xbb\xbfclient.id=me")]).properties == {"client.id": "me"}


def test_what_one_role_is_told_of_the_log_in_holds_for_those_that_are_told_nothing(file):
    text = "consumer.security.protocol=SSL\nconsumer.client.rack=r"
    found = config_files.read([file(text)]).properties
    for main in ("consumer", "producer"):
        assert config.in_role(found, "producer", main) == {"security.protocol": "SSL"}
        assert config.in_role(found, "consumer", main)["client.rack"] == "r"


def test_administration_is_done_as_the_user_who_moves_the_data(file):
    text = "consumer.sasl.username=reader\nproducer.sasl.username=writer\nproducer.ssl.key.pem=k"
    found = config_files.read([file(text)]).properties
    assert config.in_role(found, "admin", "consumer") == {"sasl.username": "reader"}
    assert config.in_role(found, "admin", "producer")["sasl.username"] == "writer"
    found = config_files.read([file(f"sasl.username=worker\n{text}")]).properties
    assert config.in_role(found, "admin", "consumer") == {"sasl.username": "reader"}
    found = config_files.read([file(f"admin.sasl.username=root\n{text}")]).properties
    assert config.in_role(found, "admin", "consumer") == {"sasl.username": "root"}


def test_a_connectors_overrides_are_for_their_role(file):
    found = config_files.read([file("consumer.override.fetch.min.bytes=5")]).properties
    assert config.in_role(found, "consumer") == {"fetch.min.bytes": "5"}
    assert config.in_role(found, "producer") == {}


def test_what_the_bridge_sets_by_itself_is_left_out_of_a_file_with_a_note(file):
    found = config_files.read([file("linger.ms=5\nacks=all\nmax.poll.records=10\nclient.id=me")])
    assert found.properties == {"client.id": "me"}
    [note] = found.notes
    assert note.endswith(
        "left out; set by the bridge: linger.ms (use --linger_ms), max.poll.records (the bridge "
        "sets it per poll)"
    )


# -- checking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        (
            {"fetch.min.byte": "1"},
            "unknown property 'fetch.min.byte', did you mean 'fetch.min.bytes'?",
        ),
        ({"fetch.wait.max.ms": "1"}, "did you mean 'fetch.max.wait.ms'?"),
        ({"zzz": "1"}, "unknown property 'zzz'"),
        ({"consumer.zzz": "1"}, "unknown property 'consumer.zzz'"),
        ({"group.id": "g"}, "'group.id' cannot be set: use --group_id"),
        ({"linger.ms": "1"}, "'linger.ms' cannot be set: use --linger_ms"),
        ({"bootstrap.servers": "h"}, "use --bootstrap_servers"),
        ({"metadata.broker.list": "h"}, "use --bootstrap_servers"),
        ({"fetch.min.bytes": "-1"}, "'fetch.min.bytes': expected a whole number, got '-1'"),
        ({"check.crcs": "yes"}, "'check.crcs': expected true or false, got 'yes'"),
        ({"security.protocol": "TLS"}, "expected one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"compression.type": "rar"}, "expected one of none, gzip, snappy, lz4, zstd"),
        ({"ssl.endpoint.identification.algorithm": "no"}, "expected https, or nothing"),
        ({"sasl.oauthbearer.token.endpoint.url": "x"}, "expected https://HOST/PATH, got 'x'"),
        ({"enable.auto.commit": "true"}, "cannot be 'true': offsets are committed once"),
        ({"consumer.enable.auto.commit": "true"}, "would lose what was under way"),
        ({"acks": "1"}, "'acks' cannot be '1': the bridge always waits for all replicas"),
        ({"enable.ssl.certificate.verification": "false"}, "certificate is always verified"),
        ({"sasl.login.callback.handler.class": "my.Handler"}, "runs no Java classes"),
        ({"sasl.username": "env:"}, "expected env:NAME"),
        ({"sasl.username": "env:A B"}, "expected env:NAME"),
        ({"sasl.password": "secret:s"}, "expected secret:projects/P/secrets/S/versions/V"),
        ({"sasl.username": "${file:/x:y}"}, "is for Java's config providers; use env:NAME"),
        ({"zzz": "1", "acks": "1"}, "; 'acks' cannot be "),
    ],
)
def test_every_property_that_cannot_be_used_is_named(properties, complaint):
    with pytest.raises(UsageError, match=re.escape(complaint)):
        config_files.read([], properties)


OF_OTHERS = """
default.api.timeout.ms max.block.ms retry.backoff.max.ms metadata.recovery.strategy sasl.login.class
socket.connection.setup.timeout.max.ms exclude.internal.topics compression.zstd.level
ssl.client.auth partitioner.ignore.keys
sasl.oauthbearer.jwks.endpoint.url sasl.oauthbearer.sub.claim.name debug
schema.registry.url basic.auth.user.info rebalance.timeout.ms topic.tracking.enable log_level
admin.listeners.https.ssl.key.password listeners.https.ssl.key.password socket.keepalive.enable
broker.address.family statistics.interval.ms queue.buffering.max.ms queued.min.messages
"""


def test_what_a_users_file_has_for_other_programs_is_left_out_with_one_note(file):
    found = config_files.read([file("\n".join(f"{name}=x" for name in OF_OTHERS.split()))])
    assert found.properties == {}
    [note] = found.notes
    assert all(name in note for name in OF_OTHERS.split())


def test_minus_one_is_the_clients_own_default():
    properties = {"receive.buffer.bytes": "-1", "send.buffer.bytes": "-1"}
    found = config_files.read([], properties).properties
    assert set(for_kafka_python(found, "admin").values()) == {None}
    assert set(for_librdkafka(found, "admin").values()) == {"0"}


def test_what_says_what_the_bridge_does_anyway_is_no_harm():
    handler = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"
    found = config_files.read(
        [],
        {
            "enable.auto.commit": "FALSE",
            "acks": "all",
            "sasl.login.callback.handler.class": handler,
            "ssl.protocol": "TLSv1.3",
        },
    )
    assert found.properties == {}


def test_what_is_right_is_returned_without_blanks():
    found = config_files.read([], {" client.id ": " me ", "sasl.mechanisms": "PLAIN"})
    assert found.properties == {"client.id": "me", "sasl.mechanism": "PLAIN"}


# -- secrets ---------------------------------------------------------------------------------------

SECRETS = [name for name, entry in LOGIN.items() if entry.secret and name != "sasl.jaas.config"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_of_a_file_is_held_and_not_carried(file, name):
    found = config_files.read([file(f"{name}=hunter2")])
    assert "hunter2" not in repr(found)
    assert config.literal_secrets(found.properties) == [name]
    assert config.opened(found.properties, "consumer")[name] == "hunter2"


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_on_the_command_line_is_refused(name):
    with pytest.raises(UsageError, match=r"list of processes; give a reference") as caught:
        config_files.read([], {name: "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_password_in_jaas_is_held_too(file):
    line = (
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="u" password="hunter2";'
    )
    found = config_files.read([file(line)], {"sasl.mechanism": "SCRAM-SHA-512"})
    assert "hunter2" not in repr(found)
    plain = config.opened(found.properties, "consumer")
    assert (plain["sasl.username"], plain["sasl.password"]) == ("u", "hunter2")


def test_jaas_by_reference_is_taken_apart_where_it_is_used(monkeypatch):
    found = from_flags(sasl_jaas_config="env:JAAS", sasl_mechanism="PLAIN").properties
    assert found["sasl.jaas.config"] == "env:JAAS"
    monkeypatch.setenv("JAAS", 'x.PlainLoginModule required username=u password="env:PW";')
    monkeypatch.setenv("PW", "hunter2")
    plain = config.opened(found, "producer")
    assert (plain["sasl.username"], plain["sasl.password"]) == ("u", "hunter2")
    assert "sasl.jaas.config" not in plain


@pytest.mark.parametrize("prefix", ["", "consumer."])
def test_jaas_by_reference_takes_the_place_of_the_log_in_of_a_file(file, monkeypatch, prefix):
    theirs = f'{prefix}sasl.jaas.config=x.PlainLoginModule required username="u" password="p";'
    monkeypatch.setenv("JAAS", "x.PlainLoginModule required username=me password=mine;")
    found = config_files.read([file(theirs)], {"consumer.sasl.jaas.config": "env:JAAS"})
    plain = config.opened(found.properties, "consumer")
    assert (plain["sasl.username"], plain["sasl.password"]) == ("me", "mine")


def test_a_config_provider_within_jaas_is_a_variable_or_an_error(monkeypatch):
    found = from_flags(sasl_jaas_config="env:JAAS").properties
    monkeypatch.setenv("PW", "hunter2")
    monkeypatch.setenv("JAAS", 'x.PlainLoginModule required username=u password="${env:PW}";')
    assert config.opened(found, "consumer")["sasl.password"] == "hunter2"
    monkeypatch.setenv("JAAS", 'x.PlainLoginModule required username=u password="${file:/s:p}";')
    with pytest.raises(UsageError, match=r"'sasl.jaas.config': .*Java's config providers"):
        config.opened(found, "consumer")


def test_a_character_of_two_halves_is_one_and_half_of_one_is_refused(file):
    assert (
        config_files.read([file("client.id=\\ud83d\\ude00")]).properties["client.id"]
        == "\U0001f600"
    )
    with pytest.raises(UsageError, match=r"line 1: .*one half of a character"):
        config_files.read([file("client.id=\\ud83d")])


def test_kafkas_own_way_to_name_a_variable_is_a_reference(file, monkeypatch):
    found = config_files.read([file("sasl.password=${env:PW}")]).properties
    assert found == {"sasl.password": "env:PW"}
    assert not config.literal_secrets(found)


def test_a_reference_to_a_value_that_makes_no_sense_is_named(monkeypatch):
    monkeypatch.setenv("PROTOCOL", "TLS")
    found = from_flags(security_protocol="env:PROTOCOL").properties
    with pytest.raises(UsageError, match=r"use env:PROTOCOL as 'security\.protocol': expected one"):
        config.opened(found, "consumer")


def test_references_to_files_stay_for_those_who_open_them(monkeypatch):
    found = from_flags(sasl_kerberos_keytab="env:KEYTAB").properties
    assert config.opened(found, "consumer") == {"sasl.kerberos.keytab": "env:KEYTAB"}


SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


@pytest.mark.parametrize("order", [1, -1])
def test_a_mechanism_that_is_given_wins_over_what_jaas_suggests(file, order):
    files = [
        file("security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256", "client.properties"),
        file(f"KafkaClient {{ {SCRAM} required username=u password=p; }};", "jaas.conf"),
    ]
    found = config_files.read(files[::order]).properties
    assert config.mechanism(found, "consumer") == "SCRAM-SHA-256"
    assert config.opened(found, "consumer")["sasl.mechanism"] == "SCRAM-SHA-256"


@pytest.mark.parametrize(
    ("module", "mechanism", "expected"),
    [
        ("PlainLoginModule", "", "PLAIN"),
        ("Krb5LoginModule", "", "GSSAPI"),
        ("OAuthBearerLoginModule", "", "OAUTHBEARER"),
        ("ScramLoginModule", "", "SCRAM-SHA-256 or SCRAM-SHA-512; set sasl.mechanism"),
        ("ScramLoginModule", "scram-sha-512", "SCRAM-SHA-512"),
        ("Krb5LoginModule", "PLAIN", "is for GSSAPI, and sasl.mechanism is PLAIN"),
    ],
)
def test_a_login_module_and_a_mechanism_have_to_fit(file, module, mechanism, expected):
    lines = ["security.protocol=SASL_SSL", f"consumer.sasl.jaas.config=x.{module} required;"]
    found = config_files.read([file("\n".join(lines))]).properties
    if mechanism:
        found |= {"sasl.mechanism": mechanism}
    if expected.isupper():
        assert config.mechanism(found, "consumer") == expected
        assert config.opened(found, "consumer")["sasl.mechanism"].upper() == expected
    else:
        for used in (config.mechanism, config.opened):
            with pytest.raises(UsageError, match=expected):
                used(found, "consumer")


# -- translating -----------------------------------------------------------------------------------

ALL = {
    "client.id": "me",
    "client.rack": "r1",
    "request.timeout.ms": "5000",
    "security.protocol": "sasl_ssl",
    "fetch.max.wait.ms": "50",
    "isolation.level": "READ_UNCOMMITTED",
    "check.crcs": "FALSE",
    "compression.type": "none",
    "batch.size": "1000",
}


def test_librdkafka_gets_its_own_names():
    shared = {"client.id": "me", "socket.timeout.ms": "5000"}
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
    shared = {"client_id": "me", "request_timeout_ms": 5000}
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
    "check.crcs": "true",
}
"""A value for every property that takes no number and no text of one's own."""


@pytest.mark.parametrize("entry", PROPERTIES, ids=lambda entry: entry.name)
def test_both_clients_know_every_property_in_each_of_its_roles(entry):
    import confluent_kafka
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

    classes = {"consumer": KafkaConsumer, "producer": KafkaProducer, "admin": KafkaAdminClient}
    value = SAMPLES.get(entry.name, "2000" if entry.convert in NUMBERS else "text")
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
    tables = (BY_NAME, LOGIN, OWNED, REFUSED, ALIASES)
    names = [name for table in tables for name in table]
    assert len(set(names)) == len(names)
    assert not any(map(is_meaningless, names))
    assert list(OWNED) == sorted(OWNED)
    assert list(REFUSED) == sorted(REFUSED)
    assert set(ALIASES.values()) <= {*BY_NAME, *LOGIN, "bootstrap.servers"}


@pytest.mark.parametrize(
    ("requested", "mechanism", "installed", "expected"),
    [
        ("auto", "", True, ("librdkafka", "the faster one")),
        ("auto", "", False, ("kafka-python", "confluent-kafka is not installed")),
        ("auto", "PLAIN", True, ("librdkafka", "the faster one")),
        ("auto", "GSSAPI", True, ("kafka-python", "confluent-kafka's wheels come without")),
        ("librdkafka", "", True, ("librdkafka", "asked for")),
        ("kafka-python", "", True, ("kafka-python", "asked for")),
        ("kafka-python", "GSSAPI", False, ("kafka-python", "asked for")),
    ],
)
def test_the_client_is_chosen_with_a_reason(monkeypatch, requested, mechanism, installed, expected):
    monkeypatch.setattr(clients, "has_librdkafka", lambda: installed)
    client, reason = choose_client(requested, mechanism)
    assert client == expected[0]
    assert reason.startswith(expected[1])


@pytest.mark.parametrize(("mechanism", "installed"), [("GSSAPI", True), ("PLAIN", False)])
def test_asking_for_librdkafka_where_it_cannot_be_is_a_usage_error(
    monkeypatch, mechanism, installed
):
    monkeypatch.setattr(clients, "has_librdkafka", lambda: installed)
    with pytest.raises(UsageError, match="use --kafka_client=auto or kafka-python"):
        choose_client("librdkafka", mechanism)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, ""),
        ({"sasl.mechanism": "PLAIN"}, ""),
        ({"security.protocol": "SASL_SSL"}, "GSSAPI"),
        ({"security.protocol": "sasl_ssl", "sasl.mechanism": "plain"}, "PLAIN"),
        ({"security.protocol": "SASL_SSL", "consumer.sasl.mechanism": "PLAIN"}, "PLAIN"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "env:MECHANISM"}, "OAUTHBEARER"),
    ],
)
def test_the_mechanism_is_known_before_the_client_is_chosen(monkeypatch, properties, expected):
    monkeypatch.setenv("MECHANISM", "OAUTHBEARER")
    assert config.mechanism(properties, "consumer") == expected


def test_a_literal_that_looks_like_a_reference_is_one():
    assert secrets.is_reference("env:X")
    assert not secrets.is_reference("environment:X")
