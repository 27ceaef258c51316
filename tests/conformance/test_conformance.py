"""What every runner keeps, both ways. Runs are dear, so several tests watch each: one that is
stopped in mid-stream, one that is killed while its destination is frozen, one that is bounded."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from ends import until
from passages import Arrived, Passage, header, payload
from runners import Runner, while_for

FIRST = 400
"""So many are awaited before anything else happens."""

HELD_S = 3.0
"""Three commit intervals."""


# -- stopped in mid-stream -----------------------------------------------------------------------


class Stopped(NamedTuple):
    passage: Passage
    arrived: list[Arrived]
    numbers: Counter[int]
    output: str


@pytest.fixture(scope="module")
def stopped(runner: Runner, open_passage) -> Stopped:
    """A stream with poison in it, stopped by SIGTERM while more is being sent."""
    passage = open_passage("stopped")
    passage.send(FIRST)
    bridge = runner.start(
        passage.pipeline,
        *passage.flags,
        f"--dead_letter=kafka://{passage.dead_topic}",
        "--commit_interval_s=1",
    )
    passage.await_first(FIRST)
    passage.send_poison()
    with passage.sending():
        until(passage.dead_letters, "the poison is put aside")
        passage.await_first(FIRST + 100)
        bridge.stop()
    passage.drain()
    arrived = passage.arrived
    return Stopped(passage, arrived, Counter(each.number for each in arrived), bridge.output)


def test_every_byte_key_and_header_of_a_stream_arrives(stopped):
    assert stopped.numbers.keys() >= set(range(FIRST))
    for number, data, key, found in stopped.arrived:
        assert (data, key, found) == (payload(number), f"key-{number % 7}", header(number))


def test_each_key_keeps_its_order(stopped):
    for key in range(7):
        numbers = [each.number for each in stopped.arrived if each.key == f"key-{key}"]
        assert numbers == sorted(numbers)


def test_poison_becomes_a_dead_letter_and_the_stream_goes_on(stopped):
    assert stopped.passage.dead_letters() == 1
    assert max(stopped.numbers) >= FIRST


def test_sigterm_drains_delivers_and_commits_with_exit_status_0(stopped):
    assert "SIGTERM: draining" in stopped.output
    assert set(stopped.numbers.values()) == {1}
    sent, arrived = stopped.passage.sent, len(stopped.numbers)
    assert arrived < sent, "the stop was not in mid-stream"
    assert stopped.passage.left(sent - arrived) == sent - arrived


# -- killed while the destination confirms nothing -----------------------------------------------


class Killed(NamedTuple):
    committed: set[int]
    at_the_kill: set[int]
    numbers: set[int]


@pytest.fixture(scope="module")
def killed(runner: Runner, open_passage) -> Killed:
    """SIGKILL while as many again are read and none of them is confirmed; then another run."""
    passage = open_passage("killed")
    passage.send(FIRST)
    often = "--commit_interval_s=1"
    bridge = runner.start(passage.pipeline, *passage.flags, often)
    passage.await_first(FIRST)
    until(lambda: passage.committed() in (FIRST, None), "the first are committed")
    passage.destination.freeze()
    passage.send(FIRST)
    committed = {passage.committed() for _ in while_for(HELD_S)}
    runner.kill(bridge)
    at_the_kill = passage.drain()
    passage.destination.cut()
    passage.destination.thaw()
    again = runner.start(passage.pipeline, *passage.flags, often)
    passage.await_first(2 * FIRST)
    again.stop()
    return Killed(committed - {None}, at_the_kill, passage.drain())


def test_nothing_is_committed_or_acknowledged_before_it_is_confirmed(killed):
    """A subscription does not tell what is acknowledged: what comes again was not."""
    assert killed.at_the_kill == set(range(FIRST))
    assert killed.committed <= {FIRST}
    assert killed.numbers >= set(range(FIRST, 2 * FIRST))


def test_killed_while_messages_are_in_flight_the_next_run_misses_nothing(killed):
    assert killed.numbers == set(range(2 * FIRST))


# -- bounded ---------------------------------------------------------------------------------------


def test_a_bounded_run_takes_just_that_and_ends_by_itself(
    runner: Runner, open_passage, record_property
):
    passage = open_passage("bounded")
    passage.send(FIRST)
    bridge = runner.start(passage.pipeline, *passage.flags, passage.bound)
    if passage.pipeline not in runner.bounded:
        record_property("cell", "no")
        assert bridge.process.wait(30) == 2
        assert f"{passage.bound.partition('=')[0]}: means nothing with" in bridge.output
        return
    bridge.wait()
    assert len(passage.drain()) == len(passage.arrived) == passage.bound_messages(FIRST)
    assert passage.left(FIRST - len(passage.arrived)) == FIRST - len(passage.arrived)


# -- several workers -------------------------------------------------------------------------------


def test_two_workers_share_the_work_and_one_goes_on_when_the_other_is_killed(
    job_server, kafka_passage
):
    """Two jobs with a worker each, in one consumer group."""
    passage = kafka_passage("two-workers")
    flags = [*passage.flags, "--assignment=group", "--commit_interval_s=1"]
    first = job_server.start(passage.pipeline, *flags)
    second = job_server.start(passage.pipeline, *flags)
    members = 2 * job_server.shards
    until(lambda: len(passage.members()) == members, "both workers have joined the group")
    with passage.sending():
        passage.await_first(FIRST)
        assert len(job_server.workers()) == 2
        job_server.kill(second)
        until(lambda: len(passage.members()) == members // 2, "the killed worker is out")
    passage.await_first(passage.sent)
    first.stop()
    assert passage.left(0) == 0


# -- what only Prism does --------------------------------------------------------------------------


def test_an_idle_bridge_on_prism_stays_one_member_of_its_group(prism, kafka_passage):
    """Prism asks idle readers to split, and makes more of them."""
    passage = kafka_passage("idle")
    bridge = prism.start(passage.pipeline, *passage.flags)
    until(passage.members, "the bridge joins")
    until(lambda: len(passage.members()) == prism.shards, "with each of its shards")
    assert {len(passage.members()) for _ in while_for(10)} == {prism.shards}
    passage.send(4)
    passage.await_first(4)
    assert bridge.stop()["delivered"] == 4


def test_an_archive_comes_back_on_prism_without_a_complaint(prism, kafka_passage, tmp_path):
    passage = kafka_passage("archive")
    passage.send(FIRST)
    of = (f"--kafka_topics={passage.name}", f"--group_id={passage.name}", "--stop=now")
    prism.start("archive", *of, f"--archive={tmp_path}").wait()
    back = prism.start(
        "backfill",
        f"--from_archive={tmp_path}",
        f"--pubsub_topic={passage.topic}",
        "--ordering_key=key",
    )
    back.wait()
    assert len(passage.drain()) == len(passage.arrived) == FIRST
    assert "ERROR" not in back.output
