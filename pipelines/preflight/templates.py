"""What a destination that is a template needs, as far as is known before there are messages."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import closing
from functools import partial
from itertools import chain

from pipelines import reaching
from pipelines.checks import check_again, run_all
from pipelines.facts import Facts, Found
from pipelines.options import Options
from pipelines.policies import resolved
from pipelines.reaching import CALL_S, Say
from transforms.destinations import Template
from transforms.errors import PreflightError, UnmappableError
from transforms.pubsub import client as pubsub
from transforms.records import KafkaRecord

_LEAST_S = 2.0
"""For the topics of a template, whatever the checks before them have taken."""

_SIDE_BY_SIDE = 16
_MOST_NAMES = 5


def reach(options: Options, template: Template) -> Found:
    """Checks what holds the topics: the cluster, or the project."""
    if template.system == "pubsub":
        with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
            admin.project(template.prefix.removesuffix("/topics/"))
        return {}

    def cluster() -> Found:
        with closing(reaching.open_kafka(options.kafka)) as admin:
            return {"cluster_id": admin.cluster_id()}

    return check_again(cluster)


def topics(options: Options, facts: Facts) -> list[str] | None:
    """All topics that are written, template or not; None where only messages tell."""
    template = resolved(options, facts)
    if template is None:
        return [options.pubsub_topic or options.kafka_topic]
    records = _records(options, facts)
    if _only_messages_tell(options, template, records):
        return None
    return sorted(_names(template, records))


def look(options: Options, facts: Facts, say: Say, ends_s: float) -> None:
    """Checks every topic that is known to be written, or says why none is.

    Args:
      say: told that the messages alone name the topics.
      ends_s: when all checks are to be over, on the monotonic clock.
    Raises:
      PreflightError: topics are missing or may not be written.
    """
    template = resolved(options, facts)
    if template is None:
        return
    records = _records(options, facts)
    if _only_messages_tell(options, template, records):
        say(
            f"write {template.text}: messages name its topics, none of which is checked; one that "
            f"names a topic that is not there {_fate(options)}"
        )
        return
    names = sorted(_names(template, records))
    left_s = max(_LEAST_S, ends_s - time.monotonic())
    if not names:
        return
    if template.system == "pubsub":
        _require_pubsub(options, names, left_s)
    else:
        check = partial(check_again, partial(_require_kafka, options, names))
        run_all({template.text: check}, left_s)


def _fate(options: Options) -> str:
    if options.create_topics is not None:
        return "creates it"
    if options.dead_letter is not None:
        return "becomes a dead letter"
    return "ends the run: set --dead_letter to go on"


def _records(options: Options, facts: Facts) -> list[KafkaRecord]:
    """One of each partition that is read, or of each topic of an archive that is named."""
    if options.route.source == "kafka":
        return [KafkaRecord(topic, number) for topic, number in facts.partitions]
    return [KafkaRecord(topic) for topic in facts.topics if not topic.startswith("^")]


def _only_messages_tell(
    options: Options, template: Template, records: Sequence[KafkaRecord]
) -> bool:
    kinds = {field.kind for field in template.fields}
    if not kinds or "attribute" in kinds:
        return bool(kinds)
    return options.route.source == "archive" and ("kafka.partition" in kinds or not records)


def _names(template: Template, records: Sequence[KafkaRecord]) -> set[str]:
    if not template.fields:
        return {template.name_for(KafkaRecord(""))}
    names, unfit = set(), {}
    for record in records:
        try:
            names.add(template.name_for(record))
        except UnmappableError as error:
            unfit[record.topic] = error.what
    if unfit:
        _, _, why = next(iter(unfit.values())).partition(": ")
        raise PreflightError(f"write what is read of {_some(list(unfit))}: {why}")
    return names


def _require_pubsub(options: Options, names: Sequence[str], left_s: float) -> None:
    needs = reaching.moved_here(options, pubsub.PUBLISH)

    def missing_of(part: Sequence[str]) -> list[str]:
        return [name for name in part if not admin.has_topic(name, *needs)]

    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        parts = [names[begin::_SIDE_BY_SIDE] for begin in range(min(_SIDE_BY_SIDE, len(names)))]
        found = run_all({_some(part): partial(missing_of, part) for part in parts}, left_s)
    missing = sorted(chain.from_iterable(found.values()))
    if missing:
        raise PreflightError(
            f"write {_some(missing)}: no such topic; create it, or correct --pubsub_topic"
        )


def _require_kafka(options: Options, names: Sequence[str]) -> None:
    with closing(reaching.open_kafka(options.kafka)) as admin:
        found = admin.topics(names)
    for info in found.values():
        reaching.require("WRITE", info)
    missing = [name for name in names if name not in found]
    if missing and options.create_topics is None:
        raise PreflightError(
            f"write {_some(missing)}: no such topic at {options.bootstrap_servers}; create it, "
            "correct --kafka_topic, or set --create_topics=PARTITIONS:REPLICATION"
        )


def _some(names: Collection[str]) -> str:
    """Names, as many as a line can have."""
    listed = sorted(names)
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(listed[:_MOST_NAMES]) + more
