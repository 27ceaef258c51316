"""What `make template` and `make launch-example` need: see docs/dataflow.md."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence

from pipelines.command_line import Parser
from pipelines.flags import PIPELINES
from pipelines.flex_templates import launch
from pipelines.flex_templates.place import SETTINGS, example_place, tagged
from transforms.errors import UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a container spec, or a launch; returns the exit status."""
    try:
        return _run(_parser().parse_args(argv))
    except UsageError as error:
        print(f"flex_templates: {error}", file=sys.stderr)
        return error.exit_status


def _run(said: argparse.Namespace) -> int:
    if said.what == "spec":
        print(launch.text(launch.container_spec(said.template, tagged(said.image))), end="")
        return 0
    given = {name: getattr(said, name) for name in SETTINGS if getattr(said, name)}
    place = example_place(said.template, given)
    parameters = [pair for text in said.parameters for pair in _pairs(text)]
    checked = launch.example(said.template, place, dict(parameters))
    heading = f"# or, for a scheduler, with this body: POST {launch.url(place)}"
    body = launch.text(launch.body(checked))
    # In one piece, which a pipe holds whose reader (`head`) wants no more.
    print(f"{launch.command(checked)}\n\n{heading}\n{body}", end="")
    return 0


_NEXT = re.compile(r"\s+(?=[a-z][a-z0-9_]*=)")


def _pairs(text: str) -> list[tuple[str, str]]:
    """Parameters from `NAME=VALUE NAME=VALUE ...`, where a value goes on to the next name, whatever
    is in it; or from a JSON object, as the body of a launch has them.

    Raises:
      UsageError: it is neither.
    """
    if text.lstrip().startswith("{"):
        return _of_json(text)
    pairs = _NEXT.split(text.strip()) if text.strip() else []
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"{pair.split()[0]}: is not NAME=VALUE")
    return [(name, value) for name, _, value in (pair.partition("=") for pair in pairs)]


def _of_json(text: str) -> list[tuple[str, str]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError('parameters: are no JSON object such as {"night": "today"}') from None
    for name, value in found.items():
        if not isinstance(value, str):
            raise UsageError(f"{name}: is no text in JSON; write it in quotes")
    return list(found.items())


def _parser() -> Parser:
    parser = Parser(prog="python -m pipelines.flex_templates", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True, parser_class=Parser)
    spec = commands.add_parser("spec", help="the file that a launch names")
    spec.add_argument("template", choices=PIPELINES)
    spec.add_argument("--image", required=True)
    example = commands.add_parser("launch", help="the command, and the body, of a launch")
    example.add_argument("template", choices=PIPELINES)
    example.add_argument("parameters", nargs="*", metavar="NAME=VALUE ...")
    for name in SETTINGS:
        example.add_argument(f"--{name}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
