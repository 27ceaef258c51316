"""The bridge is killed, stopped, paused, joined and left: nothing is lost or changed."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from ends import Bridge, until
from streams import PAUSE_S, Stream, ToPubSub, each


def is_early(number: int) -> bool:
    """Whether a round's instant lies before the bridge delivers: while it starts or joins."""
    return number % 4 == 3


@pytest.mark.load
def test_killed_at_random_instants_loses_nothing(open_streams, client, full, seed, table):
    """SIGKILL, one bridge after the other, in each phase of its life.

    To Pub/Sub most of them are static members, which take over at once; the others wait for the
    session of the killed one.
    """
    rounds = (20 if client == "librdkafka" else 8) if full else 2

    def scenario(stream: Stream) -> None:
        instants = random.Random(f"{seed} {stream.direction} {client}")
        with stream.read():
            with stream.produce(backlog=10_000):
                for number in range(rounds):
                    static = isinstance(stream, ToPubSub) and number % 10 != 6
                    flags = ["--instance_id=one"] if static else []
                    if is_early(number):
                        bridge = stream.start(*flags)
                        time.sleep(instants.uniform(0.0, 3.0))
                    else:
                        bridge = stream.start_and_deliver(*flags)
                        began = time.monotonic()
                        time.sleep(instants.uniform(0.5, 3.0))
                        stream.up(began)
                    bridge.kill()
                stream.start_and_deliver()
            verdict = stream.finish()
        effects = {"kills": rounds * bool(verdict.duplicated), "again": verdict.duplicated}
        table.judge(f"SIGKILL x{rounds} ({client})", stream, verdict, effects, load=True)

    each(open_streams(f"--kafka_client={client}", "--commit_interval_s=1"), scenario)


@pytest.mark.short_client("kafka-python")
def test_stopped_by_sigterm_in_mid_stream_duplicates_nothing_and_keeps_the_order(
    open_streams, client, full, seed, table
):
    """Clean stops, one bridge after the other, with ordering keys.

    The order is checked where Kafka is the source: the emulator puts what is given back at a stop
    behind the other messages of its ordering key.
    """
    rounds = 5 if full else 2

    def scenario(stream: Stream) -> None:
        instants = random.Random(f"{seed} {stream.direction} {client}")
        interrupted = 0
        with stream.read():
            with stream.produce(rate=1_500, backlog=3_000):
                for _ in range(rounds):
                    bridge = stream.start_and_deliver()
                    time.sleep(instants.uniform(0.2, 2.0))
                    until(lambda: stream.ledger.outstanding, "messages on their way")
                    bridge.stop()
                    interrupted += 1
                stream.start_and_deliver()
            verdict = stream.finish()
        effects = {"stops with messages waiting": interrupted}
        ordered = isinstance(stream, ToPubSub)
        fault = f"SIGTERM x{rounds} ({client})"
        table.judge(fault, stream, verdict, effects, clean=True, ordered=ordered)

    each(open_streams(f"--kafka_client={client}", ordered=True), scenario)


@pytest.mark.full_only
@pytest.mark.load
def test_stopped_by_sigterm_under_load_duplicates_nothing(open_streams, seed, table):
    """Clean stops, one bridge after the other, each with thousands of messages waiting."""
    rounds = 6

    def scenario(stream: Stream) -> None:
        instants = random.Random(f"{seed} {stream.direction}")
        waiting = 0
        with stream.read():
            with stream.produce():
                for _ in range(rounds):
                    bridge = stream.start_and_deliver()
                    began = time.monotonic()
                    time.sleep(instants.uniform(0.5, 4.0))
                    stream.up(began)
                    waiting += stream.ledger.outstanding
                    bridge.stop()
                stream.start_and_deliver()
            verdict = stream.finish()
        effects = {"waiting at the stops": waiting, "given back": stream.reported("released")}
        fault = f"SIGTERM x{rounds} under load"
        table.judge(fault, stream, verdict, effects, clean=True, load=True)

    each(open_streams(), scenario)


def test_paused_for_longer_than_session_and_lease_it_goes_on_and_rewinds_nobody(
    open_streams, full, table
):
    """SIGSTOP for 12.5 s while another bridge takes over, then SIGCONT: both work on, and no
    committed offset ever goes back."""

    def scenario(stream: Stream) -> None:
        committed: list[dict[int, int]] = []
        with stream.read():
            with stream.produce(rate=1_500, backlog=20_000):
                paused = stream.start_and_deliver()
                time.sleep(1.5)
                paused.pause()
                ends = time.monotonic() + PAUSE_S
                other = stream.start()
                while time.monotonic() < ends:
                    note(stream, committed)
                before = stream.ledger.delivered
                paused.resume()
                stream.until_more(before, other, 3_000)
                for _ in range(10):
                    note(stream, committed)
            gave_up = paused.process.poll() is not None
            if gave_up:
                assert paused.process.returncode == 1, paused.output
            verdict = stream.finish()
        for earlier, later in itertools.pairwise(committed):
            assert all(later.get(p, 0) >= at for p, at in earlier.items()), (earlier, later)
        if isinstance(stream, ToPubSub):
            assert stream.committed() == stream.ends()
        effects = {
            "partitions lost": paused.output.count("lost "),
            "leases run out": stream.reported("redelivery_expected"),
            "again": verdict.duplicated,
            "gave up": gave_up,
        }
        table.judge("SIGSTOP 12.5 s", stream, verdict, effects)

    each(open_streams(), scenario)


def note(stream: Stream, committed: list[dict[int, int]]) -> None:
    """What the group has committed now."""
    if isinstance(stream, ToPubSub):
        committed.append(stream.committed())
    time.sleep(0.2)


def test_bridges_that_join_and_leave_every_few_seconds_duplicate_nothing(
    open_streams, client, full, seed, table
):
    """Up to four bridges of a group, or on a subscription; each leaves by SIGTERM, the first one
    when all others have come and gone but one."""
    seconds = 30.0 if full else 8.0

    def scenario(stream: Stream) -> None:
        instants = random.Random(f"{seed} {stream.direction} {client}")
        with stream.read():
            with stream.produce(rate=2_000, backlog=4_000):
                here = [stream.start_and_deliver()]
                ends = time.monotonic() + seconds
                while time.monotonic() < ends:
                    here.append(stream.start())
                    time.sleep(instants.uniform(2.0, 4.0))
                    if len(here) == 3 or instants.random() < 0.4:
                        leave(here.pop(instants.randrange(1, len(here))))
                here.append(stream.start())
                time.sleep(instants.uniform(2.0, 4.0))
                for bridge in here[:-1]:
                    leave(bridge)
                stream.until_more(stream.ledger.delivered, here[-1])
            verdict = stream.finish()
        if isinstance(stream, ToPubSub):
            assert stream.committed() == stream.ends()
        worked = [bridge for bridge in stream.bridges if bridge.has_report]
        assert sum(bridge.report["delivered"] for bridge in worked) == verdict.delivered
        assert sum(bridge.report["delivered"] > 0 for bridge in worked) >= 2, "one did it all"
        effects = {
            "bridges": len(worked),
            "rebalances": stream.logged("assigned ", "revoked "),
            "given back": stream.reported("released"),
        }
        table.judge(f"joins and leaves ({client})", stream, verdict, effects, clean=True)

    each(open_streams(f"--kafka_client={client}"), scenario)


def leave(bridge: Bridge) -> None:
    """Asks it to stop; one that has not begun yet ends by the signal."""
    bridge.process.terminate()
    until(lambda: bridge.process.poll() is not None, "the bridge leaves")
    assert bridge.process.returncode in (0, -15), bridge.output
