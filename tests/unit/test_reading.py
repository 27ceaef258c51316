"""The loop behind every source, with sessions that have what a test gives them."""

from __future__ import annotations

from types import SimpleNamespace

from apache_beam.coders import WindowedValueCoder
from apache_beam.transforms.window import GlobalWindows

from transforms.reading import Bundle, read_bundle
from transforms.record_batches import Poll, PollCoder
from transforms.records import PubsubRecord
from transforms.registry import Bridge, BridgeConfig


class Tracker:
    deferred = False

    def try_claim(self, position: object) -> bool:
        return position is not None

    def defer_remainder(self) -> None:
        self.deferred = True


class Session:
    """Has one batch of records, and from then on nothing."""

    drained = finished = False

    def __init__(self, *records: str) -> None:
        self._records = records
        self.polls = 0

    def poll(self):
        self.polls += 1
        assert self.polls < 10, "polls on, while others wait for it"
        records, self._records = self._records, ()
        return SimpleNamespace(records=records, positions=())

    def claim(self, bundle: Bundle, batch) -> None:
        bundle.first_claim_at = 0.0


def test_a_shard_without_messages_does_not_keep_those_of_another_waiting():
    """Both are read in one bundle of Beam, one after the other; its end is what delivers."""
    bridge = Bridge(BridgeConfig("test", commit_interval_s=0.01))
    first, second, tracker = Bundle(print), Bundle(print), Tracker()
    second.before = first
    assert list(read_bundle(bridge, Session("a"), first, Tracker())) == [["a"]]
    idle, full = Session(), Session("b")
    assert list(read_bundle(bridge, idle, second, tracker)) == []
    assert (idle.polls, tracker.deferred) == (1, True)
    third = Bundle(print)
    third.before = second
    assert list(read_bundle(bridge, full, third, Tracker())) == [["b"]]
    bridge.close()


def test_what_a_killed_run_has_delivered_is_claimed_and_counted_and_not_handed_on():
    bridge = Bridge(BridgeConfig("test", commit_interval_s=0.0))
    bridge.delivered_before = {"a", "c"}
    session, bundle = Session("a", "b", "c"), Bundle(print)
    assert list(read_bundle(bridge, session, bundle, Tracker())) == [["b"]]
    assert bundle.first_claim_at == 0.0
    assert bridge.counts.totals()["delivered_before"] == 2
    bridge.close()


def test_a_poll_that_begins_with_a_large_record_has_a_size_that_beam_can_keep():
    poll = Poll([PubsubRecord(bytes(10_000_000)), *[PubsubRecord(b"x")] * 499])
    beams = WindowedValueCoder(PollCoder()).get_impl()
    size, _ = beams.get_estimated_size_and_observables(GlobalWindows.windowed_value(poll))
    assert size > 10_000_000
