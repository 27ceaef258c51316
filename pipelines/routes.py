"""What a run reads and what it writes, as its flags say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines.flags import ARCHIVE, BACKFILL, KAFKA_TO_PS, PS_TO_KAFKA, End, Pipeline
from transforms.errors import UsageError


class Route(NamedTuple):
    """What is read, and what is written: one destination, or that and an archive beside it."""

    source: End
    sinks: tuple[End, ...]

    @property
    def sides(self) -> frozenset[str]:
        """As `Flag.side` has them."""
        return frozenset((f"reads {self.source}", *(f"writes {sink}" for sink in self.sinks)))

    def __str__(self) -> str:
        return f"{self.source} to {' and '.join(self.sinks)}"


def route(pipeline: Pipeline, value: Mapping[str, Any]) -> Route:
    """The route of a command line.

    Raises:
      UsageError: a source or destination is missing, or there are two, or they do not fit.
    """
    if pipeline == PS_TO_KAFKA:
        return Route("pubsub", ("kafka", "archive") if value["archive"] else ("kafka",))
    if pipeline == KAFKA_TO_PS:
        return Route("kafka", ("pubsub", "archive") if value["archive"] else ("pubsub",))
    found = Route(_source(pipeline, value), (_sink(pipeline, value),))
    if found.source in found.sinks:
        raise UsageError(f"{found}: these are the same; choose another destination")
    return found


_SOURCES: Mapping[Pipeline, Mapping[str, End]] = {
    ARCHIVE: {"kafka_topics": "kafka", "subscription": "pubsub"},
    BACKFILL: {
        "from_archive": "archive",
        "kafka_topics": "kafka",
        "subscription": "pubsub",
        "create_subscription_from": "pubsub",
    },
}
_SINKS: Mapping[Pipeline, Mapping[str, End]] = {
    ARCHIVE: {"archive": "archive"},
    BACKFILL: {"pubsub_topic": "pubsub", "kafka_topic": "kafka", "archive": "archive"},
}


def _source(pipeline: Pipeline, value: Mapping[str, Any]) -> End:
    given = [name for name in _SOURCES[pipeline] if value[name]]
    if given[:2] == ["from_archive", "kafka_topics"]:  # of an archive, these topics
        del given[1]
    return _SOURCES[pipeline][_one(pipeline, "what is read", given, _SOURCES[pipeline])]


def _sink(pipeline: Pipeline, value: Mapping[str, Any]) -> End:
    given = [name for name in _SINKS[pipeline] if value[name]]
    return _SINKS[pipeline][_one(pipeline, "what is written", given, _SINKS[pipeline])]


def _one(pipeline: Pipeline, what: str, given: list[str], names: Mapping[str, End]) -> str:
    if len(given) == 1:
        return given[0]
    choice = " or ".join(f"--{name}" for name in names)
    if given:
        both = " and ".join(f"--{name}" for name in given)
        raise UsageError(f"{both}: {pipeline} takes one of them; leave the other out")
    raise UsageError(f"{choice}: missing; {pipeline} needs to know {what}")
