"""`python -m pipelines.migrate`: reads the files, prints the commands, checks them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout

from pipelines.commands import run_command
from pipelines.migrate import files, show
from pipelines.migrate.options import Options, parse
from pipelines.migrate.translate import Command, translate
from transforms.errors import TransferError

_CHANGING = "--create_topics="
"""The one flag of a command that changes something, which preflight refuses."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return run_command("migrate", parse, run, argv)


def run(options: Options) -> int:
    """Prints the commands, and with `--check` what preflight finds; returns the exit status.

    Raises:
      BridgeError: a file is not understood, or gives no command.
    """
    migration = translate(files.read(options.files), options.environ)
    try:
        if not options.json:
            print(show.script(migration), end="", flush=True)
        results = [_check(each, options) for each in migration.commands if options.check]
        if options.json:
            found = [json.loads(text) if text else None for _, text in results]
            print(show.to_json(migration, found), flush=True)
    except OSError as error:
        raise TransferError(f"write standard output: {error.strerror}") from error
    return max((status for status, _ in results), default=0)


def _check(command: Command, options: Options) -> tuple[int, str]:
    """Runs preflight with a command's flags; returns its exit status, and what it printed.

    What is wrong it says itself, in one line on standard error.
    """
    from pipelines.preflight.__main__ import main as preflight  # imports Google's clients

    argv = [flag for flag in command.argv if not flag.startswith(_CHANGING)]
    said = io.StringIO()
    with _environment(command.environment), redirect_stdout(said):
        status = preflight([*argv, *(["--json"] if options.json else [])])
    if not options.json:
        print(show.comments(f"{command.connector}\n{said.getvalue()}"), end="", flush=True)
    return status, said.getvalue()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
