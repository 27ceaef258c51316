"""The restriction of the Kafka source."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.kafka.frontier import Frontier, FrontierCoder, FrontierTracker
from transforms.pubsub.taken import Taken, TakenTracker

frontiers = st.builds(
    Frontier,
    st.dictionaries(
        st.tuples(st.text("ab", max_size=2), st.integers(0, 999)), st.integers(0, 2**63), min_size=1
    ),
    ended=st.booleans(),
).flatmap(
    lambda frontier: st.dictionaries(
        st.sampled_from(sorted({topic for topic, _ in frontier.positions})), st.text(max_size=22)
    ).map(lambda ids: replace(frontier, topic_ids=ids))
)


@given(frontiers)
def test_a_checkpoint_decodes_to_the_frontier_that_was_encoded(frontier):
    assert FrontierCoder().decode(FrontierCoder().encode(frontier)) == frontier


def test_a_checkpoint_hands_the_rest_on_from_the_last_claim():
    tracker = FrontierTracker(Frontier({("t", 0): 5}))
    assert tracker.try_claim(Frontier({("t", 0): 7, ("t", 1): 1}, {"t": "id"}))
    primary, residual = tracker.try_split(0)
    assert residual == Frontier({("t", 0): 7, ("t", 1): 1}, {"t": "id"})
    assert primary.ended
    assert not tracker.try_claim(Frontier({("t", 0): 9}))
    assert tracker.check_done()


@pytest.mark.parametrize("fraction", [0.01, 0.5, 1.0])
def test_nothing_but_a_checkpoint_splits_a_shard(fraction):
    assert FrontierTracker(Frontier()).try_split(fraction) is None


def test_a_source_that_returns_without_an_end_is_an_error():
    tracker = FrontierTracker(Frontier())
    with pytest.raises(ValueError, match="before its frontier had ended"):
        tracker.check_done()
    assert tracker.try_claim(None)
    assert tracker.check_done()
    assert tracker.try_split(0) is None


@pytest.mark.parametrize("tracker", [FrontierTracker(Frontier()), TakenTracker(Taken())])
def test_progress_is_a_number_where_beam_has_not_measured_yet(tracker):
    """Beam puts its own measure in, NaN before the first sample; a request to split would fail."""
    assert tracker.current_progress().with_completed(math.nan).fraction_completed == 0.5
    assert tracker.try_claim(None)
    assert tracker.current_progress().with_completed(math.nan).fraction_completed == 1
