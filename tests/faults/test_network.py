"""The network between the bridge and both servers is cut, slow, or gone: `proxy`."""

from __future__ import annotations

import random
import time

import pytest
from streams import PAUSE_S, flowing, let_deliver


@pytest.fixture
def proxies(servers):
    return [servers.kafka_proxy, servers.pubsub_proxy]


@pytest.mark.load
def test_connections_cut_at_random_instants_lose_nothing(
    open_streams, reading, proxies, full, seed, table
):
    """All connections to one server are reset, and new ones for up to a second."""
    rounds = 12 if full else 3
    instants = random.Random(f"{seed} cut")
    streams = reading(open_streams("--commit_interval_s=1", proxied=True))
    cut = 0
    with flowing(streams):
        for _ in range(rounds):
            time.sleep(instants.uniform(0.2, 2.0))
            cut += instants.choice(proxies).cut(refuse_s=instants.uniform(0.0, 1.0))
        let_deliver(streams, 1.0)
    table.judge_all(f"connections cut x{rounds}", streams, cut=cut)


@pytest.mark.full_only
def test_a_slow_network_loses_nothing(open_streams, reading, proxies, table):
    """A tenth of the load passes, each piece 20 ms late, for ten seconds."""
    streams = reading(open_streams("--commit_interval_s=1", proxied=True))
    held_s = sum(proxy.held_s for proxy in proxies)
    with flowing(streams):
        let_deliver(streams, 1.0)
        for proxy in proxies:
            proxy.slow(500_000, latency_s=0.02)
        time.sleep(10.0)
        for proxy in proxies:
            proxy.heal()
        let_deliver(streams, 1.0)
    held_s = sum(proxy.held_s for proxy in proxies) - held_s
    table.judge_all("slow network 10 s", streams, load=False, seconds_held=round(held_s))


@pytest.mark.full_only
@pytest.mark.parametrize("gone", ["Kafka", "Pub/Sub"])
def test_a_network_that_is_gone_for_longer_than_session_and_lease_loses_nothing(
    open_streams, reading, proxies, table, gone
):
    """Nothing passes for 12.5 s, and no connection ends; then what was held goes on."""
    streams = reading(open_streams("--commit_interval_s=1", proxied=True))
    proxy = proxies[gone == "Pub/Sub"]
    held_s = proxy.held_s
    with flowing(streams):
        let_deliver(streams, 1.0)
        proxy.freeze()
        time.sleep(PAUSE_S)
        proxy.thaw()
        let_deliver(streams, 1.0)
    held_s = proxy.held_s - held_s
    table.judge_all(f"{gone} gone {PAUSE_S:g} s", streams, load=False, seconds_held=round(held_s))
