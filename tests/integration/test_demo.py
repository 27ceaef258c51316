"""The demos, as a person starts them: there and back with a verdict, and a bridge without flags."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ends import ROOT, until

from pipelines import demo

START_S = 60
END_S = 60


class Started:
    """A command, and all that it and its children have written so far."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path) -> None:
        self.process = process
        self._file = file

    @property
    def text(self) -> str:
        return self._file.read_text(encoding="utf-8")

    def wait_for(self, pattern: str) -> None:
        def found() -> bool:
            assert self.process.poll() is None or re.search(pattern, self.text), self.text
            return re.search(pattern, self.text) is not None

        until(found, f"{pattern!r} in the output", START_S)

    def end(self) -> int:
        return self.process.wait(END_S)

    def ports(self) -> list[int]:
        return [int(port) for port in re.findall(r"ready on 127\.0\.0\.1:(\d+)", self.text)]


@contextmanager
def started(tmp_path: Path, *command: str) -> Iterator[Started]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("KAFKA_BOOTSTRAP_SERVERS", "PUBSUB_EMULATOR_HOST", "BRIDGE_DEMO")
    }
    with (tmp_path / "output.txt").open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=file, stderr=file
        )
        try:
            yield Started(process, tmp_path / "output.txt")
        finally:
            process.kill()
            process.wait()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_there_and_back_the_last_line_accounts_for_every_alert(tmp_path) -> None:
    with started(tmp_path, "pipelines.demo", "--alerts", "50") as run:
        assert run.end() == 0, run.text
    each_way = "sent 50, delivered 50, lost 0, duplicated 0, changed 0"
    assert re.fullmatch(
        rf"DEMO Pub/Sub -> Kafka: {each_way}; Kafka -> Pub/Sub: {each_way}; \d+ s",
        run.text.splitlines()[-1],
    )
    for pipeline in ("ps_to_kafka", "kafka_to_ps"):
        assert re.search(rf"DEMO \$ .*-m pipelines\.{pipeline} --runner=DirectRunner ", run.text)


def test_a_signal_ends_the_demo_with_its_jobs_and_servers(tmp_path) -> None:
    with started(tmp_path, "pipelines.demo", "--alerts", "500") as run:
        run.wait_for(r"DEMO \$ .*ps_to_kafka")
        ports = run.ports()
        assert len(ports) == 2
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130
        assert not any(map(is_open, ports))
        assert "Traceback" not in run.text


def test_a_bridge_without_flags_is_a_demo_and_drains_on_sigint(tmp_path) -> None:
    with started(tmp_path, "pipelines.ps_to_kafka", "--runner=DirectRunner") as run:
        run.wait_for(r"ps_to_kafka running .* delivered [1-9]")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 0, run.text
        lines = run.text.splitlines()
        assert [line for line in lines if not line.startswith("DEMO ")] == []
        assert "DEMO SIGINT: draining; once more ends at once" in lines
        assert "stopped (SIGINT); all that was read is delivered and acknowledged" in run.text
        assert not any(map(is_open, run.ports()))


def test_the_way_back_without_flags_is_a_demo_too_and_keeps_its_bounds(tmp_path) -> None:
    with started(tmp_path, "pipelines.kafka_to_ps", "--max_messages=40") as run:
        assert run.end() == 0, run.text
    lines = run.text.splitlines()
    assert [line for line in lines if not line.startswith("DEMO ")] == []
    assert "read 40, delivered 40 in" in run.text


@pytest.mark.parametrize("wrong", ["--alerts=0", "--alerts=x", "--alert=5", "--nonsense", "5"])
def test_wrong_usage_is_one_line_and_exit_2(wrong: str, capsys) -> None:
    assert demo.main([wrong]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m pipelines.demo: ")
