"""`python -m pipelines.console`: options, preflight, the messages, what is said around them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from pipelines import output
from pipelines.commands import run_command
from pipelines.console import preflight, reading, show
from pipelines.console.options import Options, parse
from pipelines.console.payload import time_of
from pipelines.console.preflight import Facts
from pipelines.console.reading import waits
from pipelines.signals import handled
from pipelines.stopping import graceful_stop
from transforms.control import Bounds, Control
from transforms.decode import Decoder
from transforms.errors import TransferError
from transforms.pubsub.temporary import temporary_subscription


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return run_command("console", parse, run, argv)


def run(options: Options) -> int:
    """Checks the source, and prints what is asked for; returns the exit status.

    Raises:
      BridgeError: a check failed, or reading.
    """
    facts = preflight.check(options, int(time.time() * 1000))
    control = Control(Bounds())
    with graceful_stop(control, "stopping"), _hang_up(control):
        for line in _beginning(options, facts):
            output.say(line)
        with _records(options, facts, control) as records:
            shown = _print_all(options, records)
        if shown is None:
            return 0
        output.say(_end(options, control, shown))
    return 0


@contextmanager
def _hang_up(control: Control) -> Iterator[None]:
    """Closing the terminal is a way to end it, too."""

    def on_signal(number: int, _: Any) -> None:
        control.stop(signal.Signals(number).name)

    with handled((signal.SIGHUP,), on_signal):
        yield


@contextmanager
def _records(options: Options, facts: Facts, control: Control) -> Iterator[Iterator[show.Record]]:
    """Opens what is read, and leaves nothing behind."""

    def stopping() -> bool:
        return control.stopping

    if options.kafka_topics:
        with closing(reading.kafka(options, facts, stopping, time.monotonic)) as records:
            yield records
    elif facts.past is not None:
        with (
            temporary_subscription(reading.READER, facts.past, options.pubsub) as name,
            closing(reading.pubsub(options, name, stopping, take=False)) as messages,
        ):
            yield messages
    else:
        with closing(reading.pubsub(options, options.subscription, stopping, take=True)) as taken:
            yield taken


def _print_all(options: Options, records: Iterator[show.Record]) -> int | None:
    """Prints until there are no more; returns how many. None: whoever reads them has gone.

    Raises:
      TransferError: standard output cannot be written.
    """
    print_one = _printer(options)
    shown = 0
    for record in records:
        try:
            print_one(record)
        except BrokenPipeError:
            # What Python would still write there at its end goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None
        except OSError as error:
            raise TransferError(f"write standard output: {error.strerror}") from error
        shown += 1
    return shown


def _printer(options: Options) -> Callable[[show.Record], None]:
    decoder = Decoder(options.registry, options.largest_bytes) if options.decode else None
    if not options.json:
        return show.Screen(decoder).show

    def print_json(record: show.Record) -> None:
        print(show.to_json(record, decoder), flush=True)

    return print_json


# -- what is said ----------------------------------------------------------------------------------


def _beginning(options: Options, facts: Facts) -> Iterator[str]:
    silent = f"until nothing comes for {options.idle_seconds:g} s"
    until = "until Ctrl-C" if options.follow else silent
    if options.kafka_topics:
        topics = sorted({topic for topic, _ in facts.held}) or list(options.kafka_topics)
        names = ", ".join(topics[:5]) + (f" and {len(topics) - 5} more" if topics[5:] else "")
        held = f"with {facts.offsets:,} offsets" if facts.offsets else "without any record"
        parts = _count(len(facts.held), "partition")
        yield f"{names}: {parts} {held} at {options.bootstrap_servers}"
        if waits(options):
            yield f"waiting for what comes, {until}"
    elif facts.past is None:
        yield (
            f"taking from {options.subscription}, {until}: what is shown is acknowledged, and no "
            "other reader gets it"
        )
    elif facts.past.since_ms is not None:
        since = time_of(facts.past.since_ms)
        yield f"{facts.past.topic}: what it keeps from {since} on, {until}"
    else:
        keeps = "" if facts.retention_s else "it keeps no past; "
        yield f"{facts.past.topic}: {keeps}waiting for what is published from now on, {until}"


def _end(options: Options, control: Control, shown: int) -> str:
    said = f"{_count(shown, 'record' if options.kafka_topics else 'message')} shown"
    if control.stop_reason:
        return f"{said}; stopped ({control.stop_reason})"
    if options.limit is not None and shown >= options.limit:
        return f"{said}; --limit=N shows more, --follow what comes"
    if waits(options):
        return f"{said}; nothing more came for {options.idle_seconds:g} s"
    return said


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
