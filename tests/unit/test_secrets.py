"""Secrets by reference: each kind is resolved, named when it cannot be, and never shown."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent import futures

import google.api_core.exceptions as api
import grpc
import pytest
from google.cloud import secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from transforms import secret_manager, secrets
from transforms.errors import UsageError
from transforms.kafka.login import files

NAME = "projects/p/secrets/s/versions/latest"


def test_a_variable_and_a_file_are_resolved(monkeypatch, tmp_path):
    monkeypatch.setenv("PASSWORD", "hunter2")
    assert secrets.resolve("sasl.password", "env:PASSWORD") == "hunter2"
    file = tmp_path / "password"
    file.write_bytes(b" hunter2 \r\n")
    assert secrets.resolve("sasl.password", f"file:{file}") == " hunter2 "
    assert secrets.resolve_bytes("sasl.password", f"file:{file}") == b" hunter2 \r\n"


def test_bytes_stand_in_a_variable_as_base64(monkeypatch, tmp_path):
    monkeypatch.setenv("KEYTAB", "BQI=\n")
    assert secrets.resolve_binary("k", "env:KEYTAB") == b"\x05\x02"
    (tmp_path / "keytab").write_bytes(b"\x05\x02")
    assert secrets.resolve_binary("k", f"file:{tmp_path}/keytab") == b"\x05\x02"
    monkeypatch.setenv("KEYTAB", "hunter2!")
    with pytest.raises(UsageError, match=r"k: the value of env:KEYTAB is not base64") as caught:
        secrets.resolve_binary("k", "env:KEYTAB")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("env:NOT_SET", "sasl.password: the environment variable NOT_SET is not set"),
        ("file:/no/such", "sasl.password: cannot read /no/such: No such file or directory"),
        ("file:/dev/zero", "sasl.password: /dev/zero is not a regular file"),
        ("held:0123", "sasl.password: it is known only to the process that read it"),
    ],
)
def test_what_cannot_be_had_is_named(reference, complaint):
    with pytest.raises(UsageError) as caught:
        secrets.resolve("sasl.password", reference)
    assert str(caught.value).startswith(complaint)


def test_a_file_of_an_odd_size_is_named(tmp_path):
    for content, says in ((b"", "is empty"), (b"x" * 1_000_001, "is larger than 1000000 bytes")):
        (tmp_path / "password").write_bytes(content)
        with pytest.raises(UsageError, match=says):
            secrets.resolve("sasl.password", f"file:{tmp_path}/password")


def test_what_is_held_is_held_once_and_says_nothing():
    reference = secrets.hold("hunter2")
    assert reference == secrets.hold("hunter2")
    assert "hunter2" not in reference
    assert secrets.resolve("x", reference) == "hunter2"
    assert secrets.shown(reference) == "a literal value"


# -- Secret Manager --------------------------------------------------------------------------------


@pytest.fixture
def manager(monkeypatch):
    """A service that has one secret, on a port of this machine, reached by Google's own client."""
    answers = {NAME: b"hunter2\n"}

    def access(request, context):
        found = secretmanager_v1.AccessSecretVersionRequest.deserialize(request)
        if found.name == "projects/p/secrets/hidden/versions/1":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        if found.name not in answers:
            context.abort(grpc.StatusCode.NOT_FOUND, "no")
        answer = secretmanager_v1.AccessSecretVersionResponse(
            name=found.name, payload={"data": answers[found.name]}
        )
        return secretmanager_v1.AccessSecretVersionResponse.serialize(answer)

    method = grpc.unary_unary_rpc_method_handler(access)
    handler = grpc.method_handlers_generic_handler(
        "google.cloud.secretmanager.v1.SecretManagerService", {"AccessSecretVersion": method}
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    transport = SecretManagerServiceGrpcTransport(channel=channel)
    client = secretmanager_v1.SecretManagerServiceClient(transport=transport)
    monkeypatch.setattr(secret_manager, "_client", lambda: client)
    yield server
    server.stop(None)


def test_a_version_in_secret_manager_is_resolved(manager):
    assert secrets.resolve("sasl.password", f"secret:{NAME}") == "hunter2"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("projects/p/secrets/none/versions/1", "does not exist, or has no such version"),
        ("projects/p/secrets/hidden/versions/1", "grant roles/secretmanager.secretAccessor"),
    ],
)
def test_a_version_that_cannot_be_had_is_named(manager, name, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        secrets.resolve("sasl.password", f"secret:{name}")
    assert str(caught.value).startswith(f"sasl.password: {name}")


def test_a_service_that_is_away_is_named(manager):
    manager.stop(None).wait()
    with pytest.raises(UsageError, match=rf"sasl\.password: read {NAME}: ") as caught:
        secrets.resolve("sasl.password", f"secret:{NAME}")
    assert isinstance(caught.value.__cause__, api.GoogleAPICallError)


# -- files -----------------------------------------------------------------------------------------

_WRITES = """
import os, sys
from transforms.kafka.login import files
print(files.keep(b"hunter2"))
if sys.argv[1] == "killed":
    sys.stdout.flush()
    os.kill(os.getpid(), 9)
"""


def _written(how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _WRITES, how], capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


def test_a_secret_file_is_the_owners_alone_and_goes_with_the_process():
    path = files.keep(b"hunter2")
    assert files.keep(b"hunter2") == path
    with open(path, "rb") as file:
        assert file.read() == b"hunter2"
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    left = _written("ends")
    assert left
    assert not os.path.exists(left)


def test_what_a_killed_process_left_behind_is_taken_away_by_the_next():
    left = _written("killed")
    assert os.path.exists(left)
    _written("ends")
    assert not os.path.exists(left)


def test_the_files_of_a_living_process_stay_and_come_again_when_somebody_removed_them():
    path = files.keep(b"hunter2")
    _written("ends")
    assert os.path.exists(path)
    shutil.rmtree(os.path.dirname(path))
    with open(files.keep(b"hunter2"), "rb") as file:
        assert file.read() == b"hunter2"
