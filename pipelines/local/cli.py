"""`python -m pipelines.local up | run -- CMD ... | fetch`."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence

from pipelines.command_line import Parser
from pipelines.local import child, jars
from pipelines.local.child import Stopped
from pipelines.local.emulator_jar import emulator_jar
from pipelines.local.java import find_java
from pipelines.local.stack import EmbeddedStack
from pipelines.local.status import say_on_stderr
from transforms.errors import BridgeError, TransferError, UsageError

_PROG = "python -m pipelines.local"
_COMMAND_NOT_FOUND = 127  # as of a shell
_HEALTH_CHECK_S = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    try:
        options = _parse(sys.argv[1:] if argv is None else argv)
        with child.stop_signals():
            return _run(options)
    except BridgeError as error:
        say_on_stderr(f"{_PROG}: {error}")
        return error.exit_status
    except Stopped as stopped:
        return 128 + stopped.number


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog=_PROG,
        description="A real Apache Kafka and Google's Pub/Sub emulator on this machine.",
        epilog="Exit status 2: wrong usage, or a server cannot be had or does not start.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="up | run | fetch")
    for name, text in (
        ("up", "start both, print the variables that point clients to them, stay until Ctrl-C"),
        ("run", "start both, run a command with the variables set, stop both; its exit status"),
        ("fetch", "download what is missing, and start nothing"),
    ):
        action = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name == "run":
            action.usage = f"{_PROG} run -- CMD [ARGUMENT ...]"
            action.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD ...")
    options = parser.parse_args(argv)
    if options.action == "run":
        if options.command[:1] == ["--"]:
            del options.command[0]
        if not options.command:
            raise UsageError(f"run: no command; say {_PROG} run -- CMD ...")
    return options


def _run(options: argparse.Namespace) -> int:
    if options.action == "fetch":
        find_java()
        jars.kafka_jars(say_on_stderr)
        emulator_jar(say_on_stderr)
        return 0
    return _up() if options.action == "up" else _run_command(options.command)


def _up() -> int:
    try:
        with EmbeddedStack() as stack:
            for name, value in stack.env().items():
                print(f"export {name}={shlex.quote(value)}", flush=True)
            while True:
                for server in stack.servers:
                    if not server.is_running():
                        tail = server.log_tail()
                        raise TransferError(
                            f"run {server.name}: it ended by itself; its log ends: {tail}"
                        )
                time.sleep(_HEALTH_CHECK_S)
    except Stopped:
        return 0  # a signal is how `up` is meant to end


def _run_command(command: list[str]) -> int:
    if not shutil.which(command[0]):
        say_on_stderr(f"{_PROG}: run {command[0]}: command not found")
        return _COMMAND_NOT_FOUND
    with EmbeddedStack() as stack:
        return child.run(command, os.environ | stack.env())
