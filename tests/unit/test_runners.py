"""Runners beyond this process: Prism's program, a stop that is a file, a job on a job server."""

from __future__ import annotations

import re
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines import portable, prism
from pipelines.options import parse
from pipelines.preflight import job_server
from transforms import stop_file
from transforms.control import Bounds, Control
from transforms.errors import PreflightError, UsageError
from transforms.registry import Bridge, BridgeConfig


def program(folder, content: bytes) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "prism"
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


BEAMS = b"\x7fELF" + bytes(5_000) + b"dep\tgithub.com/apache/beam/sdks/v2\tv2.77.0\n"


@pytest.fixture
def nothing_built(monkeypatch, tmp_path):
    monkeypatch.setattr(prism, "_BUILT", tmp_path / "build")


@pytest.mark.parametrize("place", ["path", "gobin", "gopath/bin", "home/go/bin", "build"])
def test_beams_prism_is_found_wherever_go_or_make_put_it(nothing_built, tmp_path, place):
    program(tmp_path / "other", b"#!/usr/bin/env node\n")
    path = program(tmp_path / place, BEAMS)
    environ = {"PATH": f"{tmp_path}/other:{tmp_path}/path"}
    environ |= {"gobin": {"GOBIN": f"{tmp_path}/gobin"}}.get(place, {})
    environ |= {"gopath/bin": {"GOPATH": f"{tmp_path}/gopath"}}.get(place, {})
    assert prism.find(environ, tmp_path / "home") == path


def test_without_prism_the_run_is_refused_and_nothing_is_downloaded(nothing_built, monkeypatch):
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(UsageError, match=r"there is no prism on the PATH.*make prism"):
        prism.located(["--runner=PrismRunner"], {"PATH": "/nowhere"})
    for other in ("/nowhere/prism", sys.executable):
        with pytest.raises(UsageError, match=f"{other} is not Beam's prism; make prism"):
            prism.located(["--runner=PrismRunner", f"--prism_location={other}"], {})


def test_a_stop_file_stops_a_bridge_and_is_gone_when_one_begins(tmp_path):
    url = str(tmp_path / "stop")
    control = Control(Bounds())
    stop_file.put(url)
    stop_file.clear(url)
    assert not (tmp_path / "stop").exists()
    watch = stop_file.StopFile(url, control, poll_s=0.01)
    stop_file.put(url)
    while not control.stopping:
        pass
    watch.close()
    assert control.stop_reason == "--stop_file"


def test_a_stop_file_that_cannot_be_is_refused_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PreflightError, match=r"write --stop_file .*/file/stop: .*; check the path"):
        stop_file.clear(str(tmp_path / "file" / "stop"))


def test_a_file_of_another_kind_is_not_taken_for_a_stop_file(tmp_path):
    somebodys = tmp_path / "notes"
    somebodys.write_text("of somebody")
    with pytest.raises(PreflightError, match="notes: there is a file with something else in it"):
        stop_file.clear(str(somebodys))
    assert somebodys.read_text() == "of somebody"


def test_a_job_server_that_is_not_there_is_named_before_anything_is_done():
    argv = ["--kafka_topics=t", "--group_id=g", "--pubsub_topic=projects/p/topics/out"]
    argv += ["--bootstrap_servers=h:1", "--runner=PortableRunner", "--job_endpoint=localhost:1"]
    [check] = job_server.checks(parse("kafka_to_ps", argv, {})).values()
    with pytest.raises(PreflightError, match="reach job server localhost:1: Connection refused"):
        check()


def test_a_stop_file_is_known_by_one_name_everywhere():
    argv = ["--kafka_topics=t", "--group_id=g", "--pubsub_topic=projects/p/topics/out"]
    argv += ["--bootstrap_servers=h:1", "--runner=PortableRunner", "--stop_file=x/stop"]
    assert parse("kafka_to_ps", argv, {}).stop_file.startswith("/")
    with pytest.raises(UsageError, match="--stop_file: means nothing with --runner=PrismRunner"):
        parse("kafka_to_ps", [a.replace("Portable", "Prism") for a in argv], {})


def test_flags_that_only_flinks_job_server_knows_are_accepted_for_it_alone():
    argv = ["--kafka_topics=t", "--group_id=g", "--pubsub_topic=projects/p/topics/out"]
    argv += ["--bootstrap_servers=h:1", "--checkpointing_interval=10000"]
    options = parse("kafka_to_ps", [*argv, "--runner=FlinkRunner"], {})
    assert "--checkpointing_interval=10000" in options.beam_args
    with pytest.raises(UsageError, match="--checkpointing_interval: unknown flag"):
        parse("kafka_to_ps", [*argv, "--runner=PrismRunner"], {})


class Job:
    """A job that ends when it is cancelled, or when the workers have found the stop file."""

    _job_id = "job-1"

    def __init__(self, bridge) -> None:
        self._bridge = bridge
        self._cancelled = threading.Event()
        self.metrics = lambda: SimpleNamespace(query=lambda _filter: {"counters": self._counters()})

    def run(self):
        return self

    def cancel(self) -> None:
        self._cancelled.set()

    def wait_until_finish(self) -> None:
        self._bridge.control.stop("SIGTERM")
        if self._bridge.config.stop_file:
            while not stop_file.is_there(self._bridge.config.stop_file):
                pass
            return
        assert self._cancelled.wait(20)
        raise RuntimeError("Pipeline job-1 failed in state CANCELLED")

    def _counters(self):
        name = SimpleNamespace(metric=SimpleNamespace(name="delivered"))
        return [SimpleNamespace(key=name, result=3), SimpleNamespace(key=name, result=4)]


@pytest.mark.parametrize("name", ["", "stop"], ids=["cancelled", "asked"])
def test_a_stop_reaches_a_job_and_its_counts_come_back(tmp_path, name):
    url = name and str(tmp_path / name)
    bridge = Bridge(BridgeConfig("test", stop_file=url))
    portable.run(Job(bridge), bridge)
    bridge.close()
    assert bridge.counts.totals()["delivered"] == 7


def test_a_stop_that_the_workers_saw_first_is_one(tmp_path, monkeypatch):
    url = str(tmp_path / "stop")
    bridge = Bridge(BridgeConfig("test", stop_file=url))
    job = Job(bridge)
    monkeypatch.setattr(job, "wait_until_finish", lambda: stop_file.put(url))
    portable.run(job, bridge)
    bridge.close()
    assert bridge.control.stop_reason == "--stop_file"


def test_a_job_that_cannot_be_cancelled_is_named(caplog, monkeypatch):
    bridge = Bridge(BridgeConfig("test"))
    job = Job(bridge)

    def refused() -> None:
        job._cancelled.set()
        raise ConnectionError("UNAVAILABLE:\n no job server")

    monkeypatch.setattr(job, "cancel", refused)
    portable.run(job, bridge)
    bridge.close()
    assert "cancel job job-1: UNAVAILABLE: no job server; it goes on" in caplog.text


def test_a_job_that_fails_by_itself_is_a_failure():
    bridge = Bridge(BridgeConfig("test"))
    job = Job(bridge)
    job.wait_until_finish = lambda: (_ for _ in ()).throw(RuntimeError("worker disconnected"))
    with pytest.raises(RuntimeError, match="worker disconnected"):
        portable.run(job, bridge)
    bridge.close()


def test_the_compose_file_of_flink_has_the_installed_beams_job_server():
    page = Path(__file__).parents[2] / "docs" / "flink" / "docker-compose.yaml"
    versions = re.findall(r"apache/beam_flink[0-9.]+_job_server:(\S+)", page.read_text())
    assert versions == [version("apache-beam")]
