"""The command line of `python -m pipelines.migrate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.command_line import Parser

PROG = "python -m pipelines.migrate"

_WHAT = (
    "Reads the files of a Kafka Connect installation with Google's Pub/Sub connectors, and prints "
    "for each connector the command of this project that goes on where it stopped, with a line "
    "about every setting that has no equivalent or behaves differently. FILE is a worker's or a "
    "connector's .properties, the JSON of Connect's REST interface (such as "
    "/connectors?expand=info), a file of CONNECT_* variables, or a JAAS file; in any order and "
    "number. Starts, stops and changes nothing, and prints no secret."
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
        prog=PROG,
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
