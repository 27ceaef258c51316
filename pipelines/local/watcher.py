"""Runs one server and ends it when the process that asked for it is gone.

    python watcher.py GRACE_S FOLDER COMMAND ...

A program of its own, standard library only, so that it starts in a few milliseconds. The parent
holds the other end of standard input: it writes `stop` and closes it to stop the server, and the
system closes it when the parent dies in any way, SIGKILL included. Without the word `stop` nobody
is left to tidy up, so FOLDER, the server's data, is removed too.

Standard output gets the server's process id, on one line; standard error is the server's log.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading


def end(server: subprocess.Popen[bytes], grace_s: float) -> None:
    """Asks the server to end, paused or not, and kills it when it has not after `grace_s`."""
    server.terminate()
    server.send_signal(signal.SIGCONT)
    try:
        server.wait(grace_s)
    except subprocess.TimeoutExpired:
        server.kill()


def main(arguments: list[str]) -> int:
    """Returns the server's exit status, 128 + n when signal n ended it."""
    grace_s, folder, command = float(arguments[0]), arguments[1], arguments[2:]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    os.write(1, b"%d\n" % server.pid)
    orphaned = threading.Event()

    def pass_on(number: int, _frame: object) -> None:
        server.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)

    def watch() -> None:
        said = b""
        while chunk := os.read(0, 16):  # not sys.stdin, whose lock would hold up the exit
            said += chunk
        if said != b"stop":
            orphaned.set()
        end(server, grace_s)

    threading.Thread(target=watch, daemon=True).start()
    status = server.wait()
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # the other server's folder is still there
            os.rmdir(os.path.dirname(folder))
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
