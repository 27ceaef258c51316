"""`python -m pipelines.migrate`: reads the files, prints the commands, checks them."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from pipelines import output
from pipelines.command_line import Parser
from pipelines.commands import run_command
from pipelines.environment import environment
from pipelines.migrate import files, show
from pipelines.migrate.translate import Command, Migration, translate
from pipelines.printable import one_line
from transforms.errors import TransferError, UsageError

_PROG = "python -m pipelines.migrate"

_WHAT = (
    "Reads the files of a Kafka Connect installation with Google's Pub/Sub connectors, and prints "
    "for each connector the command of this project that goes on where it stopped, with a line "
    "about every setting that has no equivalent or behaves differently. FILE is a worker's or a "
    "connector's .properties, the JSON of Connect's REST interface (such as "
    "/connectors?expand=info) or Strimzi's, a file of CONNECT_* variables, or a JAAS file; in any "
    "order and number. Starts, stops and changes nothing, and prints no secret."
)
_STATUS = (
    "What is printed is a shell script: commands, and comments. Exit status: 0 done; 2 wrong "
    "usage, a file that is not understood, no connector that can be migrated, or a failed --check."
)


@dataclass(frozen=True)
class Options:
    """A checked command line.

    Attributes:
      environ: KAFKA_BOOTSTRAP_SERVERS is read from it.
    """

    files: tuple[str, ...]
    check: bool
    json: bool
    debug: bool
    environ: Mapping[str, str]
    notes: tuple[str, ...] = ()


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Checks a command line; reads no file. `--help` prints and exits 0.

    Raises:
      UsageError: one line that says what is wrong.
    """
    found = _parser().parse_intermixed_args(list(argv))
    return Options(tuple(found.files), found.check, found.json, found.debug, environ)


def _parser() -> Parser:
    parser = Parser(
        prog=_PROG,
        usage="%(prog)s [--check] [--json] FILE [FILE ...]",
        description=_WHAT,
        epilog=_STATUS,
        allow_abbrev=False,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a file of Kafka Connect's")
    parser.add_argument(
        "--check",
        action="store_true",
        help="run preflight with each command, which contacts both ends and changes nothing",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


_CHANGING = "--create_topics="
"""The one flag of a command that changes something, which preflight refuses."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return run_command("migrate", parse, run, argv)


def run(options: Options) -> int:
    """Prints the commands, and with `--check` what preflight finds; returns the exit status.

    Raises:
      BridgeError: a file or a connector is not understood; the others' commands are printed.
    """
    try:
        migration = translate(files.read(options.files), options.environ)
        status = _print(migration, options)
    except OSError as error:
        raise TransferError(f"write standard output: {error.strerror}") from error
    except UsageError as error:
        raise UsageError(one_line(str(error))) from error
    if migration.errors:
        raise UsageError(one_line("; ".join(migration.errors)))
    return status


def _print(migration: Migration, options: Options) -> int:
    status = 0
    if not options.json:
        print(show.script(migration), end="", flush=True)
    results: list[Any] = []
    for command in migration.commands if options.check else ():
        failed, found = _check(command)
        status = max(status, failed)
        results.append(found)
        if not options.json:
            print(show.checked(command, found), end="", flush=True)
    if options.json:
        print(show.to_json(migration, results), flush=True)
    return status


def _check(command: Command) -> tuple[int, Any]:
    """Runs preflight with a command's flags; returns its exit status, and what it found.

    What is wrong it says itself, on standard error.
    """
    from pipelines.preflight.__main__ import main as preflight  # imports Google's clients

    name = one_line(f"migrate: check {command.connector}")
    argv = [flag for flag in command.argv if not flag.startswith(_CHANGING)]
    said = io.StringIO()
    unset = {name: value for name, value in command.known.items() if name not in os.environ}
    with environment({**unset, **command.environment}), redirect_stdout(said):
        status = preflight([*argv, "--json"], name)
    found = json.loads(said.getvalue()) if said.getvalue() else None
    if found and not status and (text := show.wrong(command, found)):
        status = 2
        output.say(f"{name}: {text}")
    return status, found


if __name__ == "__main__":
    sys.exit(main())
