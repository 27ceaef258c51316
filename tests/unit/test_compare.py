"""The demo's verdict: what was lost, duplicated or changed is found, whatever the bridge says."""

from __future__ import annotations

import pytest

from pipelines import alerts
from pipelines.compare import Outcome, census, compare

A, B, C = (alerts.alert(number) for number in range(3))
B_CHANGED = B[:-1] + bytes([B[-1] ^ 1])
B_BROKEN = B[: len(B) // 2]


@pytest.mark.parametrize(
    ("arrived", "outcome", "faithful"),
    [
        ([A, B, C], Outcome(3, delivered=3, lost=0, duplicated=0, changed=0), True),
        ([C, A, B], Outcome(3, delivered=3, lost=0, duplicated=0, changed=0), True),
        ([A, B, B, B, C], Outcome(3, delivered=3, lost=0, duplicated=2, changed=0), True),
        ([A, C], Outcome(3, delivered=2, lost=1, duplicated=0, changed=0), False),
        ([A, A, C], Outcome(3, delivered=2, lost=1, duplicated=1, changed=0), False),
        ([], Outcome(3, delivered=0, lost=3, duplicated=0, changed=0), False),
        # the number can still be read: changed, and so not lost
        ([A, B_CHANGED, C], Outcome(3, delivered=2, lost=0, duplicated=0, changed=1), False),
        ([A, B, B_CHANGED, C], Outcome(3, delivered=3, lost=0, duplicated=0, changed=1), False),
        # it cannot: one came that nobody sent, and one is missing
        ([A, B_BROKEN, C], Outcome(3, delivered=2, lost=1, duplicated=0, changed=1), False),
        ([A, B, C, None], Outcome(3, delivered=3, lost=0, duplicated=0, changed=1), False),
    ],
)
def test_every_alert_is_accounted_for(arrived, outcome, faithful) -> None:
    assert compare(census([A, B, C]), census(arrived)) == outcome
    assert outcome.faithful is faithful


def test_what_was_sent_twice_is_expected_twice() -> None:
    sent = census([A, A, B])
    assert compare(sent, census([A, A, B])) == Outcome(3, 3, 0, 0, 0)
    assert compare(sent, census([A, B])) == Outcome(3, 2, lost=1, duplicated=0, changed=0)


def test_an_outcome_reads_as_a_sentence() -> None:
    text = "sent 1,000, delivered 999, lost 1, duplicated 0, changed 0"
    assert str(Outcome(1000, 999, 1, 0, 0)) == text
