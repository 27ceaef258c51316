"""Tokens for OAUTHBEARER, from a real endpoint on this machine."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest
from certificates import Certificates
from token_endpoint import TokenEndpoint

from transforms.errors import UnavailableError, UsageError
from transforms.kafka.librdkafka import login as librdkafka_login
from transforms.kafka.login import Login, oauth


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def endpoint(certificates):
    with TokenEndpoint({"alice": "hunter2", "bob": "b"}, certificates.server) as running:
        yield running


def client(url, client_id="alice", secret="hunter2", ca=None):
    return oauth.Tokens(url, client_id, secret, "kafka", ca)


def test_a_token_is_used_until_most_of_its_life_is_over(endpoint, monkeypatch):
    before, tokens = endpoint.count("alice"), client(endpoint.url)
    first = tokens.token()
    assert first.ends_at_s > time.time()
    assert tokens.token() is first
    assert endpoint.count("alice") == before + 1
    life_s = first.ends_at_s - time.time()
    monkeypatch.setattr(oauth.time, "time", lambda now=time.time: now() + 0.85 * life_s)
    assert tokens.token() is not first
    assert endpoint.count("alice") == before + 2


def test_the_same_properties_share_their_tokens(endpoint):
    properties = {
        "sasl.oauthbearer.token.endpoint.url": endpoint.url,
        "sasl.oauthbearer.client.id": "bob",
        "sasl.oauthbearer.client.secret": "b",
        "sasl.oauthbearer.extensions": "logicalCluster=1, pool = 2",
    }
    tokens = oauth.tokens(properties)
    assert oauth.tokens(dict(properties)) is tokens
    assert tokens.extensions == {"logicalCluster": "1", "pool": "2"}
    del properties["sasl.oauthbearer.client.secret"]
    with pytest.raises(UsageError, match=r"OAUTHBEARER: sasl.oauthbearer.client.secret missing"):
        oauth.tokens(properties)


def test_a_wrong_secret_is_named_and_not_shown(endpoint):
    with pytest.raises(UsageError, match=r"answers 401 invalid_client.*client.secret") as caught:
        client(endpoint.url, secret="not-hunter2").token()
    assert "hunter2" not in str(caught.value)


def test_an_endpoint_that_is_away_or_stumbles_is_named(endpoint):
    with pytest.raises(UnavailableError, match=r"/token: no answer \(.*Connection refused"):
        client("http://127.0.0.1:1/token").token()
    endpoint.fail(30)
    try:
        with pytest.raises(UnavailableError, match=r"it answers 503"):
            client(endpoint.url).token()
    finally:
        endpoint.fail(0)
    assert client(endpoint.url).token()


def test_the_last_token_is_used_while_the_endpoint_is_away(endpoint, monkeypatch, caplog):
    tokens = client(endpoint.url)
    last = tokens.token()
    life_s = last.ends_at_s - time.time()
    endpoint.fail(30)
    try:
        monkeypatch.setattr(oauth.time, "time", lambda now=time.time: now() + 0.85 * life_s)
        assert tokens.token() is last
        assert "the last token is good until it ends" in caplog.text
        monkeypatch.setattr(oauth.time, "time", lambda: last.ends_at_s - 0.5)
        with pytest.raises(UnavailableError):
            tokens.token()
    finally:
        endpoint.fail(0)


def test_an_endpoint_that_hangs_is_given_up(endpoint, monkeypatch):
    monkeypatch.setattr(oauth, "_TIMEOUT_S", 0.2)
    endpoint.hang()
    try:
        with pytest.raises(UnavailableError, match="no answer"):
            client(endpoint.url).token()
    finally:
        endpoint.resume()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"access_token": "opaque"}, "no token with its life"),
        ({"access_token": "a.b.c"}, "no token with its life"),
        ({"expires_in": 60}, "no token with its life"),
        ([], "no token with its life"),
        ({"access_token": "t", "expires_in": "soon"}, "no token with its life"),
        ({"access_token": "t", "expires_in": 0}, "its life is 0 s"),
        ({"access_token": "t", "expires_in": -5}, "its life is -5 s"),
        ({"access_token": "t", "expires_in": 1e12}, r"its life is 1e\+12 s"),
    ],
)
def test_a_token_without_a_life_that_makes_sense_is_named(endpoint, monkeypatch, answer, says):
    monkeypatch.setattr(endpoint, "answer", lambda *_: (200, answer))
    with pytest.raises(UsageError, match=says):
        client(endpoint.url).token()


def test_librdkafka_gets_the_last_token_for_a_moment_where_there_is_no_new_one(endpoint, caplog):
    ask = librdkafka_login.settings(Login("SASL_SSL", oauth=client(endpoint.url)))["oauth_cb"]
    text, ends_at_s, _, _ = ask("")
    ask.tokens = client("http://127.0.0.1:1/token")
    again, soon_s, _, extensions = ask("")
    assert (again, extensions) == (text, {})
    assert soon_s < time.time() + 10 < ends_at_s
    assert "no answer" in caplog.text


def test_an_endpoint_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr(oauth, "_IN_ALL_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        with pytest.raises(UnavailableError, match=r"no answer within 0\.5 s"):
            client(f"http://127.0.0.1:{server.getsockname()[1]}/token").token()


def test_an_answer_that_breaks_off_is_none():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def begin():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(10_000):
                    pass

        threading.Thread(target=begin, daemon=True).start()
        with pytest.raises(UnavailableError, match=r"no answer \(.*99 more expected\)\);"):
            client(f"http://127.0.0.1:{server.getsockname()[1]}/token").token()


def test_what_is_no_token_endpoint_is_said(endpoint):
    with pytest.raises(UsageError, match=r"answers 404"):
        client(endpoint.url.replace("/token", "/nothing")).token()


def test_the_endpoints_certificate_is_verified(endpoint, certificates):
    with pytest.raises(UsageError, match=r"not trusted .*name its CA with https.ca.location"):
        client(endpoint.https_url).token()
    assert client(endpoint.https_url, ca=str(certificates.ca)).token()
