"""Certificates and keys: every form is read, and what is wrong with a file is said."""

from __future__ import annotations

import base64

import pytest
from certificates import PASSWORD, Certificates

from transforms.errors import UsageError
from transforms.kafka.login.tls import tls


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client(made):
    return made.client("alice")


def text(path):
    with open(path) as file:
        return file.read()


def test_every_form_of_a_trust_store_trusts_the_same(made, monkeypatch):
    monkeypatch.setenv("CA", text(made.ca))
    monkeypatch.setenv("STORE", base64.b64encode(made.truststore.read_bytes()).decode())
    password = {"ssl.truststore.password": PASSWORD}
    forms = [
        {"ssl.ca.location": str(made.ca)},
        {"ssl.ca.location": "env:CA"},
        {"ssl.ca.pem": text(made.ca)},
        {"ssl.truststore.location": str(made.ca)},
        {"ssl.truststore.location": str(made.truststore), **password},
        {"ssl.truststore.location": "env:STORE", **password},
    ]
    trusted = [text(tls(form).ca) for form in forms]
    assert trusted == [trusted[0]] * len(forms)
    assert trusted[0].count("BEGIN CERTIFICATE") == 1


def test_every_form_of_a_key_store_is_the_same_client(client, monkeypatch):
    monkeypatch.setenv("KEY", text(client.key))
    key_password = {"ssl.key.password": PASSWORD}
    chain = {"ssl.certificate.location": str(client.chain)}
    forms = [
        {**chain, "ssl.key.location": str(client.key)},
        {**chain, "ssl.key.location": "env:KEY"},
        {**chain, "ssl.key.location": str(client.encrypted_key), **key_password},
        {"ssl.certificate.pem": text(client.chain), "ssl.key.pem": text(client.key)},
        {"ssl.keystore.location": str(client.pem)},
        {"ssl.keystore.location": str(client.encrypted_pem), **key_password},
        {"ssl.keystore.location": str(client.p12), "ssl.keystore.password": PASSWORD},
    ]
    made = [tls(form) for form in forms]
    assert {(text(found.certificate), text(found.key)) for found in made} == {
        (text(made[0].certificate), text(made[0].key))
    }
    assert text(made[0].certificate).count("BEGIN CERTIFICATE") == 2
    made[0].context()


def test_without_a_word_the_system_is_trusted_and_the_name_checked():
    found = tls({})
    assert found == (None, None, None, None, True)
    assert found.context().check_hostname
    assert not tls({"ssl.endpoint.identification.algorithm": ""}).context().check_hostname


def test_only_whom_the_user_names_is_trusted(made):
    assert len(tls({"ssl.ca.location": str(made.ca)}).context().get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        ({"ssl.ca.location": "/no/such"}, "ssl.ca.location: cannot read /no/such: No such file"),
        ({"ssl.ca.location": "{key}"}, "use ssl.ca.location: no certificate in PEM form in it"),
        (
            {"ssl.truststore.location": "{jks}"},
            "is a JKS store, which only Java reads; convert it: keytool -importkeystore "
            "-srckeystore {jks} -destkeystore {stem}.p12 -deststoretype PKCS12",
        ),
        (
            {"ssl.truststore.location": "{truststore}", "ssl.truststore.password": "hunter2"},
            "{truststore} does not open; check ssl.truststore.password",
        ),
        ({"ssl.keystore.location": "{truststore}"}, "check ssl.keystore.password"),
        ({"ssl.keystore.location": "{ca}"}, "it has no private key in it, only certificates"),
        ({"ssl.truststore.location": "{other}"}, "{other} is neither PEM nor PKCS#12"),
        ({"ssl.certificate.location": "{chain}"}, "ssl.key.location is missing"),
        ({"ssl.key.location": "{key}"}, "ssl.certificate.location is missing"),
        (
            {"ssl.certificate.location": "{chain}", "ssl.key.location": "{encrypted_key}"},
            "the key is encrypted; give ssl.key.password",
        ),
        (
            {
                "ssl.certificate.location": "{chain}",
                "ssl.key.location": "{encrypted_key}",
                "ssl.key.password": "hunter2",
            },
            "ssl.key.password does not open it",
        ),
        ({"ssl.keystore.location": "{expired}"}, "this client's own certificate has expired on"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(made, client, tmp_path, properties, complaint):
    other = tmp_path / "other"
    other.write_bytes(b"hunter2")
    paths = {
        **client._asdict(),
        "ca": made.ca,
        "truststore": made.truststore,
        "jks": made.jks,
        "stem": made.jks.stem,
        "other": other,
        "expired": made.client("late", expired=True).pem,
    }
    given = {name: value.format(**paths) for name, value in properties.items()}
    with pytest.raises(UsageError) as caught:
        tls(given)
    assert complaint.format(**paths) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_key_of_another_certificate_is_said(made, client):
    other = made.client("bob")
    found = tls({"ssl.certificate.location": str(client.chain), "ssl.key.location": str(other.key)})
    with pytest.raises(UsageError, match=r"key values mismatch; do the two belong together\?"):
        found.context()
