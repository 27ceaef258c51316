"""`python -m pipelines.audit`: options, preflight, the audit, signals, what is said at the end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence

from pipelines import report
from pipelines.audit import preflight, show
from pipelines.audit.options import Options, parse
from pipelines.audit.progress import Meter, shown
from pipelines.audit.run import Audit
from pipelines.audit.show import Result
from pipelines.commands import run_command
from pipelines.stopping import graceful_stop
from transforms.control import Bounds, Control
from transforms.errors import TransferError

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return run_command("audit", parse, run, argv)


def run(options: Options) -> int:
    """Checks both sides, audits, and says what was found; returns the exit status.

    Raises:
      BridgeError: a check failed, or the audit could not be finished.
    """
    facts = preflight.check(options, int(time.time() * 1000))
    meter, control = Meter(), Control(Bounds())
    audit = Audit(options, facts, meter, control)
    with graceful_stop(control, "stopping, and deleting temporary subscriptions"):
        try:
            with shown(meter):
                rows, missing, others = audit.run()
        except TransferError as error:
            read = ", ".join(f"{part} {n:,}" for part, n in meter.read.items()) or "nothing"
            raise TransferError(
                f"{error}; not finished: what was read ({read}) proves nothing"
            ) from error
    result = Result(
        _source(options, facts),
        _destination(options),
        rows,
        missing,
        others,
        facts.doubts,
        meter.seconds,
    )
    _write_missing(options, result)
    try:
        if options.json:
            print(json.dumps(show.content(result), indent=2), flush=True)
        else:
            show.table(result)
    except OSError as error:
        raise TransferError(f"write standard output: {error.strerror}") from error
    level = logging.INFO if result.total.expected else logging.WARNING
    level = logging.ERROR if result.total.missing else level
    _log.log(level, "%s", show.last_line(result))
    return 1 if result.total.missing else 0


def _write_missing(options: Options, result: Result) -> None:
    if options.missing is None:
        return
    try:
        report.write(options.missing, show.missing_file(result.missing))
    except OSError as error:
        raise TransferError(f"write --missing {options.missing}: {error.strerror}") from error


def _source(options: Options, facts: preflight.Facts) -> str:
    if options.from_kafka:
        return ",".join(options.kafka_topics)
    return facts.past.topic if facts.past else options.archive


def _destination(options: Options) -> str:
    if options.kafka_topic:
        return options.kafka_topic
    return options.archive or options.pubsub_topic
