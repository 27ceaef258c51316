"""The bridge on each runner, as a process, with what else that takes: Prism's program, a job server
and a worker pool. `Runner` is what the conformance suite knows of them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ends import ROOT, Bridge, until

from pipelines import prism
from pipelines.local.server import LOOPBACK, free_ports

PRISM = prism.find(os.environ)
WITHOUT_PRISM = "no prism on the PATH, in Go's bin folder or in build/bin (make prism, needs Go)"


def children(process_id: int) -> list[int]:
    """The processes that a process has started and that still run, the oldest first."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == process_id and state != "Z":
                found.append(int(folder.name))
    return sorted(found)


class Runner:
    """One runner; this one is in the bridge's own process.

    Args:
      folder: takes what the processes print.
      env: says where both services are.
    Attributes:
      name: as the matrix in docs/runners.md has it.
      shards: how many readers it has side by side.
      bounded: the directions in which a run can have an end.
      reports: whether the bridge counts itself.
    """

    name = "in-process"
    shards = 1
    bounded = ("ps_to_kafka", "kafka_to_ps")
    reports = True

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = env
        self._running: list[Bridge] = []

    def flags(self) -> list[str]:
        """What makes a bridge run here."""
        return ["--runner=DirectRunner"]

    def _shards(self, flags: tuple[str, ...]) -> list[str]:
        """As many as there are, where the number of messages does not forbid it."""
        one = self.shards == 1 or any(flag.startswith("--max_messages") for flag in flags)
        return [] if one else [f"--shards={self.shards}"]

    def start(self, pipeline: str, *flags: str) -> Bridge:
        """A bridge on this runner."""
        flags = (*self.flags(), *self._shards(flags), *flags)
        bridge = Bridge(pipeline, self._folder, self._env, *flags, reports=self.reports)
        self._running.append(bridge)
        return bridge

    def kill(self, bridge: Bridge) -> None:
        """SIGKILL of what moves the messages."""
        started = children(bridge.process.pid)
        bridge.kill()
        for process_id in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)

    def close(self) -> None:
        """Ends all that is left."""
        for bridge in self._running:
            if bridge.process.poll() is None:
                self.kill(bridge)


class OnPrism(Runner):
    """Prism as a child of the bridge, and the bridge its worker."""

    name = "Prism"
    shards = 2

    def flags(self) -> list[str]:
        return ["--runner=PrismRunner", f"--prism_location={PRISM}"]


class OnJobServer(Runner):
    """A job server and a worker pool that know nothing of the bridge; each job's worker is a
    process of its own."""

    name = "external workers"
    shards = 2
    bounded = ("kafka_to_ps",)
    reports = False

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__(folder, env)
        self._job_port, pool_port = free_ports(2)
        self._pool_address = f"{LOOPBACK}:{pool_port}"
        self._stop_files = 0
        python = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"]
        self._pool = self._serve("pool", [*python, f"--service_port={pool_port}"])
        jobs = [PRISM, f"--job_port={self._job_port}", "--serve_http=false", "--log_level=warn"]
        self._server = self._serve("jobs", jobs)

    def _serve(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        # The pool starts its workers as `python`; its emulator is theirs.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, **self._env, "PATH": path}
        with (self._folder / f"{name}.txt").open("wb") as log:
            return subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)

    def flags(self) -> list[str]:
        self._stop_files += 1
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={LOOPBACK}:{self._job_port}",
            "--environment_type=EXTERNAL",
            f"--environment_config={self._pool_address}",
            f"--stop_file={self._folder}/stop-{self._stop_files}",
        ]

    def workers(self) -> list[int]:
        """The processes that move messages, the oldest first."""
        return children(self._pool.pid)

    def _worker(self, bridge: Bridge) -> int:
        """The process that has the job of a bridge; 0 where there is none."""
        for job in re.findall(r"job (job-\d+) is running", bridge.output):
            for process_id in self.workers():
                if f'"{job}['.encode() in Path(f"/proc/{process_id}/cmdline").read_bytes():
                    return process_id
        return 0

    def kill(self, bridge: Bridge) -> None:
        """A killed worker fails its job, and with it the command that waits for it."""
        os.kill(until(lambda: self._worker(bridge), "it has a worker"), signal.SIGKILL)
        assert bridge.process.wait(30) == 1, bridge.output

    def close(self) -> None:
        for bridge in self._running:
            if bridge.process.poll() is None:
                bridge.kill()
        for process_id in (*self.workers(), self._server.pid, self._pool.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        self._server.wait(10)
        self._pool.wait(10)


RUNNERS = {runner.name: runner for runner in (Runner, OnPrism, OnJobServer)}


@contextlib.contextmanager
def opened(name: str, folder: Path, env: dict[str, str]) -> Iterator[Runner]:
    """The runner of this name; all its processes end with the context."""
    runner = RUNNERS[name](folder, env)
    try:
        yield runner
    finally:
        runner.close()


def while_for(seconds: float) -> Iterator[None]:
    """Passes of a loop, ten a second, for so long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        yield
        time.sleep(0.1)
