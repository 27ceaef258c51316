"""Whether a topic is still the one that was begun, against a cluster that answers as told."""

from __future__ import annotations

import pytest

from transforms.errors import PreflightError, SourceError, UnavailableError
from transforms.kafka.client import KafkaConfig
from transforms.kafka.topic_ids import TopicIds


class ScriptedAdmin:
    def __init__(self, *answers) -> None:
        self.answers = list(answers)

    def topic_ids(self, _names):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        pass


def ids_of(*answers, now=lambda: 0.0) -> TopicIds:
    found = TopicIds(KafkaConfig("x:1"), 30, 10, lambda *_: ScriptedAdmin(*answers), now)
    found.known = {"t": "old"}
    return found


@pytest.mark.parametrize(
    ("answers", "deleted"),
    [
        ([{"t": "old"}] * 2, set()),
        ([{"t": "new"}] * 2, {"t"}),
        ([{}, {}], {"t"}),
        ([{}, {"t": "old"}], set()),
        ([{}, {"t": "new"}], {"t"}),
        ([{"t": "new"}, {}], {"t"}),
        ([{"t": ""}] * 2, set()),
    ],
)
def test_a_topic_is_deleted_when_it_is_missing_twice_or_another_one(monkeypatch, answers, deleted):
    monkeypatch.setattr("transforms.kafka.topic_ids.time.sleep", lambda _s: None)
    assert ids_of(*answers).deleted({"t"}) == deleted


def test_changes_are_looked_for_each_interval_also_after_a_failure():
    now = [0.0]
    ids = ids_of({"t": "old"}, PreflightError("describe topics: no"), now=lambda: now[0])
    assert not ids.due()
    now[0] = 30.0
    assert ids.due()
    assert ids.changes({"t"}) == ({}, set())
    now[0] = 60.0
    with pytest.raises(SourceError):
        ids.changes({"t"})
    assert not ids.due()


@pytest.mark.parametrize(
    ("cause", "kind"), [(TimeoutError(), UnavailableError), (None, SourceError)]
)
def test_only_what_asking_again_may_cure_is_unavailable(cause, kind):
    error = PreflightError("describe topics on x:1: no")
    error.__cause__ = cause
    with pytest.raises(SourceError) as raised:
        ids_of(error).ask({"t"})
    assert type(raised.value) is kind
