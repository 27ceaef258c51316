"""deploy/: each file passes its checker, and each command line in it the bridge's own parser."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from functools import partial

import kubernetes_validate
import pytest
import requests
from deployed import (
    COMMON,
    DEPLOY,
    LAUNCH,
    MANIFESTS,
    ROOT,
    UNITS,
    command_lines,
    cron_command,
    pod,
    settings,
)
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import dataflow_v1beta3 as dataflow
from google.protobuf import json_format

from pipelines import options
from pipelines.flag_values import size_bytes

DEFAULT = {f.dest: f.default for f in options.FLAGS}


@pytest.mark.parametrize("name", command_lines())
def test_every_command_line_is_one_that_the_bridge_takes(name) -> None:
    module, *flags = command_lines()[name]
    options.parse(module.removeprefix("pipelines."), flags, {"BRIDGE_DEMO": "off"})


# ----------------------------------------------------------------------------------- systemd
def verify(folder) -> str:
    """What `systemd-analyze verify` finds wrong with the units of a folder."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.fail("systemd-analyze is not on the PATH; run `make systemd`", pytrace=False)
    units = [str(path) for path in sorted(folder.iterdir()) if path.is_file()]
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units], capture_output=True, text=True, timeout=60
    )
    about_ours = [line for line in done.stderr.splitlines() if "pubsub-bridge" in line]
    return "\n".join(about_ours) or (done.stderr if done.returncode else "")


@pytest.fixture
def units(tmp_path):
    """The units with a program that is there, and as drop-ins all that docs/deploy.md offers."""
    folder = tmp_path / "systemd"
    shutil.copytree(DEPLOY / "systemd", folder)
    for unit in folder.glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/bridge/bin/python", sys.executable))
    drop_ins = re.findall(r"```ini\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text(), re.DOTALL)
    assert drop_ins
    for number, text in enumerate(drop_ins):
        (folder / "pubsub-bridge-.service.d" / f"{number}.conf").write_text(text)
    return folder


def test_systemd_finds_nothing_wrong_with_the_units(units) -> None:
    assert verify(units) == ""


@pytest.mark.parametrize(
    "name", ["pubsub-bridge-.service.d/common.conf", "pubsub-bridge-night.timer"]
)
def test_a_setting_that_systemd_does_not_know_is_noticed(units, name) -> None:
    with (units / name).open("a") as file:
        file.write("NoSuchSetting=yes\n")
    assert "NoSuchSetting" in verify(units)


def test_every_timer_starts_a_service_that_is_there() -> None:
    timers = {path.stem for path in (DEPLOY / "systemd").glob("*.timer")}
    assert timers < {unit.stem for unit in UNITS}


# -------------------------------------------------------------------------------- Kubernetes
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_schema_admits_the_manifests_and_nothing_else(path) -> None:
    validate = partial(
        kubernetes_validate.validate,
        desired_version=kubernetes_validate.latest_version(),
        strict=True,
    )
    validate(MANIFESTS[path])
    with pytest.raises(kubernetes_validate.ValidationError, match="noSuchField"):
        validate({**MANIFESTS[path], "noSuchField": 1})


def test_the_image_runs_as_the_user_that_the_manifests_name() -> None:
    (uid,) = re.findall(r"useradd --uid (\d+)", (ROOT / "templates" / "Dockerfile").read_text())
    for manifest in MANIFESTS.values():
        assert pod(manifest)["securityContext"]["runAsUser"] == int(uid)


# ------------------------------------------------------------------------- limits of services
def test_a_service_has_the_memory_and_the_time_to_stop_that_its_flags_ask_for() -> None:
    needed_bytes = 300_000_000 + 3 * DEFAULT["max_in_flight_bytes"]
    needed_s = DEFAULT["delivery_timeout_s"] + 5
    common = settings(COMMON)
    assert size_bytes(0, 2**40)(common["MemoryMax"] + "iB") >= needed_bytes
    assert int(common["TimeoutStopSec"]) > needed_s
    for manifest in MANIFESTS.values():
        memory = pod(manifest)["containers"][0]["resources"]["limits"]["memory"]
        assert size_bytes(0, 2**40)(memory + "B") >= needed_bytes
        assert pod(manifest)["terminationGracePeriodSeconds"] > needed_s


# -------------------------------------------------------------------------------------- cron
@pytest.fixture
def cron(tmp_path):
    """Runs the line of cron as cron does, with a stub for the bridge's Python."""
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\nfor n in 1 2 3 4 5; do echo "line $n"; done\nexit "$STATUS"\n')
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    line = cron_command().replace("/opt/bridge/bin/python", str(stub))
    line = line.replace("/var/lib/bridge", str(tmp_path))

    def run(status: int, within: tuple[str, ...] = ()) -> str:
        done = subprocess.run(
            [*within, "/bin/sh", "-c", line],
            env={"PATH": os.environ["PATH"], "STATUS": str(status)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout + done.stderr

    return run


def test_cron_sends_mail_only_where_a_backfill_fails(cron, tmp_path) -> None:
    assert cron(status=0) == ""
    assert cron(status=1) == "line 3\nline 4\nline 5\n"
    assert (tmp_path / "backfill.log").read_text().count("line 1") == 2


def test_cron_starts_no_second_backfill_beside_one_that_runs(cron, tmp_path) -> None:
    (tmp_path / "backfill.log").write_text("still running\n")
    lock = str(tmp_path / "backfill.lock")
    assert cron(status=0, within=("flock", lock)) == "still running\n"


# --------------------------------------------------------------------------- Cloud Scheduler
@pytest.fixture
def gcloud(tmp_path, monkeypatch) -> dict[str, str]:
    """The flags with which create_job.sh calls gcloud."""
    said = tmp_path / "said"
    stub = tmp_path / "gcloud"
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {said}\n')
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    subprocess.run([DEPLOY / "scheduler" / "create_job.sh"], check=True, timeout=60)
    *command, name = said.read_text().splitlines()[:5]
    assert (command, name) == (["scheduler", "jobs", "create", "http"], "bridge-backfill")
    return dict(word.split("=", 1) for word in said.read_text().splitlines()[5:])


def test_cloud_scheduler_sends_what_googles_own_client_would(gcloud, monkeypatch) -> None:
    location = re.fullmatch(r".*/projects/(.+)/locations/(.+)/.*", gcloud["--uri"])
    assert location is not None
    body = json.loads((DEPLOY / "scheduler" / gcloud["--message-body-from-file"]).read_text())
    request = json_format.ParseDict(body, dataflow.LaunchFlexTemplateRequest.pb()())
    request.project_id, request.location = location.groups()
    sent = []

    def answer(_session, method, url, data, **_more) -> requests.Response:
        sent.append((method, url, json.loads(data)))
        response = requests.Response()
        response.status_code, response._content = 200, b"{}"
        return response

    monkeypatch.setattr(AuthorizedSession, "request", answer)
    client = dataflow.FlexTemplatesServiceClient(
        credentials=AnonymousCredentials(), transport="rest"
    )
    client.launch_flex_template(dataflow.LaunchFlexTemplateRequest(request))
    assert sent == [(gcloud["--http-method"].upper(), gcloud["--uri"], body)]


def test_a_field_that_dataflow_does_not_know_is_noticed() -> None:
    wrong = {"launchParameter": {**LAUNCH["launchParameter"], "job_title": "backfill"}}
    with pytest.raises(json_format.ParseError, match="job_title"):
        json_format.ParseDict(wrong, dataflow.LaunchFlexTemplateRequest.pb()())
