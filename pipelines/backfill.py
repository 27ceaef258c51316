"""Moves a range once: `python -m pipelines.backfill --help`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from pipelines import backfill_show, backfill_state, preflight, runtime
from pipelines.checks import quiet_clients
from pipelines.commands import run_command
from pipelines.facts import Facts
from pipelines.options import BACKFILL, Options, Runner, parse
from pipelines.preflight import archive_source, pubsub_source
from pipelines.reaching import CALL_S
from pipelines.resuming import Resuming
from transforms.pubsub import client as pubsub

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return run_command(BACKFILL, partial(parse, BACKFILL), run, argv)


def run(options: Options) -> int:
    """Moves what is not moved yet; returns the exit status.

    Raises:
      BridgeError: a check failed, or delivery did.
    """
    with quiet_clients(options.debug):
        facts = preflight.look(options)
        if options.route.source == "pubsub":
            facts = pubsub_source.status(options, facts)
        if options.dry_run:
            facts = facts.with_({"committed": {}}) if options.force else facts
            backfill_show.plan(options, facts)
            return 0
        facts = preflight.act(options, facts)
    resuming = Resuming(options, facts)
    if options.route.source == "kafka" and not facts.ranges:
        resuming.end()
        _log.warning(
            "%s: there is nothing to move, no record in that range",
            backfill_show.title(options, facts),
        )
        return runtime.nothing_to_do(options)
    if _is_done(options, facts):
        resuming.end()
        _log.info("%s is done already; --force repeats it", backfill_show.title(options, facts))
        return runtime.nothing_to_do(options)
    _log.info("%s%s", backfill_show.title(options, facts), backfill_show.going_on(facts))
    with quiet_clients(options.debug):
        facts = facts.with_({"delivered": resuming.begin()})
    finished: list[bool] = []

    def finish() -> None:
        finished.append(True)
        _finish(options, facts)
        resuming.end()

    status = runtime.run(options, facts, finish, resuming.between)
    if not finished and options.runner is Runner.DATAFLOW:
        _log.info(
            "backfill %s: when its job has ended, the same command with --runner=DirectRunner "
            "moves what is left, and finishes it",
            facts.name,
        )
    elif not finished:
        if resuming.is_over:
            resuming.end()
            if options.route.source == "pubsub":
                backfill_state.save(options, facts, "paused")
        _log.warning("backfill %s is not finished: the same command goes on", facts.name)
    return status


def _is_done(options: Options, facts: Facts) -> bool:
    if options.route.source == "kafka":
        return not any(ranges.spans for ranges in facts.left.values())
    if options.route.source == "archive":
        return facts.archived_left == 0
    return facts.status == "done"


def _finish(options: Options, facts: Facts) -> None:
    """All is delivered: remembers it where what was read does not say so itself."""
    if options.route.source == "archive":
        archive_source.remember_finished(facts)
    if options.route.source != "pubsub":
        return
    if facts.wanted.to_ms is None or facts.wanted.to_ms > facts.now_ms:
        _log.info(
            "%s is not over: the same command moves what has come since; %s stays until then",
            backfill_show.title(options, facts),
            facts.subscription,
        )
        backfill_state.save(options, facts, "paused")
        return
    backfill_state.save(options, facts, "done")
    if options.create_subscription_from:
        with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
            admin.delete_subscription(facts.subscription)
        _log.info("deleted %s", facts.subscription)


if __name__ == "__main__":
    sys.exit(main())
