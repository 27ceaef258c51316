"""Which permission is missing, and what its document says."""

from __future__ import annotations

import re
from pathlib import Path

import google.api_core.exceptions as api
import pytest
from google.auth import exceptions as auth

from transforms.pubsub.client import access
from transforms.pubsub.client.common import explain
from transforms.pubsub.client.credentials import why
from transforms.pubsub.service import DEFAULT, Service

PAGE = Path(__file__).parents[2] / "docs" / "pubsub_access.md"
TOPIC, SUBSCRIPTION = "projects/p/topics/ttt", "projects/p/subscriptions/sss"


@pytest.fixture(autouse=True)
def no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)


@pytest.mark.parametrize(
    ("operation", "name", "says"),
    [
        ("publish", TOPIC, "permission pubsub.topics.publish is .* roles/pubsub.publisher on the"),
        ("pull", SUBSCRIPTION, "pubsub.subscriptions.consume is .*subscriber on the subscription$"),
        ("acknowledge", SUBSCRIPTION, "pubsub.subscriptions.consume is missing"),
        ("check", TOPIC, "pubsub.topics.get is missing .* roles/pubsub.viewer on the topic$"),
        ("check", "projects/p/snapshots/sss", "pubsub.snapshots.get is .* on the snapshot$"),
        ("delete", SUBSCRIPTION, "subscriptions.delete is .* roles/pubsub.editor on the project$"),
    ],
)
def test_what_is_not_allowed_is_a_permission_and_a_role_by_name(operation, name, says) -> None:
    error = api.PermissionDenied("User not authorized to perform this action.")
    line = explain(operation, name, error, DEFAULT)
    assert line.startswith(f"{operation} {name}: permission")
    assert re.search(says, line)


def test_an_api_that_is_not_enabled_is_not_taken_for_a_missing_permission() -> None:
    info = type("Info", (), {"reason": "SERVICE_DISABLED", "domain": "", "metadata": {}})()
    error = api.PermissionDenied("Pub/Sub API has not been used in project 1", error_info=info)
    assert explain("publish", TOPIC, error, DEFAULT).endswith("has not been used in project 1")


@pytest.mark.parametrize(
    ("error", "service", "says"),
    [
        (api.ServiceUnavailable("x"), DEFAULT, "com:443 does not answer .x.; check the network$"),
        (api.DeadlineExceeded("x"), Service("eu:443"), "eu:443 does not .* and --pubsub_endpoint$"),
        (api.MethodNotImplemented("x"), Service("eu:443"), "eu:443 is no .*--pubsub_endpoint$"),
        (
            api.ServiceUnavailable("Getting metadata from plugin failed with error: it is old; go"),
            DEFAULT,
            "publish projects/p/topics/ttt: no access token: it is old; go$",
        ),
    ],
)
def test_what_does_not_answer_is_named_with_what_chose_it(error, service, says) -> None:
    assert re.search(says, explain("publish", TOPIC, error, service))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            auth.RefreshError("invalid_grant: Bad Request", {"assertion": "SECRET"}),
            "^invalid_grant: Bad Request; log in again",
        ),
        (
            auth.RefreshError(
                "Unable to acquire impersonated credentials", '{"error": {"message": "No."}}'
            ),
            "^cannot act as a@p: No; grant roles/iam.serviceAccountTokenCreator",
        ),
        (
            auth.RefreshError("Unable to acquire impersonated credentials", "<html>SECRET"),
            "^cannot act as a@p: Unable to acquire impersonated credentials; grant",
        ),
        (auth.TransportError("no route"), "^no route; check the network"),
        (auth.RefreshError("internal_failure: None", retryable=True), "^internal_failure; check"),
    ],
)
def test_why_there_is_no_token_is_said_without_what_was_sent(error, says) -> None:
    line = why(error, "a@p")
    assert re.search(says, line)
    assert "SECRET" not in line


def test_the_page_names_each_permission_with_the_role_that_preflight_names() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    named = {p for row in rows for p in re.findall(r"pubsub\.\w+\.\w+", row)}
    made_by_tests = {"pubsub.topics.create"}
    assert named == set(access.ROLES) - made_by_tests
    for row in rows:
        for permission in re.findall(r"pubsub\.\w+\.\w+", row):
            assert access.ROLES[permission] in row, row
