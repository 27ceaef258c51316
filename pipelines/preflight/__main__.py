"""`python -m pipelines.preflight [FLAGS OF EITHER PIPELINE] [--sample N] [--json]`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from pipelines import output, preflight
from pipelines.command_line import Parser
from pipelines.commands import run_command
from pipelines.facts import Facts
from pipelines.flag_values import whole_number
from pipelines.local.child import Stopped, stop_signals
from pipelines.options import KAFKA_TO_PS, PS_TO_KAFKA, Options, Pipeline, parse
from pipelines.preflight import sample_kafka, sample_pubsub, sample_show
from pipelines.preflight.sample import Tally, tally_of_messages, tally_of_records
from pipelines.preflight.sample_found import found
from pipelines.preflight.sample_show import Result
from transforms.errors import PreflightError, TransferError, UsageError
from transforms.explain import DEAD_LETTER

_PROG = "python -m pipelines.preflight"
_TELLING: dict[Pipeline, tuple[str, ...]] = {
    PS_TO_KAFKA: ("--subscription", "--kafka_topic"),
    KAFKA_TO_PS: ("--kafka_topics", "--pubsub_topic"),
}
"""The flags that say which pipeline is meant."""

_CHANGING = ("create_topics", "reset_offsets", "seek")

_WOULD_STOP = 1


@dataclass(frozen=True)
class Command:
    """A checked command line.

    Attributes:
      sample: how many messages are looked at; 0 for none.
      bridge: the options of the bridge that is meant, whose notes are part of the result.
    """

    sample: int
    json: bool
    bridge: Options
    notes: tuple[str, ...] = ()

    @property
    def debug(self) -> bool:
        return self.bridge.debug


def main(argv: Sequence[str] | None = None, name: str = "preflight") -> int:
    """Runs the command line; returns the exit status.

    Args:
      name: what an error is told under.
    """
    return run_command(name, parse_command, run, argv)


def run(command: Command) -> int:
    """Looks, and prints what was found; returns the exit status.

    Raises:
      PreflightError: a check failed, or the source cannot be read.
    """
    try:
        with stop_signals():
            result = _look(command.bridge, command.sample)
    except TransferError as error:  # its exit status means something else here
        raise PreflightError(str(error)) from error
    except Stopped as stopped:
        return 128 + stopped.number
    if command.json:
        print(sample_show.to_json(result))
    else:
        sample_show.to_people(result, sys.stdout)
    return _WOULD_STOP if result.stops else 0


def _look(options: Options, count: int) -> Result:
    """Checks, then samples.

    Args:
      count: how many messages; 0 for none.
    Raises:
      BridgeError: a check failed, or the source cannot be read.
    """
    began_s = time.monotonic()
    notes = [*options.notes]
    facts = preflight.check(options, notes.append)
    result = Result(options.pipeline, found(options, facts), notes)
    if count:
        result.tally = _sample(options, facts, count, notes)
        dead = result.tally.kinds[DEAD_LETTER]
        result.stops = bool(dead) and options.dead_letter is None
    result.seconds = time.monotonic() - began_s
    return result


def _sample(options: Options, facts: Facts, count: int, notes: list[str]) -> Tally:
    if options.pipeline == KAFKA_TO_PS:
        output.say(f"reading up to {count:,} of the newest records; nothing is committed")
        tally, add = tally_of_records(options, facts)
        records = sample_kafka.newest(options.kafka, facts.partitions, count, notes.append)
        with closing(records):
            for record in records:
                add(record)
        return tally
    output.say(
        f"pulling up to {count:,} messages, which other readers of the subscription wait for until "
        "they are given back in a moment; none is acknowledged"
    )
    tally, add = tally_of_messages(options, facts, time.time)
    messages = sample_pubsub.pulled(
        options.subscription, facts.ack_deadline_s, count, notes.append, service=options.pubsub
    )
    with closing(messages):
        for message in messages:
            add(message)
    return tally


# -- the command line ------------------------------------------------------------------------------


def parse_command(argv: Sequence[str], environ: Mapping[str, str]) -> Command:
    """Checks our own flags, and the options of the bridge that is meant.

    Raises:
      UsageError: one line that names the flag.
    """
    own, rest = _parser().parse_known_args(list(argv))
    try:
        sample = 0 if own.sample is None else whole_number(own.sample)
    except ValueError as error:
        raise UsageError(f"--sample: {error}") from error
    # Without source and destination the bridge would be a demo, of which there is nothing to know.
    options = parse(_pipeline(rest), rest, {**environ, "BRIDGE_DEMO": "off"})
    for name in _CHANGING:
        if getattr(options, name):
            raise UsageError(
                f"--{name}: would change something, which preflight does not; leave it out"
            )
    return Command(sample, own.json, options)


def _pipeline(argv: Sequence[str]) -> Pipeline:
    """Which pipeline takes these flags.

    Raises:
      UsageError: neither or both.
    """
    given = {argument.partition("=")[0] for argument in argv}
    meant = [pipeline for pipeline, flags in _TELLING.items() if given & set(flags)]
    if len(meant) == 1:
        return meant[0]
    telling = "; ".join(
        f"{' and '.join(flags)} for {pipeline}" for pipeline, flags in _TELLING.items()
    )
    found = "flags of both pipelines" if meant else "which pipeline is meant is not said"
    raise UsageError(f"{found}; give {telling}")


def _parser() -> Parser:
    parser = Parser(
        prog=_PROG,
        usage="%(prog)s [--sample N] [--json] --FLAG=VALUE ...",
        description="Checks both ends of a bridge, and says what would become of the messages that "
        "are there; changes, commits and acknowledges nothing. Takes the command line of "
        "pipelines.ps_to_kafka or pipelines.kafka_to_ps, whose --help has all flags; which of the "
        "two is meant follows from them. --create_topics, --reset_offsets and --seek, which change "
        "something, are refused.",
        epilog="A sample of Kafka is read beside the group, which does not notice. A sample of "
        "Pub/Sub is pulled and given back within a minute: until then other readers of the "
        "subscription do not get these messages, and where it has a dead-letter or retry policy "
        "this counts as a failed delivery. Exit status: 0 good; 1 a sampled message would become a "
        "dead letter and --dead_letter is not set, so that the bridge would stop there; 2 wrong "
        "usage, a failed check, or a source that cannot be read.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--sample",
        metavar="N",
        help="look at N messages: of Kafka the newest, of Pub/Sub those that come first",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
