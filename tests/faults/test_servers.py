"""A server is killed, restarted or paused beside the bridge, which goes on by itself."""

from __future__ import annotations

import contextlib
import time

import pytest
from streams import PAUSE_S, ToKafka, each, flowing, let_deliver


@pytest.mark.load
def test_the_broker_killed_and_restarted_in_mid_batch_loses_nothing(
    open_streams, reading, servers, client, full, table
):
    """SIGKILL of the only broker, back after a second."""
    broker = servers.stack.kafka
    rounds = 2 if full else 1
    streams = reading(open_streams(f"--kafka_client={client}", "--commit_interval_s=1"))
    with flowing(streams):
        for _ in range(rounds):
            let_deliver(streams, 2.0)
            broker.kill()
            time.sleep(1.0)
            broker.restart()
        let_deliver(streams, 2.0)
    table.judge_all(f"broker killed x{rounds} ({client})", streams)


@pytest.mark.full_only
@pytest.mark.load
def test_the_broker_paused_for_longer_than_a_session_loses_nothing(
    open_streams, reading, servers, client, table
):
    """SIGSTOP of the only broker: connections stay, and nothing answers."""
    streams = reading(open_streams(f"--kafka_client={client}", "--commit_interval_s=1"))
    with flowing(streams):
        let_deliver(streams, 2.0)
        servers.stack.kafka.pause()
        time.sleep(PAUSE_S)
        servers.stack.kafka.resume()
        let_deliver(streams, 2.0)
    table.judge_all(f"broker paused {PAUSE_S:g} s ({client})", streams)


@pytest.mark.load
def test_the_emulator_killed_and_restarted_empty_is_read_and_written_again(
    open_streams, reading, servers, table
):
    """SIGKILL of the emulator, which comes back without topics, subscriptions and messages.

    Its connections are frozen a moment before, so that the test sees all that it has taken, and
    cut until its topics and subscriptions are made again: a bridge sees a service that is away, and
    goes on by itself.

    To Pub/Sub all is checked: every record is published before the kill, or after it, or both. From
    Pub/Sub what the emulator had confirmed to the producer and not yet given to the bridge is
    forgotten with it, is counted, and cannot be checked; all that the bridge had read is in Kafka,
    and so is all that is published after the restart. Acks that failed meanwhile are of messages
    that never come again: such a bridge says so when it stops, with exit status 1.
    """
    streams = reading(open_streams("--commit_interval_s=1", proxied=True))
    proxy, emulator = servers.pubsub_proxy, servers.stack.pubsub
    with flowing(streams):
        let_deliver(streams, 2.0)
        proxy.freeze()
    each(streams, lambda stream: stream.until_quiet(4.0))
    for stream in streams:
        if isinstance(stream, ToKafka):
            forgotten = stream.ledger.missing()
            stream.ledger.forgive(forgotten)
            stream.noted["forgotten"] = len(forgotten)
    refused = proxy.refused
    emulator.kill()
    proxy.cut(refuse_s=60)
    emulator.restart()
    for stream in streams:
        stream.make_again()
    proxy.heal()
    with contextlib.ExitStack() as stack:
        for stream in streams:
            stack.enter_context(stream.produce())
        let_deliver(streams, 2.0)
    for stream in streams:
        if isinstance(stream, ToKafka):
            stream.until_all_arrived()
            bridge = stream.bridges[0]
            bridge.process.terminate()
            if bridge.process.wait(60):
                assert bridge.output.splitlines()[-1].startswith("ps_to_kafka: acknowledge ")
            stream.until_quiet()
            assert bridge.report["read"] == bridge.report["delivered"] == stream.ledger.delivered
    table.judge_all("emulator killed", streams, refused=proxy.refused - refused)
