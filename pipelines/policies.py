"""How the messages of a run become others, and where they go, as its options and facts say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pipelines.facts import Facts
from pipelines.options import Options
from transforms import origins
from transforms.dead_letters.places import Place
from transforms.destinations import Template
from transforms.errors import PreflightError
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy


def to_pubsub_policy(options: Options, facts: Facts) -> ToPubsubPolicy:
    """How records become messages."""
    return ToPubsubPolicy(
        Attributes(options.attributes),
        options.ordering_key,
        cluster_id=facts.cluster_id if options.drops_returns else "",
    )


def to_kafka_policy(options: Options, facts: Facts) -> ToKafkaPolicy:
    """How messages become records."""
    marks = options.drops_returns and facts.pubsub_topic
    return ToKafkaPolicy(
        topic=options.kafka_topic,
        attributes=Attributes(options.attributes),
        key=options.key.kind,
        key_attribute=options.key.name,
        partition=options.partition,
        origin=origins.of_pubsub(facts.pubsub_topic) if marks else "",
    )


def origin_of(options: Options, facts: Facts) -> Callable[[str], str]:
    """The origin (see `transforms.origins`) of a destination topic, whose messages are returns;
    empty lets all pass."""
    if not options.drops_returns:
        return _no_origin
    if "kafka" in options.route.sinks:
        return partial(origins.of_kafka, facts.cluster_id)
    return origins.of_pubsub


def _no_origin(_topic: str) -> str:
    return ""


def resolved(options: Options, facts: Facts) -> Template | None:
    """The template of a run, with what is known of its source filled in; it names no topic for dead
    letters.

    Raises:
      PreflightError: the name of the subscription's topic cannot stand in that of another.
    """
    template = options.template
    if template is None:
        return None
    if options.route.source == "pubsub":
        try:
            template = template.with_value("pubsub.topic", facts.pubsub_topic.rpartition("/")[2])
        except ValueError as error:
            raise PreflightError(f"write {template.text}: {error}") from error
    place: Place | None = options.dead_letter
    reserved = [place.name] if place is not None and place.kind == template.system else []
    return template.without(reserved)
