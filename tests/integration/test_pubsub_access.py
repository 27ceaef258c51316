"""Pub/Sub as the cloud has it: TLS, accounts, permissions, before the emulator that has none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import google.auth.iam
import grpc
import pytest
from ends import DEADLINE_S, PROJECT, Bridge
from google.cloud import pubsub_v1
from pubsub_front import TARGET, Front, TokenServer

from pipelines import preflight
from pipelines.audit import cli as audit
from pipelines.options import KAFKA_TO_PS, PS_TO_KAFKA, parse
from pipelines.preflight.__main__ import main as sample
from pipelines.redrive import cli as redrive
from transforms.dead_letter import DeadLetter
from transforms.dead_letters.places import Place, open_sink
from transforms.errors import DeliveryError, PreflightError
from transforms.pubsub.client import Publisher, open_admin, to_wire
from transforms.pubsub.service import Service
from transforms.pubsub.temporary import Past, temporary_subscription
from transforms.records import KafkaRecord, PubsubRecord

ROOT = Path(__file__).parents[2]
LIMIT_S = 10.0
ACT_AS = f"--impersonate_service_account={TARGET}"
DENIED = {
    "error": {
        "code": 403,
        "message": "Permission 'iam.serviceAccounts.getAccessToken' denied on resource.",
    }
}


@pytest.fixture(scope="module")
def tokens():
    with TokenServer() as server:
        yield server


@pytest.fixture(scope="module")
def key(tokens, tmp_path_factory) -> Path:
    """The key file of ACCOUNT."""
    return tokens.key_file(tmp_path_factory.mktemp("key"))


@pytest.fixture
def front(stack, tokens, tmp_path):
    tokens.answers, tokens.silent, tokens.asked = {}, False, []
    with Front(stack.pubsub_emulator_host, tmp_path) as server:
        yield server
    tokens.silent = False


@pytest.fixture
def cloud(front, tokens, key, monkeypatch):
    """Within, this process is one that reaches the front with the key of ACCOUNT."""

    @contextmanager
    def inside(credentials: Path = key):
        with monkeypatch.context() as patch:
            patch.delenv("PUBSUB_EMULATOR_HOST")
            patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
            roots = front.roots.read_bytes()
            trusting = partial(grpc.ssl_channel_credentials, roots)
            patch.setattr(grpc, "ssl_channel_credentials", trusting)
            patch.setattr(google.auth.iam, "_IAM_ENDPOINT", tokens.iam_endpoint)
            yield Service(front.address)

    return inside


@pytest.fixture
def bridge(front, key, tmp_path):
    """Starts a bridge process at the front, with the key of ACCOUNT."""
    started: list[Bridge] = []

    def start(pipeline: str, *flags: str) -> Bridge:
        env = {"PUBSUB_EMULATOR_HOST": "", "GOOGLE_APPLICATION_CREDENTIALS": str(key), **front.env}
        flags = (f"--pubsub_endpoint={front.address}", *flags)
        started.append(Bridge(pipeline, tmp_path, env, *flags))
        return started[-1]

    yield start
    for process in started:
        with process:
            pass


def ps_to_kafka(stack, name: str) -> list[str]:
    return [
        f"--bootstrap_servers={stack.bootstrap_servers}",
        f"--kafka_topic={name}",
        f"--subscription={PROJECT}/subscriptions/{name}",
    ]


def kafka_to_ps(stack, name: str) -> list[str]:
    return [
        f"--bootstrap_servers={stack.bootstrap_servers}",
        f"--kafka_topics={name}",
        f"--group_id={name}",
        f"--pubsub_topic={PROJECT}/topics/{name}",
    ]


# -- messages go through ---------------------------------------------------------------------------


@pytest.mark.parametrize("pull", ["unary", "streaming"])
def test_pubsub_to_kafka_at_an_endpoint_as_the_account_of_a_key_file(
    bridge, front, tokens, stack, kafka, pubsub, unique, pull
) -> None:
    kafka.create(unique)
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"%d" % n) for n in range(5)])
    run = bridge("ps_to_kafka", *ps_to_kafka(stack, unique), f"--pull={pull}", "--idle_seconds=2")
    assert run.wait()["delivered"] == 5, run.output
    assert {record.value for record in kafka.receive(unique)} == {b"%d" % n for n in range(5)}
    assert pubsub.pull(subscription) == []
    assert all(map(tokens.signed_by_the_key, front.tokens))
    assert len(front.tokens) >= 4  # get, permissions, pull, ack
    assert tokens.asked == []


def test_kafka_to_pubsub_at_an_endpoint_as_the_account_of_a_key_file(
    bridge, front, tokens, stack, kafka, pubsub, unique
) -> None:
    kafka.create(unique)
    _, subscription = pubsub.create(unique)
    kafka.send(KafkaRecord(unique, 0, key=None, value=b"%d" % n) for n in range(5))
    run = bridge("kafka_to_ps", *kafka_to_ps(stack, unique), "--max_messages=5")
    assert run.wait()["delivered"] == 5, run.output
    received = pubsub.receive(subscription, 5)
    assert sorted(message.data for message in received) == [b"%d" % n for n in range(5)]
    assert all(map(tokens.signed_by_the_key, front.tokens))
    assert len(front.tokens) >= 3  # get, permissions, publish


def test_a_backfill_that_may_make_no_subscription_says_so_and_goes_on(
    bridge, front, stack, kafka, pubsub, unique
) -> None:
    kafka.create(unique)
    pubsub.create(unique)
    kafka.send(KafkaRecord(unique, 0, value=b"%d" % n) for n in range(5))
    for method in ("GetSubscription", "CreateSubscription"):
        front.refused[method] = grpc.StatusCode.PERMISSION_DENIED
    run = bridge("backfill", *kafka_to_ps(stack, unique))
    assert run.wait()["delivered"] == 5, run.output
    [said] = [line for line in run.output.splitlines() if "WARNING" in line]
    assert "arrives twice: create projects/test/subscriptions/" in said
    assert "pubsub.subscriptions.create is missing for this account; grant it roles/" in said


def test_every_other_command_uses_the_same_endpoint_and_account(
    cloud, front, stack, kafka, pubsub, unique
) -> None:
    kafka.create(unique)
    topic = f"{PROJECT}/topics/{unique}"
    with pubsub_v1.PublisherClient() as client:
        client.create_topic(
            request={"name": topic, "message_retention_duration": timedelta(hours=1)}, timeout=10
        )
    pubsub.admin.create_subscription(f"{PROJECT}/subscriptions/{unique}", topic)
    dead, letters = pubsub.create(f"{unique}-dead")
    pubsub.send(topic, [PubsubRecord(b"x")])
    original = PubsubRecord(b"y", {}, "", "1", 1)
    letter = DeadLetter(original, "ps_to_kafka", "write", "RefusedError", "no", 1, 1, "0")
    with cloud() as service:
        flags = [f"--pubsub_endpoint={front.address}", ACT_AS]
        with closing(open_sink(Place("pubsub", dead), None, None, 10.0, service)) as sink:
            sink.write([letter], DEADLINE_S)
        assert sample([*flags, *ps_to_kafka(stack, unique), "--sample=1"]) == 0
        ends = [f"--from=pubsub://{letters}", f"--to=pubsub://{topic}", "--delivery_timeout_s=20"]
        assert redrive.main([*flags, *ends]) == 0
        ends = [each for each in kafka_to_ps(stack, unique) if "--group_id" not in each]
        assert audit.main([*flags, *ends, "--idle_seconds=1"]) == 0
    assert pubsub.pull(letters) == []
    acted = {token for token in front.tokens if not token.startswith("Bearer ey")}
    assert acted == {f"Bearer token of {TARGET}"}


@pytest.mark.parametrize("by", ["flag", "credentials file"])
def test_an_account_acts_as_another_one(
    cloud, front, tokens, key, stack, kafka, pubsub, unique, tmp_path, by
) -> None:
    kafka.create(unique)
    pubsub.create(unique)
    file = tmp_path / "impersonated.json"
    url = tokens.iam_endpoint.format(TARGET)
    content = {"type": "impersonated_service_account", "service_account_impersonation_url": url}
    file.write_text(json.dumps({**content, "source_credentials": json.loads(key.read_text())}))
    flags = [f"--pubsub_endpoint={front.address}", *([ACT_AS] if by == "flag" else [])]
    with cloud(key if by == "flag" else file):
        preflight.check(parse(PS_TO_KAFKA, [*ps_to_kafka(stack, unique), *flags], {}))
    assert set(front.tokens) == {f"Bearer token of {TARGET}"}
    assert [path.rpartition("/")[2] for path, _ in tokens.asked] == [
        "token",
        f"{TARGET}:generateAccessToken",
    ]
    assert tokens.asked[1][1] == "Bearer token of the key"


# -- what is missing is named ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pipeline", "lacking", "refused", "says"),
    [
        (
            PS_TO_KAFKA,
            "pubsub.subscriptions.consume",
            None,
            "subscriptions/{0}: permission pubsub.subscriptions.consume is missing for this "
            "account; grant it roles/pubsub.subscriber on the subscription",
        ),
        (
            PS_TO_KAFKA,
            "pubsub.subscriptions.consume pubsub.subscriptions.get",
            "GetSubscription",
            "subscriptions/{0}: permissions pubsub.subscriptions.get and "
            "pubsub.subscriptions.consume are missing for this account; grant it "
            "roles/pubsub.viewer on the subscription and roles/pubsub.subscriber on the "
            "subscription",
        ),
        (
            KAFKA_TO_PS,
            "pubsub.topics.publish",
            None,
            "topics/{0}: permission pubsub.topics.publish is missing for this account; grant it "
            "roles/pubsub.publisher on the topic",
        ),
        (
            KAFKA_TO_PS,
            "pubsub.topics.get",
            "GetTopic",
            "topics/{0}: permission pubsub.topics.get is missing for this account; grant it "
            "roles/pubsub.viewer on the topic",
        ),
    ],
)
def test_preflight_names_the_permission_that_is_missing_and_the_role_that_has_it(
    cloud, front, stack, kafka, pubsub, unique, pipeline, lacking, refused, says
) -> None:
    kafka.create(unique)
    pubsub.create(unique)
    front.lacking = set(lacking.split())
    if refused:
        front.refused = {refused: grpc.StatusCode.PERMISSION_DENIED}
    ends = ps_to_kafka if pipeline == PS_TO_KAFKA else kafka_to_ps
    options = parse(pipeline, [*ends(stack, unique), f"--pubsub_endpoint={front.address}"], {})
    with cloud(), pytest.raises(PreflightError) as caught:
        preflight.check(options)
    assert str(caught.value) == f"check {PROJECT}/{says.format(unique)}"


@pytest.mark.parametrize(
    ("lacking", "says"),
    [
        (set(), "permission pubsub.subscriptions.create .* roles/pubsub.editor on the project$"),
        (
            {"pubsub.topics.attachSubscription"},
            "permission pubsub.topics.attachSubscription .* roles/pubsub.subscriber on the topic$",
        ),
    ],
)
def test_a_subscription_that_may_not_be_made_names_what_is_missing(
    cloud, front, pubsub, unique, lacking, says
) -> None:
    topic, _ = pubsub.create(unique)
    front.lacking = lacking
    front.refused = {"CreateSubscription": grpc.StatusCode.PERMISSION_DENIED}
    with (
        cloud() as service,
        pytest.raises(PreflightError, match=says),
        temporary_subscription("bridge-audit-", Past(topic, PROJECT), service),
    ):
        pass


def test_a_seek_that_is_refused_names_the_snapshot_s_permission_if_it_is_that_one(
    cloud, front, pubsub, unique
) -> None:
    _, subscription = pubsub.create(unique)
    snapshot = f"{PROJECT}/snapshots/{unique}"
    front.lacking = {"pubsub.snapshots.seek"}
    front.refused = {"Seek": grpc.StatusCode.PERMISSION_DENIED}
    says = r"permission pubsub.snapshots.seek is .* roles/pubsub.subscriber on the snapshot$"
    with (
        cloud() as service,
        closing(open_admin(10.0, service)) as admin,
        pytest.raises(PreflightError, match=says),
    ):
        admin.seek(subscription, snapshot=snapshot)


def test_a_permission_that_is_withdrawn_while_the_bridge_runs_is_named(
    cloud, front, pubsub, unique
) -> None:
    topic, _ = pubsub.create(unique)
    front.refused = {"Publish": grpc.StatusCode.PERMISSION_DENIED}
    with (
        cloud() as service,
        closing(Publisher(topic, 10.0, service=service)) as publisher,
        pytest.raises(DeliveryError, match=r"pubsub.topics.publish .* roles/pubsub.publisher"),
    ):
        publisher.publish([to_wire(PubsubRecord(b"x"))])


# -- who cannot get in -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "answers", "refused", "says"),
    [
        ([], {}, {"GetTopic": grpc.StatusCode.UNAUTHENTICATED}, "credentials are not accepted; "),
        (
            [ACT_AS],
            {"/token": (400, {"error": "invalid_grant", "error_description": "Invalid JWT."})},
            {},
            "log in to Pub/Sub: invalid_grant: Invalid JWT; log in again",
        ),
        (
            [ACT_AS],
            {":generateAccessToken": (403, DENIED)},
            {},
            f"cannot act as {TARGET}: Permission 'iam.serviceAccounts.getAccessToken' denied on "
            "resource; grant roles/iam.serviceAccountTokenCreator on it",
        ),
        ([ACT_AS], {"/token": (503, {"error": "internal_failure"})}, {}, "internal_failure; check"),
    ],
)
def test_an_account_that_is_not_let_in_is_told_why(
    cloud, front, tokens, stack, kafka, pubsub, unique, flags, answers, refused, says
) -> None:
    kafka.create(unique)
    pubsub.create(unique)
    tokens.answers, front.refused = answers, refused
    argv = [*kafka_to_ps(stack, unique), f"--pubsub_endpoint={front.address}", *flags]
    with cloud(), pytest.raises(PreflightError) as caught:
        preflight.check(parse(KAFKA_TO_PS, argv, {}))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("trouble", "flags", "says"),
    [
        ("no answer to who asks for a token", [ACT_AS], "log in to Pub/Sub: no access token"),
        ("another certificate", [], "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_a_bridge_that_cannot_get_in_says_so_in_one_line_within_10_s(
    front, tokens, key, stack, kafka, pubsub, unique, trouble, flags, says
) -> None:
    kafka.create(unique)
    pubsub.create(unique)
    tokens.silent = True
    trusts = front.env if flags else {}
    env = {**os.environ, "PUBSUB_EMULATOR_HOST": "", "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    command = [sys.executable, "-m", "pipelines.kafka_to_ps", *kafka_to_ps(stack, unique)]
    began = time.monotonic()
    ran = subprocess.run(
        [*command, f"--pubsub_endpoint={front.address}", *flags],
        cwd=ROOT,
        env={**env, **trusts},
        capture_output=True,
        text=True,
        timeout=60,
    )
    took_s = time.monotonic() - began
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert says in ran.stderr
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert json.loads(key.read_text())["private_key"].splitlines()[1] not in ran.stderr
    assert took_s < LIMIT_S
