"""A backfill that goes on after a kill leaves out what the killed run has delivered and had not
committed.

Before it writes, a run marks where the destination stands (`pipelines.marks`). The mark goes when a
run has ended in order. So a run that finds one follows a killed one: it looks at what has been
written since, and by that knows what it leaves out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain

from pipelines import marks
from pipelines.facts import Facts
from pipelines.flags import ONE_MACHINE_RUNNERS
from pipelines.marks import Mark
from pipelines.options import Options, Runner
from pipelines.preflight import templates
from transforms.delivered import Delivered, names
from transforms.errors import BridgeError, PreflightError
from transforms.registry import Bridge

_log = logging.getLogger(__name__)


class Resuming:
    """Of one run. Does nothing where the destination is an archive, in which nothing is twice, or
    on runners whose readers are in other processes."""

    def __init__(self, options: Options, facts: Facts) -> None:
        self._options = options
        self._facts = facts
        self._mark: Mark | None = None
        self._why_not = ""
        self._left_out = 0
        self._warned = False
        if "archive" in options.route.sinks or options.runner not in ONE_MACHINE_RUNNERS:
            return
        topics = templates.topics(options, facts)
        self._why_not = _why_not(options, facts, topics)
        if topics and not self._why_not:
            self._mark = marks.find(options, facts, topics)

    def begin(self) -> Delivered | None:
        """Marks where the destination stands, or looks at what a killed run has delivered.

        Raises:
          BridgeError: that cannot be read.
        """
        if self._why_not:
            self._warn(self._why_not)
        if self._mark is None:
            return None
        if self._options.force or not self._mark.is_there():
            self._place(self._mark)
            return None
        return self._look(self._mark)

    def _look(self, mark: Mark) -> Delivered | None:
        """Where that cannot be seen, says so, and what comes of it; at least once is left."""
        options, facts = self._options, self._facts
        _log.info("backfill %s: a run was killed; looking at what it has delivered", facts.name)
        source = options.route.source
        of_kafka = "kafka" in (source, *facts.archived_ends)
        wanted = facts.left if source == "kafka" else None
        try:
            found = chain.from_iterable(mark.written_since())
            delivered = Delivered(names(found, of_kafka, options.attributes == "lossless", wanted))
        except BridgeError as error:
            _log.warning(
                "backfill %s: what the killed run has delivered and not committed arrives twice: "
                "%s",
                facts.name,
                error,
            )
            return None
        self._left_out = len(delivered)
        _log.info(
            "backfill %s: %s messages are there; those that are read again are left out",
            facts.name,
            f"{len(delivered):,}",
        )
        return delivered if delivered else None

    def between(self, bridge: Bridge) -> None:
        """Nothing is in flight: marks anew, so that there is less to look at after a kill."""
        totals = bridge.counts.totals()
        if totals["delivered_before"] >= self._left_out:
            self._left_out = 0
        if self._mark is not None and not self._left_out and not totals["commit_failures"]:
            self._place(self._mark)

    @property
    def is_over(self) -> bool:
        """Whether, of a run that has ended in order, nothing comes again that is delivered."""
        return self._options.runner is Runner.IN_PROCESS and not self._left_out

    def end(self) -> None:
        """Nothing that is delivered comes again: takes the mark away."""
        if self._mark is None:
            return
        try:
            self._mark.remove()
        except PreflightError as error:
            _log.warning("%s", error)

    def _place(self, mark: Mark) -> None:
        try:
            mark.place()
        except PreflightError as error:
            if not self._warned:
                self._warn(str(error))
            self._warned = True

    def _warn(self, why: str) -> None:
        _log.warning(
            "backfill %s: if it is killed, what it has delivered and not committed by then arrives "
            "twice: %s",
            self._facts.name,
            why,
        )


def _why_not(options: Options, facts: Facts, topics: Sequence[str] | None) -> str:
    """Why a destination cannot tell what it has of the source; empty if it can."""
    if options.attributes == "none":
        return "with --attributes=none messages do not say where they are from"
    if len(facts.archived_ends) > 1:
        return "the archive has both Kafka records and Pub/Sub messages; give --kafka_topics"
    if options.attributes == "lossless" and facts.archived_ends & set(options.route.sinks):
        return "with --attributes=lossless a copy does not say what it is one of"
    if topics is None:
        return "the topics that are written are named by messages"
    if options.kafka_topic and not facts.topic.allows("READ"):
        return f"this user may not READ topic {options.kafka_topic}"
    return ""
