"""Who owns a partition and what may be committed, against a consumer that is told what to do."""

from __future__ import annotations

import pytest
from scripted_kafka import P0, P1, Fixture, StuckWriter, records

from transforms.errors import CommitError, OffsetGapError, UnavailableError
from transforms.health import SOURCE
from transforms.kafka.frontier import Frontier
from transforms.kafka.selection import Shard


def test_only_what_is_confirmed_is_committed():
    f = Fixture()
    f.consumer.group = {P0: 10, P1: 20}
    f.assign(P0, P1)
    bundle = f.session.begin(Frontier())
    f.read(bundle, records(P0, 10, 5) + records(P1, 20, 2))
    f.session.poll()
    assert f.consumer.commits == []
    bundle.finalize()
    assert f.consumer.commits == [{P0: 15, P1: 22}]
    assert f.counts == {"read": 7}


def test_a_start_that_nothing_was_committed_for_is_committed_at_once():
    f = Fixture(start={P0: 50})
    f.assign(P0, P1)
    f.session.poll()
    assert f.consumer.commits == [{P0: 50, P1: 3}]


def test_what_is_no_record_at_a_partitions_end_is_committed_once_all_before_it_is_confirmed():
    f = Fixture()
    f.consumer.group = {P0: 10, P1: 20}
    f.assign(P0, P1)
    bundle = f.session.begin(Frontier())
    f.read(bundle, records(P0, 10, 5))
    f.consumer.position = {P0: 16, P1: 20}
    f.session._commits._catch_up_at = 0
    f.session.poll()
    assert f.consumer.commits == []
    bundle.finalize()
    assert f.consumer.commits == [{P0: 16}]


def test_the_backlog_is_the_lag_at_the_size_of_what_was_read_last():
    f = Fixture()
    assert f.session.backlog_bytes() is None
    f.assign(P0, P1)
    f.consumer.lags = lambda: {P0: 30, P1: 12}
    batch = records(P0, 10, 5)
    f.read(f.session.begin(Frontier()), batch)
    assert f.session.backlog_bytes() == 42 * batch[0].payload_bytes


def test_what_was_polled_and_not_yet_claimed_is_never_committed():
    f = Fixture()
    f.consumer.group = {P0: 10}
    f.assign(P0)
    done = f.session.begin(Frontier())
    f.read(done, records(P0, 10, 5))
    f.consumer.script.append(records(P0, 15, 5))
    f.session.poll()
    f.consumer.position = {P0: 20}
    done.finalize()
    assert f.consumer.commits == [{P0: 15}]


def test_what_a_failed_poll_has_passed_is_never_committed():
    f = Fixture()
    f.consumer.group = {P0: 10}
    f.assign(P0)
    done = f.session.begin(Frontier())
    f.read(done, records(P0, 10, 5))
    f.consumer.position = {P0: 20}
    f.consumer.script.append(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        f.session.poll()
    done.finalize()
    f.session.close()
    assert f.consumer.commits == [{P0: 15}]


@pytest.mark.parametrize("assignment", ["group", "shards"])
@pytest.mark.parametrize("frontier", [Frontier(), Frontier({P0: 10})], ids=["first", "later"])
def test_a_bundle_that_the_runner_repeats_is_read_again_from_its_beginning(assignment, frontier):
    f = Fixture(assignment)
    f.consumer.group = {P0: 10, P1: 20}
    if assignment == "group":
        f.assign(P0, P1)
    failed = f.session.begin(frontier)
    f.read(failed, records(P0, 10, 5) + records(P1, 20, 5))
    again = f.session.begin(frontier)
    assert f.consumer.seeks[-1] == {P0: 10, P1: 20}
    assert f.read(again, records(P0, 10, 5)) == records(P0, 10, 5)
    again.finalize()
    failed.finalize()
    assert f.consumer.group == {P0: 15, P1: 20}
    assert f.counts == {"read": 15, "released": 10, "redelivered": 5}


@pytest.mark.parametrize("assignment", ["group", "shards"])
def test_a_bundle_that_begins_before_the_last_one_is_final_repeats_nothing(assignment):
    f = Fixture(assignment)
    f.consumer.group = {P0: 10}
    if assignment == "group":
        f.assign(P0)
    first = f.session.begin(Frontier())
    f.read(first, records(P0, 10, 5))
    second = f.session.begin(Frontier({P0: 15}))
    f.read(second, records(P0, 15, 5))
    first.finalize()
    second.finalize()
    assert f.consumer.seeks == []
    assert f.consumer.commits[-1][P0] == 20
    assert "released" not in f.counts


def test_a_clean_revoke_commits_what_the_sinks_confirm_and_releases_nothing():
    f = Fixture()
    f.consumer.group = {P0: 10, P1: 20}
    f.bridge.borrow_writer("w", lambda: StuckWriter(confirms=True))
    f.assign(P0, P1)
    bundle = f.session.begin(Frontier())
    f.read(bundle, records(P0, 10, 5) + records(P1, 20, 5))
    f.consumer.script.append(lambda: f.consumer.listener.on_revoked([P0]))
    f.session.poll()
    assert f.consumer.commits == [{P0: 15}]
    bundle.finalize()
    assert f.consumer.commits == [{P0: 15}, {P1: 25}]
    assert "released" not in f.counts


def test_a_clean_revoke_commits_what_is_no_record_at_a_partitions_end():
    f = Fixture()
    f.consumer.group = {P0: 10}
    f.assign(P0)
    f.session.poll()
    f.consumer.position = {P0: 12}
    f.consumer.script.append(lambda: f.consumer.listener.on_revoked([P0]))
    f.session.poll()
    assert f.consumer.commits == [{P0: 12}]


def test_a_revoke_that_the_sinks_do_not_confirm_commits_nothing_and_counts_it_as_released():
    f = Fixture()
    f.consumer.group = {P0: 10}
    f.bridge.borrow_writer("w", lambda: StuckWriter(confirms=False))
    f.assign(P0)
    bundle = f.session.begin(Frontier())
    f.read(bundle, records(P0, 10, 5))
    f.consumer.script.append(lambda: f.consumer.listener.on_revoked([P0]))
    f.session.poll()
    bundle.finalize()
    assert f.consumer.commits == []
    assert f.counts["released"] == 5


@pytest.mark.parametrize("regained", [False, True])
def test_a_late_commit_never_rewinds_the_new_owner(regained):
    f = Fixture()
    f.consumer.group = {P0: 10}
    f.assign(P0)
    bundle = f.session.begin(Frontier())
    f.read(bundle, records(P0, 10, 5))
    f.consumer.script.append(lambda: f.consumer.listener.on_lost([P0]))
    f.session.poll()
    f.consumer.group = {P0: 2_000}
    if regained:
        f.assign(P0)
    bundle.finalize()
    f.session.poll()
    assert f.consumer.commits == []
    assert f.consumer.group == {P0: 2_000}
    assert f.counts["released"] == 5


def test_records_of_a_partition_revoked_in_the_same_poll_are_not_read():
    f = Fixture()
    f.consumer.group = {P0: 10, P1: 20}
    f.assign(P0, P1)

    def poll():
        f.consumer.listener.on_revoked([P0])
        return records(P0, 10, 5) + records(P1, 20, 1)

    f.consumer.script.append(poll)
    assert [r.partition for r in f.session.poll().records] == [1]


def test_a_refused_claim_is_read_again():
    f = Fixture()
    f.consumer.group = {P0: 10}
    f.assign(P0)
    f.consumer.script.append(records(P0, 10, 5))
    f.session.unclaim(f.session.poll())
    assert f.consumer.seeks == [{P0: 10}]
    bundle = f.session.begin(Frontier())
    assert len(f.read(bundle, records(P0, 10, 5))) == 5
    assert "redelivered" not in f.counts


def test_what_a_failed_bundle_had_read_is_not_committed_but_counted_as_released():
    f = Fixture()
    f.consumer.group = {P0: 10}
    f.assign(P0)
    done, failed = f.session.begin(Frontier()), f.session.begin(Frontier())
    f.read(done, records(P0, 10, 5))
    done.finalize()
    f.read(failed, records(P0, 15, 3))
    f.bridge.close()
    assert f.consumer.commits == [{P0: 15}]
    assert f.counts["released"] == 3


def test_an_offset_that_is_read_again_is_counted():
    f = Fixture(assignment="shards")
    f.consumer.group = {P0: 10, P1: 20}
    f.read(f.session.begin(Frontier({P0: 10})), records(P0, 10, 5))
    f.read(f.session.begin(Frontier({P0: 12})), records(P0, 12, 5))
    assert f.counts["redelivered"] == 3


def test_a_commit_that_fails_is_tried_again_and_the_last_one_is_an_error():
    f = Fixture()
    f.consumer.group = {P0: 10}
    f.assign(P0)
    bundle = f.session.begin(Frontier())
    f.read(bundle, records(P0, 10, 5))
    f.consumer.refuse_commits = True
    bundle.finalize()
    assert f.counts["commit_failures"] == 1
    f.bridge.close()
    assert isinstance(f.bridge.failure, CommitError)


def test_without_group_protocol_the_frontier_is_the_truth_and_new_partitions_join():
    f = Fixture(assignment="shards")
    f.consumer.group = {P0: 10, P1: 20}
    f.session.begin(Frontier({P0: 70}))
    assert f.consumer.assigned == {P0: 70, P1: 20}
    f.consumer.known = [P0, P1, ("t", 2)]
    f.session._next_refresh = 0
    f.session.begin(Frontier({P0: 80, P1: 20}))
    assert f.consumer.assigned == {P0: 70, P1: 20, ("t", 2): 3}
    assert f.consumer.seeks == [{P0: 80}]


def test_every_partition_belongs_to_exactly_one_shard():
    partitions = [(topic, n) for topic in ("a", "b", "c") for n in range(45)]
    for count in (1, 2, 7):
        shards = [Shard(number, count) for number in range(count)]
        owners = [[s.number for s in shards if s.owns(p)] for p in partitions]
        assert all(len(found) == 1 for found in owners)
        assert {found[0] for found in owners} == set(range(count))


# -- brokers that do not answer, offsets that are gone ---------------------------------------------


def raising(error):
    def step():
        raise error

    return step


def gap(first=10, end=15, resume=15):
    return OffsetGapError("read t/0: gone", *P0, first, end, resume)


def owning(**config):
    f = Fixture(**config)
    f.consumer.group = {P0: 10, P1: 20}
    f.assign(P0, P1)
    return f


def test_brokers_that_cannot_answer_are_no_error_but_trouble():
    f = owning()
    f.consumer.script.append(raising(UnavailableError("read: coordinator not available")))
    assert f.session.poll().records == []
    assert f.bridge.health.in_trouble == (SOURCE,)
    assert f.counts["retries"] == 1


def test_a_partition_is_begun_once_its_offset_can_be_had(monkeypatch):
    monkeypatch.setattr("transforms.health.time.sleep", lambda _s: None)
    f = Fixture()
    answers = iter([UnavailableError("read committed offsets: loading")])
    committed = f.consumer.committed

    def ask(partitions):
        for error in answers:
            raise error
        return committed(partitions)

    f.consumer.committed = ask
    f.consumer.group = {P0: 10}
    f.consumer.script.append(lambda: f.consumer.listener.on_assigned([P0]) == {P0: 10} and None)
    f.session.poll()
    assert f.session._next == {P0: 10}


def test_a_gap_is_an_error_unless_the_bridge_is_to_continue():
    f = owning()
    f.consumer.script.append(raising(gap()))
    with pytest.raises(OffsetGapError, match="--on_offset_gap=continue"):
        f.session.poll()
    f = owning(on_offset_gap="continue")
    bundle = f.session.begin(Frontier())
    f.consumer.script.append(raising(gap()))
    assert f.session.poll().records == []
    assert f.consumer.seeks == [{P0: 15}]
    assert f.counts == {"offsets_lost": 5}
    assert len(f.read(bundle, records(P0, 15, 2))) == 2
    bundle.finalize()
    assert f.consumer.commits[-1] == {P0: 17}


def test_a_gap_is_passed_over_when_all_before_it_is_delivered():
    f = owning(on_offset_gap="continue")
    bundle = f.session.begin(Frontier())
    f.read(bundle, records(P0, 10, 3))
    f.consumer.script += [raising(gap(13, 13, 3))] * 2
    assert not bundle.is_full(f.bridge.config)
    f.session.poll()
    assert bundle.is_full(f.bridge.config)
    assert (f.consumer.seeks, f.consumer.commits) == ([], [])
    bundle.finalize()
    f.session.poll()
    f.session.poll()
    assert f.consumer.seeks == [{P0: 3}]
    assert [commit[P0] for commit in f.consumer.commits] == [13, 3]


def test_a_checkpoint_from_before_a_gap_does_not_lead_back_to_it():
    f = Fixture("shards", on_offset_gap="continue")
    before = Frontier({P0: 13, P1: 20})
    f.session.begin(before)
    f.consumer.script.append(raising(gap(13, 20, 20)))
    f.session.poll()
    f.session.begin(before)
    assert f.consumer.seeks == [{P0: 20}]
    assert f.counts == {"offsets_lost": 7}


def test_a_bundle_after_a_failed_poll_reads_what_that_has_passed():
    f = owning()
    f.consumer.script.append(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        f.session.poll()
    f.session.begin(Frontier())
    assert f.consumer.seeks == [{P0: 10, P1: 20}]


def test_commits_say_which_topic_they_are_of():
    f = owning()
    bundle = f.session.begin(Frontier())
    f.read(bundle, records(P0, 10, 1))
    bundle.finalize()
    assert f.consumer.metadata == {P0: "topic_id=5c126bcb-aae2-43c7-9b00-b7b04e992c11"}
