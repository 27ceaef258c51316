"""What stages a flex template, and what launches one: as gcloud and Dataflow take it."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from deployed import ROOT
from google.cloud import dataflow_v1beta3 as dataflow
from google.cloud.dataflow_v1beta3.types.templates import ContainerSpec
from google.protobuf import json_format

from pipelines.flags import PIPELINES
from pipelines.flex_templates.__main__ import main
from transforms import named_files

SECRET = "secret:projects/my-project/secrets/kafka-password/versions/latest"


MINE = ["--project=other-1", "--bucket=gs://mine/", "--image=registry.example.org/bridge:1"]
REGISTRY = ["schema_registry=http://registry:8081"]


@pytest.fixture(params=PIPELINES)
def pipeline(request) -> str:
    return request.param


@pytest.fixture
def launch(capsys):
    """The command's words and the body of a launch example."""

    def said(*arguments: str) -> tuple[list[str], dict]:
        assert main(["launch", *arguments]) == 0
        command, _, rest = capsys.readouterr().out.partition("\n\n# ")
        return shlex.split(command), json.loads(rest.partition("\n")[2])

    return said


def flags(words: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))


def dictionary(text: str) -> dict[str, str]:
    """As gcloud reads a dictionary (`gcloud topic escaping`)."""
    escaped = re.fullmatch(r"\^([^^]+)\^(.*)", text, re.DOTALL)
    assert escaped is not None
    return dict(pair.split("=", 1) for pair in escaped[2].split(escaped[1]))


# -- launches --------------------------------------------------------------------------------------


def test_command_and_body_are_the_same_launch(pipeline, launch) -> None:
    words, body = launch(pipeline)
    said, asked = flags(words), body["launchParameter"]
    environment = asked["environment"]
    assert words[:5] == ["gcloud", "dataflow", "flex-template", "run", asked["jobName"]]
    parameters = dictionary(said["parameters"])
    assert parameters.pop("sdk_container_image") == environment["sdkContainerImage"]
    assert parameters == asked["parameters"]
    assert SECRET in parameters["kafka_config"]
    assert said["template-file-gcs-location"] == asked["containerSpecGcsPath"]
    assert said["temp-location"] == environment["tempLocation"]
    assert said["staging-location"] == environment["stagingLocation"]
    assert said["service-account-email"] == environment["serviceAccountEmail"]
    assert said["max-workers"] == str(environment["maxWorkers"])
    modes = [said["additional-experiments"]] if "additional-experiments" in said else []
    assert modes == environment.get("additionalExperiments", [])
    assert modes == ([] if pipeline == "backfill" else ["streaming_mode_at_least_once"])


def test_dataflow_knows_every_field_of_the_body(pipeline, launch) -> None:
    _, body = launch(pipeline)
    json_format.ParseDict(body, dataflow.LaunchFlexTemplateRequest.pb()())


def test_parameters_take_the_place_of_the_examples(launch) -> None:
    own = ["kafka_topics=^a~b|c", "stop=now", *MINE]
    words, body = launch("kafka_to_ps", *own)
    parameters = body["launchParameter"]["parameters"]
    assert parameters["kafka_topics"] == "^a~b|c"
    assert "change_hour" not in parameters
    assert parameters["pubsub_topic"] == "projects/other-1/topics/alerts"
    assert parameters["dead_letter"] == "gs://mine/dead-letters"
    said = dictionary(flags(words)["parameters"])
    assert said["kafka_topics"] == "^a~b|c"
    assert "additional-experiments" not in flags(words)  # a job that ends has no streaming mode


def test_where_and_as_whom_is_the_same_in_command_and_body(launch) -> None:
    settings = {
        "service-account-email": "me@other-1.iam.gserviceaccount.com",
        "network": "net",
        "subnetwork": "regions/r/subnetworks/s",
        "max-workers": "7",
    }
    given = {**settings, "service_account": settings["service-account-email"], "job_name": "mine"}
    del given["service-account-email"]
    own = [f"--{name.replace('-', '_')}={value}" for name, value in given.items()]
    words, body = launch("ps_to_kafka", *MINE, *own, "--update=true")
    asked = body["launchParameter"]
    assert settings.items() <= flags([w for w in words if w != "--update"]).items()
    assert "--update" in words
    assert asked["update"] is True
    assert (words[4], asked["jobName"]) == ("mine", "mine")
    environment = asked["environment"]
    assert environment["serviceAccountEmail"] == settings["service-account-email"]
    assert (environment["network"], environment["subnetwork"]) == ("net", "regions/r/subnetworks/s")
    assert environment["maxWorkers"] == 7
    json_format.ParseDict(body, dataflow.LaunchFlexTemplateRequest.pb()())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ps_to_kafka", "kafka_topic=a b"], "--kafka_topic: 'a b' is not a Kafka topic name"),
        (["ps_to_kafka", "subscription="], "--subscription: missing"),
        (["ps_to_kafka", "report=x.json"], "report: is not a parameter of ps_to_kafka"),
        (["ps_to_kafka", "archive=/a/folder"], "--archive: /a/folder is on each worker's own disk"),
        (["ps_to_kafka", "kafka_config=sasl.password=hunter2"], "'sasl.password' would stand in"),
        (["ps_to_kafka", "kafka_config=sasl.password=hunter2"], "give a reference, secret:proj"),
        (["backfill", "kafka_config=sasl.password=env:NAME"], "sasl.password: env:NAME is on this"),
        (["archive", 'kafka_config={"ssl.key.password": "file:/k"}'], "file:/k is on this machine"),
        (["archive", "format=json", *REGISTRY, "schema_registry_login=env:A"], "env:A is on this"),
        (["archive", "kafka_properties=deploy/kafka.properties"], "copy it into a bucket"),
        (["archive", "kafka_properties=gs://b/a,/no/such"], "kafka_properties: /no/such is not at"),
        (["archive", "start=offsets=setup.py"], "start: setup.py is not at gs://"),
        (["backfill", "night=", "offsets=setup.py"], "offsets: setup.py is not at gs://"),
        (["backfill", "offsets=gs://b/o"], "--night and --offsets: say in one way"),
        (
            ["archive", "kafka_topics=^(a", "stop=offsets=gs://b/o"],
            "--kafka_topics",
        ),
        (["backfill", "night"], "night: is not NAME=VALUE"),
        (["backfill", '{"night": 1}'], "night: is no text in JSON"),
        (["backfill", "--project=other-1"], "IMAGE: missing"),
        (["backfill", "--image=r.io/bridge-backfill"], "has no tag of its own"),
        (["backfill", "--image=r.io/bridge:latest-backfill"], "has no tag of its own"),
        (["backfill", "--image=bridge"], "IMAGE: bridge is no image of a registry"),
        (["backfill", *MINE, "--bucket=a/b"], "BUCKET: 'a/b' is not"),
        (["backfill", *MINE, "--update=true"], "UPDATE: a job that ends"),
    ],
)
def test_nothing_is_printed_that_would_be_refused(arguments, says, capsys) -> None:
    assert main(["launch", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert "hunter2" not in printed.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["kafka_properties=gs://b/a.properties,gs://b/jaas.conf", "bootstrap_servers="],
        ["start=offsets=gs://b/o.json", "stop=offsets=gs://b/o.json"],
        ["start=offsets=gs://b/o.json", "kafka_topics=kafka:9092;^a"],
        ["start=offsets=gs://b/o.json", "kafka_topics=a,b"],
        ["kafka_config=ssl.ca.location=file:/etc/ssl/ca.pem"],
    ],
    ids=str,
)
def test_files_at_gs_are_named_and_not_read(arguments, launch, monkeypatch) -> None:
    monkeypatch.setattr(named_files, "_remote", None)
    _, body = launch("kafka_to_ps", *arguments)
    given = dict(argument.split("=", 1) for argument in arguments)
    wanted = {name: value for name, value in given.items() if value}
    assert wanted.items() <= body["launchParameter"]["parameters"].items()


# -- staging ---------------------------------------------------------------------------------------


@pytest.fixture
def make(tmp_path):
    """Runs a target with stubs that say how docker and gcloud are called."""
    said = tmp_path / "said"
    for name in ("docker", "gcloud"):
        stub = tmp_path / name
        stub.write_text(f'#!/bin/sh\necho "{name} $@" >> {said}\n')
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)

    def run(*arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        done = subprocess.run(
            ["make", "--no-print-directory", f"VENV={sys.prefix}", *_there_already(), *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done, said.read_text().splitlines() if said.exists() else []

    return run


def _there_already() -> list[str]:
    return ["-o", str(Path(sys.prefix) / ".installed")]


def test_make_template_builds_pushes_and_stages_all_four(make) -> None:
    done, said = make("template", "IMAGE=registry.example.org/bridge:1", "BUCKET=gs://my-bucket/")
    assert done.returncode == 0, done.stderr
    for name in PIPELINES:
        image = f"registry.example.org/bridge:1-{name}"
        file = f"build/templates/{name}.json"
        build = f"docker build --platform linux/amd64 --target {name} --tag {image}"
        assert f"{build} --file templates/Dockerfile ." in said
        assert f"docker push {image}" in said
        assert f"gcloud storage cp {file} gs://my-bucket/templates/{name}.json" in said
        spec = json.loads((ROOT / file).read_text())
        known = json_format.ParseDict(spec, ContainerSpec.pb()())
        assert known.image == known.default_environment.sdk_container_image == image
        assert known.sdk_info.language == 2  # Python
        assert spec["metadata"] == json.loads((ROOT / "templates" / f"{name}.json").read_text())
    assert len(said) == 3 * len(PIPELINES)


@pytest.mark.parametrize("given", [["IMAGE=bridge"], ["BUCKET=my-bucket"], []], ids=str)
def test_make_template_says_what_it_misses_and_does_nothing(make, given) -> None:
    done, said = make("template", *given)
    assert done.returncode == 2
    assert done.stderr.startswith("template: IMAGE or BUCKET: missing; for example IMAGE=")
    assert said == []


def test_make_launch_example_passes_its_variables_on(make) -> None:
    done, _ = make(
        "launch-example",
        "TEMPLATE=archive",
        "IMAGE=registry.example.org/bridge:1",
        "PROJECT=other-1",
        "REGION=europe-west1",
        "BUCKET=mine",
        "PARAMETERS=kafka_topics=alerts",
    )
    assert done.returncode == 0, done.stderr
    assert "--region=europe-west1" in done.stdout
    assert "kafka_topics=alerts~group_id=my-bridge~archive=gs://mine/archive" in done.stdout
    assert '"sdkContainerImage": "registry.example.org/bridge:1-archive"' in done.stdout
    assert "projects/other-1/locations/europe-west1/flexTemplates:launch" in done.stdout


HARD = {
    "kafka_topics": "kafka1.example.org:9092;^ztf_(a|b)\\.[0-9]{8}$",
    "kafka_config": '{"security.protocol": "SSL", "client.id": "it\'s `one` $(two) \\"three\\""}',
}


@pytest.mark.parametrize(
    "given",
    [
        " ".join(f"{name}={value}" for name, value in HARD.items()),
        json.dumps(HARD, indent=1),
    ],
    ids=["words", "json"],
)
def test_make_launch_example_leaves_values_as_they_are(given, make) -> None:
    done, _ = make("launch-example", "TEMPLATE=kafka_to_ps", f"PARAMETERS={given}")
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.partition("\n\n# ")[2].partition("\n")[2])
    assert HARD.items() <= body["launchParameter"]["parameters"].items()


def test_make_template_refuses_an_image_that_moves(make) -> None:
    done, said = make("template", "IMAGE=registry.example.org/bridge", "BUCKET=my-bucket")
    assert done.returncode == 2
    assert "IMAGE: registry.example.org/bridge-ps_to_kafka has no tag of its own" in done.stderr
    assert said == []
