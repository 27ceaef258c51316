"""Where a partition begins, by all that may say so."""

from __future__ import annotations

import pytest

from transforms.kafka.beginnings import Beginning, beginnings
from transforms.kafka.client import Committed
from transforms.kafka.frontier import Frontier
from transforms.kafka.topic_ids import from_metadata, to_metadata

P = ("t", 0)
FRONTIER = Frontier({P: 7})
COMMITTED = {P: Committed(5, "")}
START = {P: 3}


NEW, OLD = "5c126bcb-aae2-43c7-9b00-b7b04e992c11", "e9dd6778-d195-482f-b248-afd2808f27f2"


def of(topic_id: str) -> dict:
    return {P: Committed(5, to_metadata(topic_id))}


@pytest.mark.parametrize(
    ("frontier", "committed", "start", "before", "now", "expected"),
    [
        (FRONTIER, COMMITTED, START, "", NEW, Beginning(7)),
        (Frontier(), COMMITTED, START, "", NEW, Beginning(5, committed=True)),
        (Frontier(), {}, START, "", NEW, Beginning(3)),
        (Frontier(), {}, {}, "", NEW, Beginning(None)),
        # of the same topic
        (Frontier({P: 7}, {"t": NEW}), {}, {}, "", NEW, Beginning(7)),
        (Frontier(), of(NEW), {}, "", NEW, Beginning(5, committed=True)),
        (Frontier(), {}, START, NEW, NEW, Beginning(3)),
        # of another one that had its name
        (Frontier({P: 7}, {"t": OLD}), COMMITTED, {}, "", NEW, Beginning(None, outdated=7)),
        (Frontier(), of(OLD), START, "", NEW, Beginning(None, outdated=5)),
        (Frontier(), {}, START, OLD, NEW, Beginning(None)),
        # where the brokers know no ids
        (Frontier({P: 7}, {"t": OLD}), {}, {}, "", "", Beginning(7)),
        (Frontier(), of(OLD), {}, OLD, "", Beginning(5, committed=True)),
    ],
)
def test_a_partition_begins_at_checkpoint_commit_start_or_first_of_the_same_topic(
    frontier, committed, start, before, now, expected
):
    found = beginnings([P], frontier, committed, start, {"t": before}, {"t": now})
    assert found == {P: expected}


@pytest.mark.parametrize("text", ["", "offset=1", "topic_id=", "topic_id=zzz", f"topic_id={NEW} "])
def test_what_others_have_committed_tells_no_id(text):
    assert from_metadata(text) == ""
    assert from_metadata(to_metadata(NEW)) == NEW
