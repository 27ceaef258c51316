"""Templates on the command line, and what of them is checked before anything is read."""

from __future__ import annotations

import time

import pytest

from pipelines.audit import options as audit_options
from pipelines.facts import Facts
from pipelines.options import BACKFILL, KAFKA_TO_PS, PS_TO_KAFKA, Options, parse
from pipelines.preflight import templates
from transforms.errors import PreflightError, UsageError
from transforms.kafka.client import TopicInfo
from transforms.pubsub import client as pubsub

KAFKA = "--bootstrap_servers=b:1"
FROM_KAFKA = ["--kafka_topics=t", "--group_id=g"]
FROM_PUBSUB = ["--subscription=projects/p/subscriptions/sss"]
FROM_ARCHIVE = ["--from_archive=/tmp"]
TOPICS = "projects/p/topics/"


def kafka_to_ps(template: str, *more: str) -> Options:
    return parse(KAFKA_TO_PS, [KAFKA, *FROM_KAFKA, f"--pubsub_topic={TOPICS}{template}", *more], {})


def ps_to_kafka(template: str, *more: str) -> Options:
    return parse(PS_TO_KAFKA, [KAFKA, *FROM_PUBSUB, f"--kafka_topic={template}", *more], {})


@pytest.mark.parametrize(
    ("pipeline", "flags", "reason"),
    [
        (KAFKA_TO_PS, [*FROM_KAFKA, f"--pubsub_topic={TOPICS}{{x}}"], "'{x}' is no field"),
        (
            KAFKA_TO_PS,
            [*FROM_KAFKA, f"--pubsub_topic={TOPICS}{{pubsub.topic}}"],
            "{pubsub.topic} means nothing from kafka to pubsub; use {kafka.topic}",
        ),
        (
            PS_TO_KAFKA,
            [*FROM_PUBSUB, "--kafka_topic={kafka.topic}"],
            "means nothing from pubsub to kafka; use {attribute:NAME}, such as "
            "{attribute:kafka.topic}",
        ),
        (BACKFILL, [*FROM_ARCHIVE, "--kafka_topic={pubsub.topic}"], "means nothing from archive"),
        (
            BACKFILL,
            [*FROM_PUBSUB, "--group_id=g", "--kafka_topic={pubsub.topic}"],
            "--state: missing; --kafka_topic={pubsub.topic} names no one topic",
        ),
    ],
)
def test_a_field_that_its_source_cannot_fill_in_is_refused(pipeline, flags, reason):
    with pytest.raises(UsageError) as raised:
        parse(pipeline, [KAFKA, *flags], {})
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("pipeline", "flags"),
    [
        (BACKFILL, [*FROM_ARCHIVE, "--kafka_topic={kafka.topic}"]),
        (BACKFILL, [*FROM_PUBSUB, "--state=/tmp/s.json", "--kafka_topic=a-{pubsub.topic}"]),
        (BACKFILL, [*FROM_KAFKA, f"--pubsub_topic={TOPICS}{{kafka.topic}}"]),
        (KAFKA_TO_PS, [*FROM_KAFKA, "--archive=/tmp", f"--pubsub_topic={TOPICS}{{attribute:a}}"]),
    ],
)
def test_a_template_is_taken_wherever_a_topic_is_written(pipeline, flags):
    template = parse(pipeline, [KAFKA, *flags], {}).template
    assert template is not None
    assert template.fields


@pytest.mark.parametrize(
    "flags",
    [
        ["--kafka_topics=t", f"--pubsub_topic={TOPICS}{{kafka.topic}}"],
        ["--kafka_topic=a-{attribute:a}", *FROM_PUBSUB],
    ],
)
def test_the_audit_takes_no_template(flags):
    with pytest.raises(UsageError, match=r"is a template; audit one of its topics"):
        audit_options.parse([KAFKA, *flags], {})


# -- before anything is read -----------------------------------------------------------------------


class Service:
    """An admin of either system."""

    def __init__(self, *there: str) -> None:
        self.there = there
        self.looked_at: list[str] = []

    def topics(self, names):
        self.looked_at += names
        return {n: TopicInfo(n, 1, 1_000) for n in names if n in self.there}

    def has_topic(self, name, *needs):
        assert needs == (pubsub.PUBLISH,)
        self.looked_at.append(name)
        return name in self.there

    def close(self):
        pass


@pytest.fixture
def serve(monkeypatch):
    def start(*there: str) -> Service:
        service = Service(*there)
        monkeypatch.setattr(templates.reaching, "open_kafka", lambda _cluster: service)
        monkeypatch.setattr(pubsub, "open_admin", lambda *_: service)
        return service

    return start


def look(options: Options, **facts) -> list[str]:
    said: list[str] = []
    templates.look(options, Facts(**facts), said.append, time.monotonic() + 5)
    return said


def parts(*topics: str):
    return {"topics": topics, "partitions": tuple((topic, n) for topic in topics for n in (0, 1))}


def test_every_topic_that_is_read_needs_its_destination(serve):
    names = [f"t{n:02}" for n in range(40)]
    service = serve(*(f"{TOPICS}{name}" for name in names))
    assert look(kafka_to_ps("{kafka.topic}"), **parts(*names)) == []
    assert sorted(service.looked_at) == [f"{TOPICS}{name}" for name in names]
    serve(*(f"{TOPICS}{name}" for name in names[7:]))
    with pytest.raises(PreflightError) as raised:
        look(kafka_to_ps("{kafka.topic}"), **parts(*names))
    assert str(raised.value) == (
        f"write {', '.join(TOPICS + name for name in names[:5])} and 2 more: no such topic; create "
        "it, or correct --pubsub_topic"
    )


def test_a_topic_whose_name_cannot_be_that_of_its_destination_is_named(serve):
    serve()
    with pytest.raises(PreflightError, match=r"write what is read of 1t, _u: --pubsub_topic=.*is"):
        look(kafka_to_ps("{kafka.topic}"), **parts("_u", "1t"))
    dead = f"--dead_letter=pubsub://{TOPICS}dead"
    with pytest.raises(PreflightError, match=r"topics/dead, which is for something else"):
        look(kafka_to_ps("{kafka.topic}", dead), **parts("dead"))


def test_the_subscriptions_topic_makes_one_topic_of_a_template(serve):
    known = {"pubsub_topic": f"{TOPICS}alerts"}
    service = serve("copy-alerts")
    assert look(ps_to_kafka("copy-{pubsub.topic}"), **known) == []
    assert service.looked_at == ["copy-alerts"]
    serve()
    with pytest.raises(
        PreflightError, match=r"write copy-alerts: no such topic at b:1; .*--create"
    ):
        look(ps_to_kafka("copy-{pubsub.topic}"), **known)
    assert look(ps_to_kafka("copy-{pubsub.topic}", "--create_topics=1:1"), **known) == []
    with pytest.raises(PreflightError, match=r"\{pubsub.topic\} has characters"):
        look(ps_to_kafka("copy-{pubsub.topic}"), pubsub_topic=f"{TOPICS}50%25")


@pytest.mark.parametrize(
    ("flags", "fate"),
    [
        ([], "ends the run: set --dead_letter"),
        (["--dead_letter=/tmp"], "becomes a dead letter"),
        (["--dead_letter=/tmp", "--create_topics=1:1"], "creates it"),
    ],
)
def test_what_only_messages_tell_is_said_to_be_unchecked(serve, flags, fate):
    service = serve()
    [line] = look(ps_to_kafka("alerts-{attribute:survey}", *flags))
    assert "write alerts-{attribute:survey}: messages name its topics" in line
    assert fate in line
    assert service.looked_at == []


@pytest.mark.parametrize(
    ("template", "topics", "looked_at"),
    [
        ("{kafka.topic}", ("a", "b"), ["a", "b"]),
        ("{kafka.topic}", (), []),
        ("{kafka.topic}", ("^a",), []),
        ("{kafka.topic}-{kafka.partition}", ("a",), []),
    ],
)
def test_of_an_archive_the_topics_that_are_named_are_known(serve, template, topics, looked_at):
    service = serve(*topics)
    options = parse(BACKFILL, [KAFKA, *FROM_ARCHIVE, f"--kafka_topic={template}"], {})
    said = look(options, topics=topics)
    assert (service.looked_at, bool(said)) == (looked_at, not looked_at)
