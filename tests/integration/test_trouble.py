"""A service that does not answer: degraded; after --delivery_timeout_s an end with the cause."""

from __future__ import annotations

import re
import time

import pytest
from ends import until

from transforms.records import KafkaRecord, PubsubRecord


class Ends:
    """Both directions, each with 100 messages that are through."""

    def __init__(self, kafka, pubsub, name: str) -> None:
        self._kafka, self._pubsub = kafka, pubsub
        self._inward, subscription = pubsub.create(f"{name}-in")
        outward, self._arrived = pubsub.create(f"{name}-out")
        self._source = kafka.create(f"{name}-source", 2)
        self._destination = kafka.create(f"{name}-destination")
        self._group = name
        self.to_pubsub = [
            "kafka_to_ps",
            f"--kafka_topics={self._source}",
            f"--group_id={name}",
            f"--pubsub_topic={outward}",
        ]
        self.to_kafka = [
            "ps_to_kafka",
            f"--subscription={subscription}",
            f"--kafka_topic={self._destination}",
        ]

    def send(self, to_kafka: bool, count: int) -> None:
        """To the source of one direction."""
        if to_kafka:
            self._pubsub.send(self._inward, [PubsubRecord(b"%d" % n) for n in range(count)])
        else:
            self._kafka.send(
                KafkaRecord(self._source, n % 2, value=b"%d" % n) for n in range(count)
            )

    def written(self) -> int:
        return self._kafka.size(self._destination)

    def committed(self) -> int:
        return self._kafka.committed(self._group)

    def published(self, count: int) -> int:
        return len(self._pubsub.receive(self._arrived, count))


@pytest.mark.parametrize(
    ("away", "client"),
    [("kafka", "kafka-python"), ("pubsub", "librdkafka")],
)
def test_a_service_that_is_away_for_too_long_ends_both_bridges_and_what_was_sent_comes_later(
    kafka, pubsub, run_bridge, stack, unique, away, client
):
    server = stack.kafka if away == "kafka" else stack.pubsub
    ends = Ends(kafka, pubsub, unique)
    flags = [f"--kafka_client={client}", "--delivery_timeout_s=6"]
    bridges = [run_bridge(*ends.to_pubsub, *flags), run_bridge(*ends.to_kafka, *flags)]
    for to_kafka in (True, False):
        ends.send(to_kafka, 100)
    until(lambda: ends.written() == ends.committed() == 100, "both bridges deliver")
    began = time.monotonic()
    server.pause()
    try:
        ends.send(away == "kafka", 10)
        for bridge in bridges:
            assert bridge.process.wait(60) == 1, bridge.output
            assert time.monotonic() - began >= 6, "it was given no chance"
            assert bridge.report["degraded_seconds"] > 0
            assert " degraded: " in bridge.output
            assert bridge.report["error"] in bridge.output.splitlines()[-1]
            assert lines_a_second(bridge.output) <= 3
    finally:
        server.resume()
    until(lambda: ends.written() >= 100, "the server is back")
    assert ends.committed() == 100, "nothing was committed that was not delivered"
    for command in (ends.to_pubsub, ends.to_kafka):
        run_bridge(*command, *flags, "--idle_seconds=2").wait()
    if away == "kafka":
        assert ends.written() >= 110
    else:
        assert ends.committed() == 110
        assert ends.published(110) >= 110


def lines_a_second(output: str) -> float:
    """The most, over any ten seconds."""
    stamps = [line[11:19] for line in output.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]
    seconds = [int(s[:2]) * 3600 + int(s[3:5]) * 60 + int(s[6:]) for s in stamps]
    return max(sum(first <= at < first + 10 for at in seconds) for first in seconds) / 10
