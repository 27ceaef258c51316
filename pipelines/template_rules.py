"""A destination that is a template: which fields it may have, as its source can fill them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.flags import BACKFILL, End, Pipeline
from pipelines.routes import Route
from transforms import destinations
from transforms.destinations import Kind, Template
from transforms.errors import UsageError

_KINDS: Mapping[End, frozenset[Kind]] = {
    "kafka": frozenset({"kafka.topic", "kafka.partition", "attribute"}),
    "pubsub": frozenset({"pubsub.topic", "attribute"}),
    "archive": frozenset({"kafka.topic", "kafka.partition", "attribute"}),
}
"""By what is read."""

_INSTEAD: Mapping[End, str] = {
    "kafka": "{kafka.topic}, {kafka.partition} or {attribute:NAME}, a header's",
    "pubsub": "{attribute:NAME}, such as {attribute:kafka.topic}, or {pubsub.topic}",
    "archive": "{kafka.topic}, {kafka.partition} or {attribute:NAME}",
}


def template(route: Route, value: Mapping[str, Any]) -> Template | None:
    """The template that names the topic of each message; None where all go to one.

    Args:
      value: has `kafka_topic` and `pubsub_topic`.
    """
    for system in ("kafka", "pubsub"):
        text = value[f"{system}_topic"]
        if system in route.sinks and destinations.is_template(text):
            return destinations.parse(system, text)
    return None


def check(pipeline: Pipeline, route: Route, value: Mapping[str, Any]) -> None:
    """Refuses fields that mean nothing on a route, and a run whose state would have no place.

    Raises:
      UsageError: names the flag, and what to do.
    """
    found = template(route, value)
    if found is None:
        return
    flag = f"--{found.system}_topic"
    for field in found.fields:
        if field.kind not in _KINDS[route.source]:
            raise UsageError(
                f"{flag}: {field} means nothing from {route}; use {_INSTEAD[route.source]}"
            )
    if pipeline == BACKFILL and route.source == "pubsub" and not value["state"]:
        raise UsageError(
            f"--state: missing; {flag}={found.text} names no one topic for the commit that says "
            "how far the backfill is; give a file"
        )
