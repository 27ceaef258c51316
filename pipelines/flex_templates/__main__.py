"""What `make template` and `make launch-example` need: see docs/dataflow.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipelines.command_line import Parser
from pipelines.flags import PIPELINES
from pipelines.flex_templates import launch
from transforms.errors import UsageError

_PLACE = ("project", "region", "bucket", "image")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a container spec, or a launch; returns the exit status."""
    try:
        return _run(_parser().parse_args(argv))
    except UsageError as error:
        print(f"flex_templates: {error}", file=sys.stderr)
        return error.exit_status


def _run(said: argparse.Namespace) -> int:
    if said.what == "spec":
        print(launch.text(launch.container_spec(said.template, said.image)), end="")
        return 0
    given = {name: getattr(said, name) for name in _PLACE if getattr(said, name)}
    place = launch.example_place(said.template, **given)
    checked = launch.example(said.template, place, _pairs(said.parameters))
    print(launch.command(checked))
    print(f"\n# or, for a scheduler, with this body: POST {launch.url(place)}")
    print(launch.text(launch.body(checked)), end="")
    return 0


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise UsageError(f"{text}: is not NAME=VALUE")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _parser() -> Parser:
    parser = Parser(prog="python -m pipelines.flex_templates", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True, parser_class=Parser)
    spec = commands.add_parser("spec", help="the file that a launch names")
    spec.add_argument("template", choices=PIPELINES)
    spec.add_argument("--image", required=True)
    example = commands.add_parser("launch", help="the command, and the body, of a launch")
    example.add_argument("template", choices=PIPELINES)
    example.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    for name in _PLACE:
        example.add_argument(f"--{name}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
