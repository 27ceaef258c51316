"""The image: what it is made from, and what a container of it runs."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import dockerfile
import pytest

from pipelines.flags import PIPELINES

ROOT = Path(__file__).parents[2]
ENTRYPOINT = ROOT / "templates" / "entrypoint.sh"


def foreign_images() -> list[str]:
    """Every image that is not made here."""
    stages = {step.stage for step in dockerfile.steps()}
    images = [step.value.partition(" ")[0] for step in dockerfile.of("FROM")]
    images += re.findall(r"--from=(\S+)", " ".join(step.value for step in dockerfile.of("COPY")))
    return [image for image in images if image not in stages]


def environment(stage: str) -> dict[str, str]:
    """The variables that a stage adds to those that it is built on."""
    return {
        name: value
        for step in dockerfile.of("ENV")
        if step.stage == stage
        for name, value in re.findall(r"(\w+)=(\S+)", step.value)
    }


def test_all_parts_are_of_one_python_and_of_the_pinned_beam() -> None:
    images = foreign_images()
    pythons = [re.search(r"python:?(3)\.?(\d\d)", image) for image in images]
    assert len({python and python.groups() for python in pythons}) == 1
    assert len({image for image in images if image.startswith("python:")}) == 1
    pinned = re.search(r"^apache-beam==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M)
    assert pinned is not None
    assert f"apache/beam_python3.12_sdk:{pinned[1]}" in images
    assert version("apache-beam") == pinned[1]


def test_every_image_is_named_with_an_exact_tag() -> None:
    for image in foreign_images():
        assert re.search(r":\d+\.\d+\.\d+(-|$)|:\w+_\d{8}_RC\d\d$", image), image


def test_there_is_a_stage_for_each_template_and_the_last_is_for_anywhere_else() -> None:
    *stages, last = [step.stage for step in dockerfile.of("FROM")]
    launched = {stage: environment(stage).get("FLEX_TEMPLATE_PYTHON_PY_FILE") for stage in stages}
    named = {pipeline: f"/template/{pipeline}.py" for pipeline in PIPELINES}
    assert {stage: script for stage, script in launched.items() if script} == named
    assert "FLEX_TEMPLATE_PYTHON_PY_FILE" not in environment(last)
    assert [step.stage for step in dockerfile.of("USER")] == [last]
    assert environment("base")["BRIDGE_DEMO"] == "off"


def test_what_is_copied_exists_and_is_let_through() -> None:
    admitted = (ROOT / ".dockerignore").read_text().splitlines()
    for step in dockerfile.of("COPY"):
        if not step.value.startswith("--from"):
            *sources, _ = step.value.split()
            for source in sources:
                assert f"!{source}" in admitted, source
                assert "*" in source or (ROOT / source).exists(), source


# -------------------------------------------------------------------------------- entrypoint.sh
BOOT = "/opt/apache/beam/boot"
LAUNCHER = "/opt/google/dataflow/python_template_launcher"
TEMPLATE = {"FLEX_TEMPLATE_PYTHON_PY_FILE": "/template/backfill.py"}


@pytest.fixture
def start(tmp_path):
    """Runs entrypoint.sh, with stubs for the binaries of others; returns what it became."""
    script = tmp_path / "entrypoint.sh"
    script.write_text(ENTRYPOINT.read_text().replace("/opt", f"{tmp_path}/opt"))
    script.chmod(0o755)
    for binary in (BOOT, LAUNCHER):
        stub = tmp_path / binary[1:]
        stub.parent.mkdir(parents=True)
        stub.write_text(f'#!/bin/sh\nprintf "%s\\n" $$ {binary} "$@"\n')
        stub.chmod(0o755)

    def run(*arguments: str, **variables: str) -> tuple[int, list[str], str]:
        process = subprocess.Popen(
            [script, *arguments],
            env={"PATH": os.environ["PATH"], **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = process.communicate(timeout=30)
        lines = out.splitlines()
        if lines:
            assert lines.pop(0) == str(process.pid), "it is a child, and gets no signal"
        return process.returncode, lines, err

    return run


def test_a_command_is_run_as_it_is(start) -> None:
    command = ("sh", "-c", 'printf "%s\\n" $$ "$@"', "-", "--id=1", "two words", "")
    assert start(*command, **TEMPLATE) == (0, ["--id=1", "two words", ""], "")


@pytest.mark.parametrize(
    "flags",
    [
        ("--id=sdk-0-0", "--logging_endpoint=localhost:1", "--provision_endpoint=localhost:2"),
        ("--logging_endpoint=localhost:1", "--semi_persist_dir=/var/opt/google", "--id=1-1"),
        ("--worker_pool",),
    ],
)
@pytest.mark.parametrize("variables", [{}, TEMPLATE], ids=["anywhere", "template"])
def test_a_worker_is_started_by_boot_with_its_flags(start, flags, variables) -> None:
    assert start(*flags, **variables) == (0, [BOOT, *flags], "")


@pytest.mark.parametrize("flags", [(), ("-template-container-args=x",)])
def test_a_template_is_launched_by_googles_launcher(start, flags) -> None:
    assert start(*flags, **TEMPLATE) == (0, [LAUNCHER, *flags], "")


@pytest.mark.parametrize("flags", [(), ("",), ("--kafka_topics=T",)])
def test_a_service_that_lost_its_command_fails(start, flags) -> None:
    status, became, err = start(*flags)
    assert (status, became, err.count("\n")) == (2, [], 1)
