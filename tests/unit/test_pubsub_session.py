"""Leases, acks and nacks, against a subscriber that is told what to do."""

from __future__ import annotations

import itertools
import queue
import threading

import pytest
from ends import until

from transforms.control import Bounds, Rounds
from transforms.errors import AckError, CommitError, SourceError, UnavailableError
from transforms.health import COMMITS, SOURCE
from transforms.pubsub.client import Pulled
from transforms.pubsub.publish_times import PARK_S, PublishTimes
from transforms.pubsub.session import PubsubSession, PubsubSourceConfig
from transforms.records import PubsubRecord
from transforms.registry import Bridge, BridgeConfig


class ScriptedSubscriber:
    """Pulls return what was put in `waiting`, at most as many as asked for."""

    def __init__(self) -> None:
        self.waiting: queue.Queue = queue.Queue()
        self.asked: list[int] = []
        self.acked: list[str] = []
        self.modified: list[tuple[int, tuple[str, ...]]] = []
        self.cancelled = threading.Event()
        self.may_ack = threading.Event()
        self.may_ack.set()
        self.ack_error: Exception | None = None
        self.pull_error: Exception | None = None
        self.gone = False

    def pull(self, max_messages, _timeout_s):
        self.asked.append(max_messages)
        if self.pull_error is not None:
            raise self.pull_error
        try:
            batch = self.waiting.get(timeout=0.05)
        except queue.Empty:
            return Pulled()
        assert len(batch) <= max_messages
        return batch

    def ask(self, _timeout_s):
        if self.gone:
            raise UnavailableError("pull s: no answer")

    def cancel(self):
        self.cancelled.set()

    def acknowledge(self, ack_ids, _timeout_s):
        assert self.may_ack.wait(10)
        if self.ack_error is not None:
            raise self.ack_error
        self.acked += ack_ids

    def modify_ack_deadline(self, ack_ids, seconds, _timeout_s):
        self.modified.append((seconds, tuple(ack_ids)))

    def close(self):
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


_ids = itertools.count()


def batch(count, key="", attempt=0):
    ids = list(itertools.islice(_ids, count))
    records = [PubsubRecord(b"d", {}, key, f"id-{n}", 1) for n in ids]
    return Pulled(records, [f"ack-{n}" for n in ids], [attempt] * count)


def again(messages):
    """The same messages, delivered once more."""
    return Pulled(messages.records, [f"{of}-again" for of in messages.ack_ids], messages.attempts)


class Fixture:
    def __init__(self, bounds=Bounds(), subscriber=None, **config) -> None:  # noqa: B008
        self.subscriber = subscriber or ScriptedSubscriber()
        self.clock = Clock()
        self.taken = 0
        bridge_config = BridgeConfig("test", bounds)
        self.bridge = Bridge(bridge_config)
        self.session = PubsubSession(
            PubsubSourceConfig(bridge_config, "projects/p/subscriptions/s", **config),
            self.bridge,
            self.subscriber,
            self.clock,
        )
        self.bridge.session("pubsub", lambda: self.session)

    def take(self, bundle):
        batch = self.session.poll()
        if batch.records:
            self.session.claim(bundle, batch)
        return batch.records

    def read(self, messages):
        bundle = self.session.begin(self.taken)
        self.taken += len(messages)
        self.subscriber.waiting.put(messages)
        until(lambda: self.take(bundle), "the pull arrives", 5)
        return bundle

    def confirm(self, bundle):
        """Finalizes a bundle, and waits for its ack."""
        bundle.finalize()
        if self.session._acking is not None:
            self.session._acking.result(5)

    @property
    def counts(self):
        return {name: n for name, n in self.bridge.counts.totals().items() if n}


@pytest.fixture
def fixture():
    made = Fixture()
    yield made
    made.bridge.close()


def test_a_bundle_that_is_repeated_gives_its_messages_back_and_never_acks_them(fixture):
    first, failed = batch(2), batch(3)
    confirmed_later = fixture.read(first)
    repeated = fixture.read(failed)
    fixture.session.begin(2)
    assert fixture.subscriber.modified == [(0, tuple(failed.ack_ids))]
    fixture.confirm(repeated)
    fixture.confirm(confirmed_later)
    assert fixture.subscriber.acked == first.ack_ids
    assert fixture.counts["released"] == 3


def test_messages_are_acked_when_their_bundle_is_confirmed_and_not_before(fixture):
    messages = batch(3)
    bundle = fixture.read(messages)
    assert fixture.subscriber.acked == []
    fixture.confirm(bundle)
    assert fixture.subscriber.acked == messages.ack_ids
    fixture.bridge.close()
    assert not [m for m in fixture.subscriber.modified if m[0] == 0]


def test_the_next_bundle_is_read_while_one_is_acknowledged_and_none_is_given_back_meanwhile(
    fixture,
):
    fixture.subscriber.may_ack.clear()
    first, second = batch(2), batch(3)
    fixture.read(first).finalize()
    read = fixture.read(second)
    confirming = threading.Thread(target=read.finalize)
    confirming.start()  # its ack waits for the first one's
    closing = threading.Thread(target=fixture.bridge.close)
    until(lambda: not fixture.session._open, "the second bundle is confirmed", 5)
    closing.start()
    until(lambda: fixture.session._closed, "the session is being closed", 5)
    assert (fixture.subscriber.acked, fixture.subscriber.modified) == ([], [])
    fixture.subscriber.may_ack.set()
    confirming.join(5)
    closing.join(5)
    assert fixture.subscriber.acked == first.ack_ids + second.ack_ids
    assert fixture.subscriber.modified == []
    assert "released" not in fixture.counts


def test_after_a_failed_bundle_all_that_is_held_is_nacked_prefetched_messages_included(fixture):
    read, prefetched = batch(3), batch(2)
    fixture.read(read)
    fixture.subscriber.waiting.put(prefetched)
    until(lambda: len(fixture.session._leases._held) == 2, "both pulls are held", 5)
    fixture.bridge.close()
    assert fixture.subscriber.modified == [(0, (*read.ack_ids, *prefetched.ack_ids))]
    assert fixture.counts["released"] == 3
    assert fixture.subscriber.acked == []


def test_a_message_that_comes_again_is_counted(fixture):
    first = batch(1)
    bundle = fixture.read(first)
    fixture.subscriber.ack_error = CommitError("acknowledge s: no answer")
    fixture.confirm(bundle)
    fixture.read(again(first))
    fixture.read(batch(1, attempt=2))
    assert fixture.counts["redelivered"] == 2


def test_an_ack_after_the_lease_ran_out_is_counted_as_an_expected_redelivery(fixture):
    bundle = fixture.read(batch(2))
    fixture.clock.now += 11
    fixture.confirm(bundle)
    assert fixture.counts["redelivery_expected"] == 2


def test_a_pull_that_ends_in_a_defect_ends_the_run(fixture):
    fixture.subscriber.pull_error = KeyError("received_messages")
    with pytest.raises(SourceError, match=r"pull projects/p/subscriptions/s: KeyError"):
        until(lambda: fixture.take(fixture.session.begin()), "the pull fails", 5)


@pytest.mark.parametrize("pull", ["unary", "streaming"])
def test_pulls_that_fail_are_trouble_whatever_else_the_service_answers(pull):
    subscriber = ScriptedSubscriber()

    def stream(*_):
        while not subscriber.cancelled.wait(0.01):
            if subscriber.pull_error is not None:
                raise subscriber.pull_error
        yield from ()

    subscriber.stream = stream
    fixture = Fixture(subscriber=subscriber, pull=pull)
    fixture.bridge.health._clock = fixture.clock
    subscriber.pull_error = UnavailableError("pull s: quota exceeded")
    until(lambda: fixture.bridge.health.in_trouble, "trouble", 5)
    fixture.clock.now += 4
    fixture.take(fixture.session.begin())
    assert fixture.bridge.health.in_trouble == (SOURCE,)
    assert fixture.session._pulls_fail
    subscriber.pull_error = None

    def is_well():
        fixture.clock.now += 4
        fixture.take(fixture.session.begin())
        return not fixture.bridge.health.in_trouble

    until(is_well, "a pull that returns, or lasts", 10)
    fixture.bridge.close()


@pytest.mark.parametrize("ends", ["with an ack", "with the run"])
def test_acks_that_fail_are_trouble_until_one_succeeds(fixture, ends):
    health = fixture.bridge.health
    health._clock = fixture.clock
    fixture.subscriber.ack_error = AckError("acknowledge s: no answer", ["of another one"])
    fixture.confirm(fixture.read(batch(1)))
    fixture.clock.now += 301  # in which the service is silent, and asked whether it is there
    fixture.take(fixture.session.begin())
    health.check()
    assert health.in_trouble == (COMMITS,)
    if ends == "with an ack":
        fixture.subscriber.ack_error = None
    fixture.confirm(fixture.read(batch(1)))
    if ends == "with an ack":
        assert health.in_trouble == ()
    else:
        with pytest.raises(AckError, match="acknowledge s: no answer; so for 301 s"):
            health.check()


def test_of_an_ack_that_fails_in_part_only_that_part_is_an_error(fixture):
    messages = batch(4)
    left = messages.where(lambda record: record in messages.records[2:])
    fixture.subscriber.ack_error = AckError("acknowledge s: no answer", left.ack_ids)
    fixture.confirm(fixture.read(messages))
    fixture.subscriber.ack_error = None
    fixture.confirm(fixture.read(again(left)))
    fixture.bridge.close()
    assert fixture.bridge.failure is None


def test_what_is_put_off_is_remembered_until_it_comes_again():
    fixture = Fixture(publish_times=PublishTimes(0, 1, 10.0))
    for n in range(4):
        fixture.subscriber.waiting.put(batch(1))
        until(lambda: len(fixture.subscriber.modified) > n, "it is put off", 5)  # noqa: B023
        fixture.clock.now += PARK_S / 2
    until(lambda: len(fixture.session._parked) == 3, "the first is forgotten", 5)
    fixture.bridge.close()
    assert len(fixture.subscriber.modified[-1][1]) == 3


def test_what_a_stream_sends_is_held_while_it_waits_for_its_rate():
    subscriber = ScriptedSubscriber()
    subscriber.stream = lambda *_: iter([batch(40)])
    fixture = Fixture(Bounds(max_rate=1), subscriber, pull="streaming")
    until(lambda: fixture.session._leases.holding, "its leases", 5)
    assert not fixture.session._prefetched
    fixture.bridge.close()
    assert [len(given_back) for _, given_back in subscriber.modified] == [40]
    assert fixture.counts == {}


def test_leases_are_extended_until_the_longest_lease():
    fixture = Fixture(ack_deadline_s=10, max_lease_s=100)
    fixture.session._leases.lease_s = 0.03
    messages = batch(2)
    fixture.read(messages)
    until(lambda: fixture.subscriber.modified, "an extension", 5)
    assert fixture.subscriber.modified[0][1] == tuple(messages.ack_ids)
    fixture.clock.now = 100
    timer = fixture.session._leases._thread
    timer.join(0.2)
    extended = len(fixture.subscriber.modified)
    timer.join(0.2)
    assert len(fixture.subscriber.modified) == extended
    fixture.bridge.close()


@pytest.mark.parametrize("then_acked", [False, True])
def test_a_failed_ack_is_the_runs_error_until_its_messages_are_acked(fixture, then_acked):
    messages = batch(2)
    failed = fixture.read(messages)
    fixture.subscriber.ack_error = CommitError("acknowledge s: no answer")
    fixture.confirm(failed)
    assert fixture.counts["commit_failures"] == 1
    fixture.subscriber.ack_error = None
    fixture.confirm(fixture.session.begin())
    fixture.confirm(fixture.read(batch(1)))
    if then_acked:
        fixture.confirm(fixture.read(again(messages)))
    fixture.bridge.close()
    assert isinstance(fixture.bridge.failure, CommitError) is not then_acked


def test_an_ack_that_ends_in_a_defect_is_a_failed_one_and_not_a_thread_that_is_gone(fixture):
    fixture.subscriber.ack_error = KeyError("subscription")
    fixture.confirm(fixture.read(batch(2)))
    fixture.bridge.close()
    assert fixture.counts["commit_failures"] == 1
    assert str(fixture.bridge.failure) == "acknowledge projects/p/subscriptions/s: KeyError"


@pytest.mark.parametrize("ends", ["round", "run"])
def test_where_a_round_ends_nothing_is_in_flight(fixture, ends):
    control = fixture.bridge.control
    fixture.subscriber.may_ack.clear()
    messages = batch(2)
    fixture.read(messages).finalize()
    assert fixture.subscriber.acked == []
    threading.Timer(0.1, fixture.subscriber.may_ack.set).start()
    if ends == "round":
        control.begin_round(Rounds(min_seconds=0, max_seconds=0))
    else:
        control.stop("told to")
    fixture.session.begin(2).finalize()
    assert fixture.subscriber.acked == messages.ack_ids


def test_a_stream_has_enough_for_a_bundle_while_the_one_before_waits_for_its_ack():
    subscriber = ScriptedSubscriber()
    sent = []

    def stream(max_messages, _max_bytes, _lease_s):
        while not subscriber.cancelled.wait(0.001):
            if len(sent) + 1_000 <= max_messages:
                messages = batch(1_000)
                sent.extend(messages.ack_ids)
                yield messages

    subscriber.stream = stream
    fixture = Fixture(subscriber=subscriber, pull="streaming")
    first, second = fixture.session.begin(), fixture.session.begin(1)
    for bundle in (first, second):
        while bundle.messages < fixture.bridge.config.bundle_messages:
            until(lambda: fixture.take(bundle), "the stream goes on", 5)  # noqa: B023
    fixture.bridge.close()


@pytest.mark.parametrize("answers", [True, False])
def test_a_service_that_does_not_answer_is_not_idle(answers):
    fixture = Fixture(Bounds(idle_seconds=5))
    fixture.subscriber.gone = not answers
    bundle = fixture.session.begin()
    wait = fixture.session._changed.wait

    def waited(seconds):
        wait(seconds)
        fixture.clock.now += 2

    fixture.session._changed.wait = waited
    for _ in range(3):
        assert not fixture.take(bundle)
    assert fixture.bridge.control.stopping is answers
    assert fixture.bridge.health.in_trouble == (() if answers else (SOURCE,))
    fixture.bridge.close()


def test_no_more_than_max_messages_are_pulled_and_the_end_waits_for_the_last_pull():
    fixture = Fixture(Bounds(max_messages=5))
    bundle = fixture.read(batch(3))
    until(lambda: fixture.subscriber.asked[-1] == 2, "a pull of the remaining two", 5)
    assert not fixture.session.drained
    fixture.subscriber.waiting.put(batch(2))
    until(lambda: fixture.take(bundle), "the last two", 5)
    assert fixture.session.drained
    assert bundle.messages == 5
    fixture.bridge.close()


def test_a_refused_pull_is_the_readers_error(fixture):
    fixture.subscriber.pull_error = SourceError("pull s: permission denied")
    bundle = fixture.session.begin()
    with pytest.raises(SourceError, match="permission denied"):
        until(lambda: fixture.take(bundle), "an error", 5)


def test_a_bundle_knows_that_it_holds_ordering_keys(fixture):
    assert not fixture.read(batch(1)).ordered
    assert fixture.read(batch(1, key="k")).ordered
