"""From arguments to checked values, for flags that are declared elsewhere; and their help."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

from pipelines import resource_names
from pipelines.flags import (
    ARCHIVE,
    BACKFILL,
    BRIDGES,
    KAFKA_TO_PS,
    PS_TO_KAFKA,
    RUNNERS,
    Flag,
    Pipeline,
    Runner,
)
from transforms import named_files
from transforms.errors import UsageError

WHAT = {
    PS_TO_KAFKA: "Carries messages from a Pub/Sub subscription to a Kafka topic, byte for byte.",
    KAFKA_TO_PS: "Carries records from Kafka topics to a Pub/Sub topic, byte for byte.",
    ARCHIVE: "Keeps whole records of Kafka topics, or messages of a subscription, in files.",
    BACKFILL: "Moves what a time, a night or a range of offsets holds: from Kafka, Pub/Sub or an "
    "archive to another of them. Never joins or moves a live group, and never touches a live "
    "subscription. Killed at any point, the same command goes on; finished, it does nothing.",
}
"""What each pipeline does."""

_DEMO = (
    "With neither source nor destination, DirectRunner runs a demo on an embedded Kafka and "
    "Pub/Sub emulator (BRIDGE_DEMO=off forbids it)."
)
_REST = (
    "All flags of Apache Beam and of its runners are accepted too. Exit status: 0 done or drained, "
    "1 delivery failed, 2 wrong usage or a failed check before anything was read; 130 or 143: a "
    "signal has cut a finite run short."
)


@dataclass(frozen=True)
class Taken:
    """What the command line says.

    Attributes:
      flags: the declarations that belong to this pipeline.
      values: a value for every declared flag, of the other pipeline too, by `dest`.
      written: the `dest` of those that were given as flags.
      given: those of them that say something: on Dataflow not those that say their default.
      rest: the arguments that are not ours.
    """

    flags: tuple[Flag, ...]
    values: dict[str, Any]
    written: frozenset[str]
    given: frozenset[str]
    rest: list[str]
    runner: Runner


def runner_name(text: str) -> str:
    """Beam's name of a runner, from any spelling that Beam takes, such as `dataflow`."""
    for name in RUNNERS:
        if text.lower() in (name.lower(), name.lower().removesuffix("runner")):
            return name
    raise ValueError(f"{text!r} is not one of {', '.join(RUNNERS)}")


def take(
    pipeline: Pipeline, flags: Sequence[Flag], argv: Sequence[str], environ: Mapping[str, str]
) -> Taken:
    """Takes the declared flags out of `argv`, and checks each value by itself.

    Raises:
      UsageError: a wrong value, or a flag that this pipeline or runner does not know.
    """
    ours = tuple(f for f in flags if pipeline in f.where)
    found, rest = _parser(pipeline, ours).parse_known_args(list(argv))
    texts = {f.dest: getattr(found, f.dest) for f in ours}
    texts = _with_brokers(texts)
    given = written = frozenset(dest for dest, text in texts.items() if text is not None)
    _refuse_foreign([f for f in flags if pipeline not in f.where and not f.beams_too], ours, rest)
    named_files.act_as(texts.get("impersonate_service_account") or "")
    values = {f.dest: value_of(f, texts[f.dest], environ) for f in ours}
    name = values["runner_name"] or "DirectRunner"
    runner = RUNNERS[name]
    for f in ours:
        if f.dest in given and runner not in f.where[pipeline]:
            raise UsageError(f"--{f.name}: means nothing with --runner={name}; leave it out")
    for f in flags:
        if values.get(f.dest) is None:
            values[f.dest] = f.default_for(pipeline, runner)
    if runner is Runner.DATAFLOW:  # the form of a template gives every default
        defaults = {f.dest: f.default_for(pipeline, runner) for f in ours}
        given = frozenset(dest for dest in written if values[dest] != defaults[dest])
    return Taken(ours, values, written, given, rest, runner)


def _with_brokers(texts: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the brokers that stand before topics as a flag of their own."""
    found = dict(texts)
    for name in ("kafka_topic", "kafka_topics"):
        brokers, topics = resource_names.brokers_and_topics(found.get(name) or "")
        if not brokers:
            continue
        if found["bootstrap_servers"] not in (None, brokers):
            raise UsageError(
                f"--{name}: names {brokers}, and --bootstrap_servers others; leave one out"
            )
        found |= {name: topics, "bootstrap_servers": brokers}
    return found


def value_of(f: Flag, text: str | list[str] | None, environ: Mapping[str, str]) -> Any:
    """A flag's value from its text, or from the environment; None where neither gives one.

    Raises:
      UsageError: names the flag or variable, and what would be right.
    """
    label = f"--{f.name}"
    if text is None and f.env and environ.get(f.env):
        label, text = f.env, environ[f.env]
    if text is None:
        return None
    try:
        return tuple(chain(*map(f.parse, text))) if isinstance(text, list) else f.parse(text)
    except ValueError as error:
        raise UsageError(f"{label}: {error}") from error


def _refuse_foreign(foreign: Sequence[Flag], ours: Sequence[Flag], rest: Sequence[str]) -> None:
    names = {f"--{f.name}": f for f in foreign}
    for argument in rest:
        f = names.get(argument.partition("=")[0])
        if f:
            similar = difflib.get_close_matches(f.name, [o.name for o in ours], 1, 0.85)
            hint = f"did you mean --{similar[0]}?" if similar else "leave it out"
            raise UsageError(f"--{f.name}: belongs to {', '.join(f.where)} alone; {hint}")


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises a one-line UsageError instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument ") + "; see --help")


def _parser(pipeline: Pipeline, flags: Sequence[Flag]) -> Parser:
    parser = Parser(
        prog=f"python -m pipelines.{pipeline}",
        usage="%(prog)s [--FLAG=VALUE ...]",
        description=f"{WHAT[pipeline]} {_DEMO}" if pipeline in BRIDGES else WHAT[pipeline],
        epilog=_REST,
        allow_abbrev=False,
    )
    add_flags(parser, flags, pipeline)
    return parser


def add_flags(parser: Parser, flags: Sequence[Flag], pipeline: Pipeline) -> None:
    """Adds flags to a parser, each group under its heading; help is that of `pipeline`."""
    groups: dict[str, Any] = {}
    for f in flags:
        group = groups.get(f.group) or groups.setdefault(
            f.group, parser.add_argument_group(f.group)
        )
        settings: dict[str, Any] = {"dest": f.dest, "help": help_text(f, pipeline)}
        if f.is_boolean:
            settings |= {"nargs": "?", "const": "true", "metavar": "true|false"}
        else:
            settings |= {"metavar": f.metavar}
        if f.bare:
            settings |= {"nargs": "?", "const": f.bare}
        if f.repeatable:
            settings["action"] = "append"
        group.add_argument(f"--{f.name}", **settings)
        if f.negation:
            group.add_argument(
                f"--{f.negation}",
                dest=f.dest,
                action="store_const",
                const="false",
                help=argparse.SUPPRESS,
            )


def help_text(f: Flag, pipeline: Pipeline) -> str:
    """A flag's help as argparse wants it."""
    default = f.shown_default()
    notes = [f"default: {default}" if default else "", f"or {f.env}" if f.env else ""]
    notes.append(f.shown_runners(pipeline))
    said = "; ".join(filter(None, notes))
    return (f.help_for(pipeline) + (f" ({said})" if said else "")).replace("%", "%%")
