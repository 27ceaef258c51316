"""Rounds of the in-process runner: invisible to the group, counted by Beam as by the report, and
with nothing in flight between them."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import apache_beam as beam
from ends import until

from pipelines import graph, portable, rounds
from pipelines.facts import Facts
from pipelines.options import parse
from pipelines.runtime import bridge_config
from transforms import registry
from transforms.control import Rounds
from transforms.kafka.session import KafkaSession
from transforms.records import KafkaRecord


def test_five_rounds_leave_the_group_as_it_is_and_beam_counts_what_the_report_counts(
    kafka, pubsub, stack, unique, monkeypatch
):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 2)
    flags = [
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--commit_interval_s=0.1",
    ]
    options = parse("kafka_to_ps", flags, stack.env())
    config = bridge_config(options)
    bridge = registry.get(config)
    rebalances: list[str] = []
    began: list[Rounds] = []
    results: list[Any] = []
    for name in ("on_assigned", "on_revoked", "on_lost"):
        monkeypatch.setattr(KafkaSession, name, noting(getattr(KafkaSession, name), rebalances))
    monkeypatch.setattr(
        bridge.control, "begin_round", noting_round(bridge.control.begin_round, began)
    )
    monkeypatch.setattr(beam.Pipeline, "run", noting_result(beam.Pipeline.run, results))

    def transfer() -> None:
        rounds.run(
            lambda pipeline: graph.build(pipeline, options, Facts(), config),
            bridge.control,
            options.beam_args,
            Rounds(min_seconds=0.3, max_seconds=0.3),
            between=note_what_is_open,
        )

    def note_what_is_open() -> None:
        opened.append(bridge.counts.totals()["delivered"] - kafka.committed(unique))

    opened: list[int] = []
    running = threading.Thread(target=transfer)
    running.start()
    sent = 0
    while len(began) <= 5:
        kafka.send(KafkaRecord(unique, value=b"%d" % (sent + n)) for n in range(10))
        sent += 10
    until(lambda: bridge.counts.totals()["delivered"] == sent, "all is delivered")
    bridge.control.stop("test")
    running.join(30)
    bridge.close()
    assert bridge.failure is None
    assert rebalances == ["on_assigned"]
    assert opened == [0] * len(opened)
    assert len(opened) >= 5
    assert len(pubsub.receive(subscription, sent)) == sent
    assert kafka.committed(unique) == sent
    counted = sum((Counter(portable.counters(result)) for result in results), Counter())
    assert counted == Counter(bridge.counts.totals())
    assert counted["read"] == counted["delivered"] == sent


def noting(method, names):
    """The method, with its name noted at each call."""

    def noted(self, partitions):
        names.append(method.__name__)
        return method(self, partitions)

    return noted


def noting_round(begin_round, began):
    """`Control.begin_round`, with each call noted."""

    def noted(rounds_: Rounds) -> None:
        began.append(rounds_)
        begin_round(rounds_)

    return noted


def noting_result(run, results):
    """`Pipeline.run`, with each result noted."""

    def noted(pipeline, *args, **kwargs):
        results.append(run(pipeline, *args, **kwargs))
        return results[-1]

    return noted
