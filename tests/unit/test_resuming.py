"""When a backfill marks where the destination stands, when it looks, and when the mark goes."""

from __future__ import annotations

from unittest import mock

import pytest

from pipelines import marks
from pipelines.facts import Facts
from pipelines.options import BACKFILL, parse
from pipelines.resuming import Resuming
from transforms.errors import PreflightError, SourceError
from transforms.kafka.client import TopicInfo
from transforms.mapping import ToPubsubPolicy, to_pubsub
from transforms.pubsub.client import SubscriptionInfo
from transforms.ranges import Ranges
from transforms.records import KafkaRecord
from transforms.registry import Bridge, BridgeConfig

P = ("t", 0)
SERVERS = "--bootstrap_servers=b:1"
FROM_KAFKA = [SERVERS, "--kafka_topics=t", "--group_id=g", "--pubsub_topic=projects/p/topics/ttt"]
FROM_ARCHIVE = ["--from_archive=/a", "--pubsub_topic=projects/p/topics/ttt"]
TO_KAFKA = ["--subscription=projects/p/subscriptions/sss", SERVERS, "--group_id=g"]
FACTS = Facts(name="n", ranges={P: Ranges(((0, 9),))}, committed={P: 4})


class Mark:
    """Notes what is done with it; behind it there are offsets 2 to 6."""

    def __init__(self, there: bool, refused: str = "") -> None:
        self.there = there
        self.refused = refused
        self.done: list[str] = []

    def is_there(self) -> bool:
        return self.there

    def place(self) -> None:
        self.done.append("placed")
        if self.refused:
            raise PreflightError(self.refused)

    def written_since(self):
        self.done.append("looked")
        if self.refused:
            raise SourceError(self.refused)
        yield [to_pubsub(record(offset), ToPubsubPolicy()) for offset in range(2, 7)]

    def remove(self) -> None:
        self.done.append("removed")


def record(offset: int) -> KafkaRecord:
    return KafkaRecord("t", 0, offset, 1_000, value=b"v")


def resuming(monkeypatch, mark: Mark, *flags: str, facts: Facts = FACTS) -> Resuming:
    monkeypatch.setattr(marks, "find", lambda options, facts, topics: mark)
    return Resuming(parse(BACKFILL, flags or FROM_KAFKA, {}), facts)


@pytest.fixture
def bridge():
    found = Bridge(BridgeConfig("test"))
    yield found
    found.close()


def test_a_first_run_marks_where_it_begins_anew_with_each_round_and_at_last_no_more(
    monkeypatch, bridge
):
    mark = Mark(there=False)
    run = resuming(monkeypatch, mark)
    assert run.begin() is None
    run.between(bridge)
    bridge.counts.add("commit_failures")
    run.between(bridge)  # what is delivered may come again
    assert run.is_over
    run.end()
    assert mark.done == ["placed", "placed", "removed"]


def test_a_run_after_a_killed_one_leaves_out_what_that_has_delivered_and_marks_anew_when_it_has(
    monkeypatch, bridge
):
    mark = Mark(there=True)
    run = resuming(monkeypatch, mark)
    delivered = run.begin()
    assert [n for n in range(10) if record(n) in delivered] == [4, 5, 6]
    bridge.counts.add("delivered_before", 2)
    run.between(bridge)
    assert not run.is_over
    assert mark.done == ["looked"]
    bridge.counts.add("delivered_before", 1)
    run.between(bridge)
    assert run.is_over
    assert mark.done == ["looked", "placed"]


def test_what_is_forced_does_not_look(monkeypatch):
    mark = Mark(there=True)
    assert resuming(monkeypatch, mark, *FROM_KAFKA, "--force").begin() is None
    assert mark.done == ["placed"]


def test_a_mark_that_may_not_be_made_costs_one_line_and_no_run(monkeypatch, bridge, caplog):
    mark = Mark(there=False, refused="create it: permission is missing; grant it")
    run = resuming(monkeypatch, mark)
    assert run.begin() is None
    run.between(bridge)
    run.end()
    assert mark.done == ["placed", "placed", "removed"]
    [said] = caplog.messages
    assert said.startswith("backfill n: if it is killed, what it has delivered and not committed")
    assert said.endswith("arrives twice: create it: permission is missing; grant it")


def test_a_look_that_fails_costs_one_line_and_what_was_delivered_comes_again(monkeypatch, caplog):
    mark = Mark(there=True, refused="pull: permission is missing; grant it")
    assert resuming(monkeypatch, mark).begin() is None
    assert mark.done == ["looked"]
    assert caplog.messages[-1].endswith("arrives twice: pull: permission is missing; grant it")


@pytest.mark.parametrize("topic", ["_deleted-topic_", "projects/p/topics/other"])
def test_a_mark_on_a_topic_that_was_made_anew_is_not_believed(monkeypatch, topic):
    admin = mock.Mock()
    admin.find_subscription.return_value = SubscriptionInfo("s", topic, 10, False)
    monkeypatch.setattr(marks.pubsub, "open_admin", lambda *_: admin)
    options = parse(BACKFILL, FROM_KAFKA, {})
    mark = marks.SubscriptionMark(options, FACTS, ["projects/p/topics/ttt"])
    assert list(mark.written_since()) == []
    name = "projects/p/subscriptions/ttt-backfill-n"
    admin.delete_subscription.assert_called_once_with(name)
    assert admin.create_subscription.call_args.args == (name, "projects/p/topics/ttt")
    assert not admin.seek.called


@pytest.mark.parametrize(
    ("flags", "facts", "says"),
    [
        ([*FROM_KAFKA, "--attributes=none"], {}, "--attributes=none messages do not say"),
        (FROM_ARCHIVE, {"archived_ends": {"kafka", "pubsub"}}, "give --kafka_topics"),
        (
            [*FROM_ARCHIVE, "--attributes=lossless"],
            {"archived_ends": {"pubsub"}},
            "a copy does not say what it is one of",
        ),
        ([*TO_KAFKA, "--kafka_topic=a-{attribute:n}", "--state=/s"], {}, "are named by messages"),
        (
            [*TO_KAFKA, "--kafka_topic=t"],
            {"topic": TopicInfo("t", 1, 1, operations=frozenset({"WRITE"}))},
            "this user may not READ topic t",
        ),
    ],
)
def test_a_destination_that_cannot_tell_is_said_and_not_marked(
    monkeypatch, caplog, flags, facts, says
):
    mark = Mark(there=True)
    run = resuming(monkeypatch, mark, *flags, facts=Facts(**facts))
    assert run.begin() is None
    assert says in caplog.text
    assert mark.done == []


@pytest.mark.parametrize(
    "flags",
    [
        [*FROM_KAFKA[:3], "--archive=/a"],
        [
            *FROM_KAFKA,
            "--runner=DataflowRunner",
            "--project=p",
            "--sdk_container_image=i",
            "--region=r",
        ],
    ],
)
def test_where_nothing_can_be_left_out_nothing_is_marked_or_said(monkeypatch, caplog, flags):
    mark = Mark(there=True)
    assert resuming(monkeypatch, mark, *flags).begin() is None
    assert (mark.done, caplog.messages) == ([], [])
