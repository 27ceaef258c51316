"""What every command does around its work: options, logging, errors in one line, exit status."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from pipelines import memory, output
from transforms.errors import BridgeError

_log = logging.getLogger(__name__)


class _Checked(Protocol):
    """A checked command line."""

    @property
    def debug(self) -> bool: ...

    @property
    def notes(self) -> Sequence[str]: ...


_Options = TypeVar("_Options", bound=_Checked)


def run_command(
    name: str,
    parse: Callable[[Sequence[str], Mapping[str, str]], _Options],
    run: Callable[[_Options], int],
    argv: Sequence[str] | None,
) -> int:
    """Parses and runs a command line; returns the exit status.

    Args:
      name: what an error is told under.
      run: returns the exit status, or raises a BridgeError that has it.
      argv: the arguments without the program's name; those of this process by default.
    """
    memory.use_few_arenas()
    argv = sys.argv[1:] if argv is None else argv
    debug = "--debug" in argv
    try:
        options = parse(argv, os.environ)
        debug = options.debug
        output.configure_logging(debug, demo=getattr(options, "demo", False))
        for note in options.notes:
            _log.warning(note)
        return run(options)
    except BridgeError as error:
        if debug:
            _log.exception("failed")
        output.say(f"{name}: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        return 130
