"""`python -m pipelines.redrive`: options, preflight, the loop, signals, what is said at the end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pipelines import report
from pipelines.commands import run_command
from pipelines.redrive import preflight, show
from pipelines.redrive.loop import Redrive
from pipelines.redrive.options import Options, parse
from pipelines.redrive.preflight import Facts
from pipelines.stopping import graceful_stop
from transforms.control import Bounds, Control
from transforms.dead_letter import DeadLetterSource
from transforms.dead_letters.sending import (
    Original,
    Rehearsal,
    Sender,
    open_kafka_sender,
    open_pubsub_sender,
    to_kafka_by,
    to_pubsub_by,
)
from transforms.dead_letters.sources import open_source
from transforms.errors import CommitError, TransferError
from transforms.explain import Destination, refusals
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return run_command("redrive", parse, run, argv)


def run(options: Options) -> int:
    """Checks both ends, then sends until the last letter, or until told to stop.

    Raises:
      BridgeError: a check failed, or a service is down.
    """
    facts = preflight.check(options)
    control = Control(Bounds())
    with graceful_stop(control, "stopping after this batch"), contextlib.ExitStack() as opened:
        source = open_source(
            options.source,
            options.kafka,
            options.group_id,
            facts.ack_deadline_s,
            options.state,
            options.pubsub,
        )
        opened.callback(source.close)
        sender = _open_sender(options, facts)
        opened.callback(sender.close)
        return redrive(options, source, sender, control)


def redrive(
    options: Options, source: DeadLetterSource, sender: Sender | Rehearsal, control: Control
) -> int:
    """Sends what is selected, and says what became of it; returns the exit status.

    Raises:
      TransferError: a service is down.
    """
    failing, would_send = show.Listing(), show.Listing()
    show_would_send = would_send.add if options.dry_run else None
    job = Redrive(source, sender.send, options.selection, failing.add, show_would_send)
    failure: TransferError | None = None
    began = time.monotonic()
    try:
        job.run(_asker(control))
    except TransferError as error:
        failure = error
    seconds = time.monotonic() - began
    tally, dropped = job.tally, sender.fields_dropped
    would_send.print("would be sent")
    failing.print("would still fail" if options.dry_run else "still failing, and still there")
    if options.report is not None:
        content = show.report(tally, dropped, seconds, str(failure or ""))
        failure = _write_report(options, content, failure)
    why = _why(job, control, failure)
    line = show.last_line(tally, dropped, options.dry_run, why, seconds)
    _log.log(logging.ERROR if failure or tally.failed else logging.INFO, "%s", line)
    if failure is not None:
        raise failure
    return 1 if tally.failed else 0


def _open_sender(options: Options, facts: Facts) -> Sender | Rehearsal:
    """What sends; in a dry run, what only tells that it could not."""
    to, attributes = options.destination, Attributes(options.attributes)
    timeout_s = options.delivery_timeout_s
    if to is None:
        return Rehearsal(_as_it_is, _nothing_refused)
    if to.kind == "pubsub":
        to_pubsub = ToPubsubPolicy(attributes, options.ordering_key)
        if options.dry_run:
            return Rehearsal(to_pubsub_by(to_pubsub), _nothing_refused)
        return open_pubsub_sender(to.name, to_pubsub, timeout_s, options.pubsub)
    assert facts.topic is not None
    to_kafka = ToKafkaPolicy(
        to.name, attributes, options.key.kind, options.key.name, options.partition
    )
    if options.dry_run:
        there = Destination(facts.topic, options.client, int(time.time() * 1000))
        return Rehearsal(to_kafka_by(to_kafka), partial(refusals, destination=there))
    return open_kafka_sender(options.kafka, facts.topic, to_kafka, timeout_s)


def _as_it_is(original: Original, _dropped: list[str]) -> Original:
    return original


def _nothing_refused(_record: object) -> tuple[str, ...]:
    return ()


def _asker(control: Control) -> Callable[[], bool]:
    def stopping() -> bool:
        return control.stopping

    return stopping


def _why(job: Redrive, control: Control, failure: TransferError | None) -> str:
    """Why the run ended, and what that means."""
    if isinstance(failure, CommitError):
        return "failed: what was sent last is not remembered, and is sent again by the next run"
    if failure is not None:
        return "failed: the next run goes on from what is remembered"
    if control.stop_reason:
        return f"stopped ({control.stop_reason})"
    if job.exhausted:
        return "stopped (--max_messages reached)"
    if job.tally.would_send:
        return "a dry run sends nothing"
    if job.tally.failed:
        return "what still fails stays where it is"
    if not job.tally.sent:
        return "nothing was found that is to be sent"
    return "all that was to be sent is delivered and remembered"


def _write_report(
    options: Options, content: dict[str, Any], failure: TransferError | None
) -> TransferError | None:
    """Writes the report; one that cannot be written is the run's failure, unless it has one."""
    assert options.report is not None
    try:
        report.write(options.report, content)
    except OSError as error:
        return failure or TransferError(f"write --report {options.report}: {error.strerror}")
    return failure
