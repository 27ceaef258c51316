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


def of(topic_id: str) -> dict:
    return {P: Committed(5, to_metadata(topic_id))}


@pytest.mark.parametrize(
    ("frontier", "committed", "start", "before", "now", "expected"),
    [
        (FRONTIER, COMMITTED, START, "", "new", Beginning(7)),
        (Frontier(), COMMITTED, START, "", "new", Beginning(5, committed=True)),
        (Frontier(), {}, START, "", "new", Beginning(3)),
        (Frontier(), {}, {}, "", "new", Beginning(None)),
        # of the same topic
        (Frontier({P: 7}, {"t": "new"}), {}, {}, "", "new", Beginning(7)),
        (Frontier(), of("new"), {}, "", "new", Beginning(5, committed=True)),
        (Frontier(), {}, START, "new", "new", Beginning(3)),
        # of another one that had its name
        (Frontier({P: 7}, {"t": "old"}), COMMITTED, {}, "", "new", Beginning(None, outdated=7)),
        (Frontier(), of("old"), START, "", "new", Beginning(None, outdated=5)),
        (Frontier(), {}, START, "old", "new", Beginning(None)),
        # where the brokers know no ids
        (Frontier({P: 7}, {"t": "old"}), {}, {}, "", "", Beginning(7)),
        (Frontier(), of("old"), {}, "old", "", Beginning(5, committed=True)),
    ],
)
def test_a_partition_begins_at_checkpoint_commit_start_or_first_of_the_same_topic(
    frontier, committed, start, before, now, expected
):
    found = beginnings([P], frontier, committed, start, {"t": before}, {"t": now})
    assert found == {P: expected}


@pytest.mark.parametrize("text", ["", "offset=1", "topic_id=", "TOPIC_ID=x"])
def test_what_others_have_committed_tells_no_id(text):
    assert from_metadata(text) == ""
    assert from_metadata(to_metadata("nVb2Yd")) == "nVb2Yd"
