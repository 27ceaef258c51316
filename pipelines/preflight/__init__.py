"""Checks both sides within seconds, before anything is read; and does what is done once, first.

Clients retry an unreachable service for minutes without a word, so every call here has its own
deadline, and all of them together have one. What changes something (`--create_topics`,
`--reset_offsets`, `--seek`, a subscription for a backfill) is done only after every check has
passed.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pipelines import prism, wanted
from pipelines.checks import check_again, quiet_clients, run_all
from pipelines.facts import Facts, Look
from pipelines.flags import End
from pipelines.options import BACKFILL, Options, Runner
from pipelines.preflight import (
    archive_source,
    dead_letters,
    job_server,
    kafka_source,
    pubsub_source,
    running_job,
    sinks,
    templates,
)
from pipelines.reaching import CHECKS_S, Say
from transforms import stop_file

__all__ = ["check", "look"]

_say: Say = logging.getLogger(__name__).info

_LISTING_S = 120.0
"""An archive of years has files in plenty, which are all listed."""

_SOURCES: dict[End, Any] = {
    "kafka": kafka_source,
    "pubsub": pubsub_source,
    "archive": archive_source,
}


def check(options: Options, say: Say = _say, clock: Callable[[], float] = time.time) -> Facts:
    """Checks both sides, then does what the flags want done once.

    Args:
      say: told, in one line each, what was changed and what looks odd.
      clock: seconds since the epoch.
    Raises:
      PreflightError: one line for each thing that is not as needed.
      UsageError: the night of a backfill lies ahead, or the runner is not there.
    """
    with quiet_clients(options.debug):
        facts = look(options, say, clock)
        return act(options, facts, say, clock)


def look(options: Options, say: Say = _say, clock: Callable[[], float] = time.time) -> Facts:
    """Checks both sides; changes nothing. Arguments and errors are those of `check`."""
    if options.runner is Runner.PRISM:
        prism.located(options.beam_args, os.environ)
    known = Look(int(clock() * 1000))
    ends_s = time.monotonic() + CHECKS_S
    if options.pipeline == BACKFILL:
        what = wanted.wanted(options, known.now_ms)
        known = known._replace(wanted=what, name=wanted.name(options, what))
    source = _SOURCES[options.route.source]
    checks: dict[str, Callable[[], Any]] = {
        source.name(options): partial(source.look, options, known)
    }
    checks |= sinks.checks(options)
    checks |= running_job.checks(options)
    checks |= job_server.checks(options)
    checks["dead letters"] = partial(check_again, partial(dead_letters.look, options))
    found = run_all(checks, _LISTING_S if options.route.source == "archive" else CHECKS_S)
    letters_bytes = found.pop("dead letters")
    facts = Facts(now_ms=known.now_ms, wanted=known.wanted, name=known.name)
    for more in found.values():
        facts = facts.with_(more)
    dead_letters.refuse_unfit(options, facts, letters_bytes)
    templates.look(options, facts, say, ends_s)
    source.note(options, facts, say)
    return facts


def act(
    options: Options, facts: Facts, say: Say = _say, clock: Callable[[], float] = time.time
) -> Facts:
    """Does what is done once, first; arguments and errors are those of `check`."""
    if options.stop_file:
        stop_file.clear(options.stop_file)
    facts = sinks.act(options, facts, say)
    done: Facts = _SOURCES[options.route.source].act(options, facts, say, int(clock() * 1000))
    return done
