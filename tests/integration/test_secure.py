"""Log-ins that work carry messages both ways; those that do not are named, before anything is read.

A real broker with TLS, mutual TLS and every mechanism of SASL, a real Kerberos realm, and a token
endpoint; the bridge reads the same files as Java's clients.
"""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from certificates import PASSWORD
from ends import ROOT, Kafka, until
from secure_servers import AWKWARD, BRIDGE, LOGINS, PASSWORDS, STRANGER, keystore

from pipelines import kafka_to_ps, ps_to_kafka
from pipelines.console import cli as console
from transforms.records import KafkaRecord, PubsubRecord

RUN_S = 180
"""Three lives of a ticket."""

LIMIT_S = 10.0
"""Within this a bridge that cannot log in has ended."""

CLIENTS = ("librdkafka", "kafka-python")
CARRIED = [
    (listener, mechanism)
    for listener, mechanism in LOGINS
    if listener in ("TLS", "MTLS", "SASL_SSL")
    or (listener, mechanism) == ("SASL_PLAINTEXT", "GSSAPI")
]


def client_file(folder: Path, properties: dict[str, str], name: str = "client.properties") -> str:
    """Writes properties as Java writes them; returns the flag that names the file."""
    escaped = {key: value.replace("\\", "\\\\") for key, value in properties.items()}
    path = folder / name
    path.write_text("".join(f"{key}={value}\n" for key, value in escaped.items()))
    return f"--kafka_properties={path}"


@pytest.fixture(scope="module")
def plain(secure):
    """The broker's topics, past every log-in."""
    ends = Kafka(secure.bootstrap("PLAINTEXT"))
    yield ends
    ends.close()


def to_kafka(secure, listener, topic, subscription, *flags):
    return [
        f"--bootstrap_servers={secure.bootstrap(listener)}",
        f"--kafka_topic={topic}",
        f"--subscription={subscription}",
        *flags,
    ]


def to_pubsub(secure, listener, topic, pubsub_topic, *flags):
    return [
        f"--bootstrap_servers={secure.bootstrap(listener)}",
        f"--kafka_topics={topic}",
        f"--group_id=group-{topic}",
        f"--pubsub_topic={pubsub_topic}",
        *flags,
    ]


# -- a run that outlives its tickets, beside all tests of this file --------------------------------


def test_both_bridges_log_in_with_tickets_of_a_minute(long_run, secure):
    until(lambda: secure.kdc.logins(long_run.renewed), "a log-in with the keytab")
    until(lambda: secure.kdc.service_tickets(long_run.cached), "a log-in with the ticket cache")
    assert all(bridge.process.poll() is None for bridge in long_run.bridges)


# -- what works ------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("listener", "mechanism"), CARRIED)
def test_messages_go_both_ways_with_every_log_in(
    secure, plain, pubsub, unique, tmp_path, listener, mechanism, client
):
    if (mechanism, client) == ("GSSAPI", "librdkafka"):
        client = "auto"
    topic = plain.create(unique)
    source, subscription = pubsub.create(unique)
    returned, arrived = pubsub.create(f"{unique}-returned")
    pubsub.send(source, [PubsubRecord(b"%d" % n) for n in range(3)])
    flags = [
        client_file(tmp_path, secure.properties(listener, mechanism)),
        f"--kafka_config=https.ca.location={secure.certificates.ca}",
        f"--kafka_client={client}",
        "--max_messages=3",
        "--max_seconds=60",
    ]
    assert ps_to_kafka.main(to_kafka(secure, listener, topic, subscription, *flags)) == 0
    assert kafka_to_ps.main(to_pubsub(secure, listener, topic, returned, *flags)) == 0
    assert sorted(m.data for m in pubsub.receive(arrived, 3)) == [b"0", b"1", b"2"]
    assert plain.committed(f"group-{topic}") == 3


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("listener", "mechanism"), CARRIED)
def test_the_console_shows_a_topic_with_every_log_in(
    secure, plain, unique, tmp_path, capfd, listener, mechanism, client
):
    if (mechanism, client) == ("GSSAPI", "librdkafka"):
        client = "auto"
    plain.send([KafkaRecord(plain.create(unique), value=b"shown")])
    login = client_file(tmp_path, secure.properties(listener, mechanism))
    servers = f"--bootstrap_servers={secure.bootstrap(listener)}"
    flags = [servers, f"--kafka_topics={unique}", f"--kafka_client={client}", login]
    assert console.main(flags) == 0
    assert "\n  shown\n" in capfd.readouterr().out


def test_a_password_of_any_characters_logs_in(secure, plain, pubsub, unique, tmp_path):
    topic = plain.create(unique)
    source, subscription = pubsub.create(unique)
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"):
        pubsub.send(source, [PubsubRecord(b"x")])
        file = client_file(tmp_path, secure.properties("SASL_PLAINTEXT", mechanism, AWKWARD))
        argv = to_kafka(secure, "SASL_PLAINTEXT", topic, subscription, file, "--max_messages=1")
        assert ps_to_kafka.main([*argv, "--max_seconds=60"]) == 0, mechanism
    assert plain.size(topic) == 3


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_cannot_be_used_is_passed_over(
    secure, plain, pubsub, unique, tmp_path, client
):
    topic = plain.create(unique)
    source, subscription = pubsub.create(unique)
    pubsub.send(source, [PubsubRecord(b"x")])
    file = client_file(tmp_path, secure.properties("TLS"))
    servers = f"{secure.bootstrap('TLS_EXPIRED')},{secure.bootstrap('TLS')}"
    argv = to_kafka(secure, "TLS", topic, subscription, file, f"--bootstrap_servers={servers}")
    flags = [f"--kafka_client={client}", "--max_messages=1", "--max_seconds=60"]
    assert ps_to_kafka.main([*argv, *flags]) == 0
    assert plain.size(topic) == 1


def test_every_setting_may_be_a_reference(secure, plain, pubsub, unique, tmp_path, monkeypatch):
    topic = plain.create(unique)
    source, subscription = pubsub.create(unique)
    keytab = base64.b64encode(secure.keytabs[BRIDGE].read_bytes()).decode()
    monkeypatch.setenv("KEYTAB", keytab)
    monkeypatch.setenv("CA", secure.certificates.ca.read_text())
    monkeypatch.setenv("STORE", base64.b64encode(secure.clients[BRIDGE].p12.read_bytes()).decode())
    (tmp_path / "password").write_text(PASSWORDS[BRIDGE] + "\n")
    (tmp_path / "store-password").write_text(PASSWORD)
    ca = {"security.protocol": "SASL_SSL", "ssl.ca.location": "env:CA"}
    logins = {
        "SASL_SSL": [
            {
                **ca,
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": BRIDGE,
                "sasl.password": f"file:{tmp_path}/password",
            },
            {
                **ca,
                "sasl.mechanism": "GSSAPI",
                "sasl.kerberos.principal": secure.kdc.principal(BRIDGE),
                "sasl.kerberos.keytab": "env:KEYTAB",
            },
        ],
        "MTLS": [
            {
                **ca,
                "security.protocol": "SSL",
                "ssl.keystore.location": "env:STORE",
                "ssl.keystore.password": f"file:{tmp_path}/store-password",
            }
        ],
    }
    for listener, all_properties in logins.items():
        for properties in all_properties:
            pubsub.send(source, [PubsubRecord(b"x")])
            flags = [f"--kafka_config={name}={value}" for name, value in properties.items()]
            argv = to_kafka(secure, listener, topic, subscription, *flags, "--max_messages=1")
            assert ps_to_kafka.main([*argv, "--max_seconds=60"]) == 0, properties
    assert plain.size(topic) == 3


# -- what does not ---------------------------------------------------------------------------------


class Wrong:
    """One thing that is wrong with a log-in that is right otherwise.

    Args:
      says: a regular expression of what the last line has in it.
      change: from the servers and right properties to wrong ones.
    """

    def __init__(self, listener, mechanism, says, change=lambda secure, right: right, host=""):
        self.listener, self.mechanism, self.says = listener, mechanism, says
        self.change, self.host = change, host


def wrong_secret(mechanism):
    def change(secure, right):
        return {**right, **secure.login(mechanism, password="planted-secret")}

    return change


def with_(**properties):
    named = {name.replace("_", "."): value for name, value in properties.items()}
    return lambda secure, right: {**right, **named}


def without(*names):
    return lambda secure, right: {n: v for n, v in right.items() if not n.startswith(names)}


def client_certificate(**how):
    return lambda secure, right: {**right, **keystore(secure.certificates.client(BRIDGE, **how))}


def untrusted(secure, right):
    return {**right, "ssl.truststore.location": str(secure.certificates.untrusted_ca)}


def expired_ticket(secure, right):
    cache = secure.certificates.ca.with_name("expired-cache")
    secure.kdc.kinit(BRIDGE, cache, secure.keytabs[BRIDGE], life_s=1)
    klist = ["klist", "-s", "-c", str(cache)]
    until(lambda: subprocess.run(klist, timeout=LIMIT_S).returncode, "the end of a ticket of 1 s")
    module = f'com.sun.security.auth.module.Krb5LoginModule required ticketCache="{cache}";'
    return {**right, "sasl.jaas.config": module}


def stale_keytab(secure, right):
    keytab = secure.kdc.add(f"{BRIDGE}/stale")
    old = keytab.with_name("old.keytab")
    old.write_bytes(keytab.read_bytes())
    secure.kdc.add(f"{BRIDGE}/stale")
    return {
        **right,
        "sasl.jaas.config": "com.sun.security.auth.module.Krb5LoginModule required "
        f'keyTab="{old}" principal="{secure.kdc.principal(f"{BRIDGE}/stale")}";',
    }


def other_principal(secure, right):
    module = right["sasl.jaas.config"].replace(secure.kdc.principal(BRIDGE), "nobody@NOWHERE")
    return {**right, "sasl.jaas.config": module}


def jks(secure, right):
    return {**right, "ssl.truststore.location": str(secure.certificates.jks)}


PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
NO_LOGIN = f'{PLAIN_MODULE} required username="u" password="planted-secret";'

WRONG = {
    "a wrong password, PLAIN": Wrong(
        "SASL_SSL", "PLAIN", "log in to .*Invalid username or password", wrong_secret("PLAIN")
    ),
    "a wrong password, SCRAM-SHA-256": Wrong(
        "SASL_PLAINTEXT", "SCRAM-SHA-256", "invalid credentials", wrong_secret("SCRAM-SHA-256")
    ),
    "a wrong password, SCRAM-SHA-512": Wrong(
        "SASL_SSL", "SCRAM-SHA-512", "invalid credentials", wrong_secret("SCRAM-SHA-512")
    ),
    "a wrong client secret": Wrong(
        "SASL_SSL", "OAUTHBEARER", "401 invalid_client", wrong_secret("OAUTHBEARER")
    ),
    "a keytab with an old key": Wrong(
        "SASL_PLAINTEXT", "GSSAPI", "the keytab does not fit the KDC any more", stale_keytab
    ),
    "a keytab of somebody else": Wrong(
        "SASL_PLAINTEXT", "GSSAPI", "has no key of nobody@NOWHERE", other_principal
    ),
    "a ticket that has expired": Wrong(
        "SASL_PLAINTEXT", "GSSAPI", "expired; run kinit, or use a keytab", expired_ticket
    ),
    "a wrong service name": Wrong(
        "SASL_SSL",
        "GSSAPI",
        "check sasl.kerberos.service.name",
        with_(sasl_kerberos_service_name="nobody"),
    ),
    "a host without a principal": Wrong(
        "SASL_PLAINTEXT", "GSSAPI", "kafka/127.0.0.1.*the brokers' own names", host="127.0.0.1"
    ),
    "a broker's certificate that has expired": Wrong(
        "TLS_EXPIRED", "", "its certificate has expired"
    ),
    "a broker's certificate for another host": Wrong(
        "TLS_WRONG_HOST", "", "its certificate is for another host .*'localhost'"
    ),
    "a broker's certificate from another CA": Wrong(
        "TLS", "", "its certificate is from another CA", untrusted
    ),
    "a broker's certificate from nobody": Wrong(
        "SASL_SSL", "PLAIN", "from nobody whom this system trusts", without("ssl.")
    ),
    "a client's certificate that has expired": Wrong(
        "MTLS", "", "this client's own certificate has expired", client_certificate(expired=True)
    ),
    "a client's certificate from another CA": Wrong(
        "MTLS", "", "does not accept this client's certificate", client_certificate(trusted=False)
    ),
    "no client's certificate": Wrong(
        "MTLS", "", "wants a certificate of this client", without("ssl.key")
    ),
    "plain text at a TLS port": Wrong(
        "TLS", "", "it speaks TLS, and not plain text", with_(security_protocol="PLAINTEXT")
    ),
    "a log-in in plain text at a TLS port": Wrong(
        "SASL_SSL", "PLAIN", "it speaks TLS", with_(security_protocol="SASL_PLAINTEXT")
    ),
    "TLS at a port of plain text": Wrong(
        "PLAINTEXT", "", "it speaks plain text, and not TLS", with_(security_protocol="SSL")
    ),
    "no log-in where one is wanted": Wrong(
        "SASL_PLAINTEXT",
        "PLAIN",
        "it wants a log-in; .*which it offers .*GSSAPI",
        with_(security_protocol="PLAINTEXT"),
    ),
    "a log-in where none is wanted": Wrong(
        "PLAINTEXT",
        "",
        "it takes no log-in with SASL; set security.protocol=PLAINTEXT",
        with_(security_protocol="SASL_PLAINTEXT", sasl_jaas_config=NO_LOGIN),
    ),
    "a Java key store": Wrong("TLS", "", "keytool -importkeystore", jks),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_log_in_is_named(secure, plain, pubsub, unique, tmp_path, capfd, what):
    wrong = WRONG[what]
    topic = plain.create(unique)
    source, subscription = pubsub.create(unique)
    right = secure.properties(wrong.listener, wrong.mechanism)
    file = client_file(tmp_path, wrong.change(secure, right))
    for main, flags in (
        (ps_to_kafka.main, to_kafka(secure, wrong.listener, topic, subscription, file)),
        (kafka_to_ps.main, to_pubsub(secure, wrong.listener, topic, source, file)),
    ):
        if wrong.host:
            flags[0] = flags[0].replace("localhost", wrong.host)
        for client in CLIENTS if wrong.mechanism != "GSSAPI" else ("auto",):
            capfd.readouterr()
            assert main([*flags, f"--kafka_client={client}"]) == 2
            shown = capfd.readouterr()
            [line] = [text for text in shown.err.splitlines() if " INFO " not in text]
            assert re.search(wrong.says, line), line
            for secret in ("planted-secret", *PASSWORDS.values(), PASSWORD):
                assert secret not in shown.out + shown.err


@pytest.mark.parametrize(
    ("mechanism", "says"),
    [("GSSAPI", "no KDC answers within 3 s"), ("OAUTHBEARER", "get a token from .* no answer")],
)
def test_whoever_gives_tickets_or_tokens_and_is_silent_is_named_in_time(
    secure, plain, pubsub, unique, tmp_path, mechanism, says
):
    plain.create(unique)
    topic, _ = pubsub.create(unique)
    file = client_file(tmp_path, secure.properties("SASL_PLAINTEXT", mechanism))
    argv = to_pubsub(secure, "SASL_PLAINTEXT", unique, topic, file)
    # The realm itself goes on: the run beside these tests needs it.
    with socket.create_server(("localhost", 0)) as nobody:
        kdc = f"kdc = localhost:{nobody.getsockname()[1]}"
        config = tmp_path / "krb5.conf"
        config.write_text(re.sub(r"kdc = .*", kdc, secure.kdc.config.read_text()))
        secure.tokens.hang()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pipelines.kafka_to_ps", *argv],
                cwd=ROOT,
                env={**os.environ, "KRB5_CONFIG": str(config)},
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        finally:
            secure.tokens.resume()
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert re.search(says, line)


# -- ACLs ------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(secure, tmp_path):
    """The flag that logs in a user whom nothing is allowed but by the test."""
    yield client_file(tmp_path, secure.properties("SASL_SSL", "SCRAM-SHA-512", STRANGER))
    secure.kafka.withdraw(STRANGER)


def test_what_a_user_lacks_to_read_is_named_until_nothing_is(
    secure, plain, pubsub, unique, capfd, stranger
):
    plain.create(unique)
    topic, _ = pubsub.create(unique)
    argv = to_pubsub(secure, "SASL_SSL", unique, topic, stranger, "--max_seconds=1")
    for says, kind, name, operation in (
        (rf"describe topic {unique}.*allow Describe", "topic", unique, "describe"),
        (rf"read {unique}: this user may not READ.*--operation Read", "topic", unique, "read"),
        (rf"join group group-{unique}: this user may not READ.*--group", "group", "group-", "read"),
    ):
        assert kafka_to_ps.main(argv) == 2
        assert re.search(says, capfd.readouterr().err), says
        secure.kafka.allow(STRANGER, kind, name, operation, prefixed=name.endswith("-"))
    assert kafka_to_ps.main(argv) == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_the_console_needs_no_right_but_to_read_the_topic(
    secure, plain, unique, capfd, stranger, client
):
    plain.send([KafkaRecord(plain.create(unique), value=b"shown")])
    servers = f"--bootstrap_servers={secure.bootstrap('SASL_SSL')}"
    flags = [servers, f"--kafka_topics={unique}", f"--kafka_client={client}", stranger]
    assert console.main(flags) == 2
    assert re.search(rf"describe topic {unique}.*allow Describe", capfd.readouterr().err)
    secure.kafka.allow(STRANGER, "topic", unique, "read")
    assert console.main(flags) == 0
    assert "\n  shown\n" in capfd.readouterr().out
    assert console.main([*flags, "--start=earliest"]) == 0
    assert "\n  shown\n" in capfd.readouterr().out


def test_what_a_user_lacks_to_write_is_named_until_nothing_is(
    secure, plain, pubsub, unique, capfd, stranger
):
    plain.create(unique, max_message_bytes="3000000")
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"x" * 2_000_000)])
    argv = to_kafka(secure, "SASL_SSL", unique, subscription, stranger, "--max_messages=1")
    for says, operation in (
        (rf"describe topic {unique}.*allow Describe", "describe"),
        (rf"write {unique}: this user may not WRITE.*--operation Write", "write"),
    ):
        assert ps_to_kafka.main(argv) == 2
        assert re.search(says, capfd.readouterr().err), says
        secure.kafka.allow(STRANGER, "topic", unique, operation)
    assert ps_to_kafka.main(argv) == 0
    [record] = plain.receive(unique, 1)
    assert len(record.value or b"") == 2_000_000


# -- in the middle of a run ------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_a_token_endpoint_that_is_away_degrades_a_run_and_ends_it_not(
    secure, plain, pubsub, unique, tmp_path, run_bridge, client
):
    plain.create(unique)
    topic, subscription = pubsub.create(unique)
    plain.send([KafkaRecord(unique, value=b"before")])
    file = client_file(tmp_path, secure.properties("REAUTH", "OAUTHBEARER"))
    argv = to_pubsub(secure, "REAUTH", unique, topic, file, f"--kafka_client={client}")
    secure.tokens.lifetime_s = 8.0
    try:
        bridge = run_bridge("kafka_to_ps", *argv)
        pubsub.receive(subscription, 1)
        secure.tokens.fail(60)
        until(lambda: "degraded (source)" in bridge.output, "trouble")
        secure.tokens.fail(0)
        plain.send([KafkaRecord(unique, value=b"after")])
        [message] = pubsub.receive(subscription, 1)
    finally:
        secure.tokens.lifetime_s = 3600.0
        secure.tokens.fail(0)
    assert message.data == b"after"
    assert bridge.stop()["delivered"] == 2
    assert "get a token from" in bridge.output


# -- the end of the run that was begun first -------------------------------------------------------


@pytest.mark.timeout(RUN_S + 120)
def test_tickets_of_60_s_are_renewed_in_a_run_of_3_minutes(long_run, secure):
    until(lambda: time.monotonic() > long_run.began_s + RUN_S, "3 minutes", RUN_S + 30)
    reports = long_run.finish()
    assert secure.kdc.logins(long_run.renewed) >= 3
    assert secure.kdc.renewals(long_run.cached) >= 2
    assert sorted({int(message.data) for message in long_run.messages}) == [*range(long_run.sent)]
    assert long_run.sent > RUN_S
    for report in reports:
        assert report["delivered"] == report["read"] >= long_run.sent
        assert report["degraded_seconds"] == 0
