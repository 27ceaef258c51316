"""What the benchmark's peers are told to do, and what stands before the connector's emulator."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.systems import benthos, connector
from benchmarks.systems.benthos import Benthos
from benchmarks.systems.connector import Connector
from benchmarks.systems.jobs import MAX_IN_FLIGHT_BYTES, Job
from benchmarks.systems.tls_front import ACCOUNT, CLOUD, TRUSTSTORE, Ports
from pipelines.local import cache
from transforms.errors import PreflightError

PORTS = Ports(tls=1111, http=2222)


@pytest.fixture
def job(tmp_path) -> Job:
    return Job(
        "kafka_to_ps",
        "127.0.0.1:9092",
        "127.0.0.1:8085",
        "alerts",
        "projects/p/topics/t",
        "projects/p/subscriptions/s",
        "group",
        tmp_path,
    )


# -- the connector ---------------------------------------------------------------------------------


def test_a_connector_to_pubsub_commits_as_the_jobs_group_with_all_metadata(job):
    properties = connector.connector(job, PORTS)
    expected = {
        "topics": "alerts",
        "cps.project": "p",
        "cps.topic": "t",
        "cps.endpoint": "localhost:1111",
        "consumer.override.group.id": "group",
        "maxBufferSize": "1000",
        "maxOutstandingRequestBytes": str(MAX_IN_FLIGHT_BYTES),
        "metadata.publish": "true",
        "headers.publish": "true",
    }
    assert expected.items() <= properties.items()
    bare = connector.connector(replace(job, attributes="none"), PORTS)
    assert bare["metadata.publish"] == bare["headers.publish"] == "false"


def test_a_connector_to_kafka_pulls_the_subscription_a_thousand_at_a_time(job):
    properties = connector.connector(replace(job, direction="ps_to_kafka"), PORTS)
    expected = {
        "kafka.topic": "alerts",
        "cps.project": "p",
        "cps.subscription": "s",
        "cps.maxBatchSize": "1000",
        "kafka.record.headers": "true",
    }
    assert expected.items() <= properties.items()
    assert "topics" not in properties


def test_the_connector_asks_our_proxy_for_everything_that_is_not_here(job):
    command = connector.command(job, PORTS, [Path("one.jar"), Path("two.jar")], ["-Xmx1g"])
    for scheme in ("http", "https"):
        assert f"-D{scheme}.proxyHost=127.0.0.1" in command
        assert f"-D{scheme}.proxyPort=2222" in command
    assert "-Dhttp.nonProxyHosts=localhost|127.*" in command
    assert "one.jar:two.jar" in command


def test_a_jar_that_cannot_be_had_makes_the_connector_absent(monkeypatch):
    def refuse(*_, **__):
        raise PreflightError("download: refused")

    monkeypatch.setattr(connector.jars, "kafka_jars", refuse)
    assert Connector().absent() == "download: refused"


# -- Benthos ---------------------------------------------------------------------------------------


def test_benthos_to_pubsub_commits_once_a_second_as_the_jobs_group(job):
    config = benthos.config(job)
    source, sink = config["input"]["kafka_franz"], config["output"]["gcp_pubsub"]
    assert source["seed_brokers"] == ["127.0.0.1:9092"]
    assert source["topics"] == ["alerts"]
    assert source["consumer_group"] == "group"
    assert source["commit_period"] == "1s"
    assert (sink["project"], sink["topic"]) == ("p", "t")
    assert sink["count_threshold"] == source["batching"]["count"] == 1000
    assert sink["flow_control"]["max_outstanding_bytes"] == MAX_IN_FLIGHT_BYTES
    assert "metadata" not in sink  # by default all are attributes
    bare = benthos.config(replace(job, attributes="none"))
    assert bare["output"]["gcp_pubsub"]["metadata"] == {"exclude_prefixes": [""]}


def test_benthos_to_kafka_makes_headers_of_attributes(job):
    config = benthos.config(replace(job, direction="ps_to_kafka"))
    source, sink = config["input"]["gcp_pubsub"], config["output"]["kafka_franz"]
    assert (source["project"], source["subscription"]) == ("p", "s")
    assert (sink["seed_brokers"], sink["topic"]) == (["127.0.0.1:9092"], "alerts")
    assert sink["metadata"] == {"include_prefixes": [""]}
    bare = benthos.config(replace(job, direction="ps_to_kafka", attributes="none"))
    assert "metadata" not in bare["output"]["kafka_franz"]


def test_without_go_benthos_is_absent_and_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(benthos, "_USUAL_GO", str(tmp_path / "go"))
    monkeypatch.setenv("PATH", str(tmp_path))
    why = Benthos().absent()
    assert "no go on the PATH" in why
    assert "install Go" in why
    assert "\n" not in why


def test_peers_name_their_versions():
    assert Benthos().describe()["github.com/benthosdev/benthos/v4"] == "4.27.0"
    assert Connector().describe()["pubsub-group-kafka-connector"] == "1.3.3"


# -- what stands before the emulator ---------------------------------------------------------------


@pytest.fixture
def echo():
    """Sends back what comes, in plain text."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    while data := client.recv(65536):
                        client.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def front(echo, tmp_path):
    """The process, and its ports."""
    command = [sys.executable, "-m", "benchmarks.systems.tls_front", echo, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            yield process, Ports(**json.loads(process.stdout.readline()))
        finally:
            process.kill()


def say_over_tls(plain: socket.socket, name: str, folder: Path) -> bytes:
    """Proves who is there, and returns what comes back for 200 kB."""
    context = ssl.create_default_context(cafile=folder / "front.pem")
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(plain, server_hostname=name) as secure:
        assert secure.selected_alpn_protocol() == "h2"
        came = b""
        for sent in range(10_000, 200_001, 10_000):  # no buffer on the way fills
            secure.sendall(b"x" * 10_000)
            while len(came) < sent:
                came += secure.recv(65536)
        return came


def ask_proxy(port: int, host: str) -> tuple[socket.socket, bytes]:
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return client, client.recv(4096)


def test_the_front_is_localhost_and_pubsub_in_the_cloud_over_tls(front, tmp_path):
    _, ports = front
    direct = socket.create_connection(("127.0.0.1", ports.tls), 10)
    assert say_over_tls(direct, "localhost", tmp_path) == b"x" * 200_000
    tunnel, answer = ask_proxy(ports.http, f"{CLOUD}:443")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert say_over_tls(tunnel, CLOUD, tmp_path) == b"x" * 200_000
    assert (tmp_path / TRUSTSTORE).exists()


@pytest.mark.parametrize("host", ["oauth2.googleapis.com:443", "pubsub.googleapis.com:80"])
def test_the_proxy_refuses_whatever_is_not_pubsub(front, host):
    client, answer = ask_proxy(front[1].http, host)
    with closing(client):
        assert answer.startswith(b"HTTP/1.1 403 ")


def test_the_made_up_account_gets_its_tokens_from_the_front(front, tmp_path):
    uri = json.loads((tmp_path / ACCOUNT).read_text())["token_uri"]
    assert uri == f"http://127.0.0.1:{front[1].http}/token"
    with urllib.request.urlopen(uri, data=b"grant_type=x", timeout=10) as answer:
        assert json.load(answer)["access_token"]


def test_the_front_ends_with_whoever_holds_its_standard_input(front):
    process, _ = front
    process.stdin.close()
    assert process.wait(10) == 0
