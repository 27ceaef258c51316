"""What the bridge counts, declared once; progress line, report and runner pages read the same.

Threads that Beam does not know (timers, finalizers) count too, and Beam ignores an increment from
such a thread. So increments are collected per process, and `publish` hands them to Beam from a
thread that Beam runs a bundle on.
"""

from __future__ import annotations

import threading
from collections import Counter

from apache_beam.metrics import Metrics

NAMESPACE = "bridge"

COUNTERS = {
    "read": "messages claimed from the source, redeliveries included",
    "delivered": "messages confirmed by the destination",
    "archived": "messages that are in complete files, of an archive beside the destination",
    "dead_lettered": "messages written to the dead-letter destination",
    "returns_dropped": "messages dropped because they had been at the destination before",
    "delivered_before": "messages left out, since a killed run of the same backfill delivered them",
    "redelivered": "messages read again after they had been read before by this process",
    "redelivery_expected": "acks sent after their lease had run out: expect a duplicate",
    "released": "messages read and given back: not committed or acked by this process",
    "fields_dropped": "keys, headers or attributes left out because they do not fit",
    "commit_failures": "commits or acks that failed: what they covered comes again",
    "retries": "attempts to reach a service that failed and were repeated",
    "offsets_lost": "Kafka offsets that were gone before they could be read",
    "left_unread": "Kafka records of nights that were too long ago before they were read",
    "bytes": "payload bytes confirmed by the destination",
}
"""Counter name to meaning."""

SETTLED = ("delivered", "dead_lettered", "returns_dropped", "delivered_before")
"""The counters of what became of messages that were read: these are done with."""

READ_DELAY_MS = "read_delay_ms"
"""Distribution: from publish or append time to being read, one sample per poll, milliseconds."""


class Counts:
    """Counters of one bridge in one process: totals, and what Beam has not been told yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self._unpublished: Counter[str] = Counter()
        self._of_topics: dict[str, Counter[str]] = {}
        self._samples: list[int] = []

    def add(self, name: str, n: int = 1) -> None:
        """Adds to a counter; from any thread."""
        if name not in COUNTERS:
            raise KeyError(name)
        with self._lock:
            self._totals[name] += n
            self._unpublished[name] += n

    def add_of_topic(self, topic: str, name: str, n: int) -> None:
        """Adds to what is counted of one Kafka topic; the total is counted apart."""
        with self._lock:
            self._of_topics.setdefault(topic, Counter())[name] += n

    def of_topics(self) -> dict[str, dict[str, int]]:
        """What is counted of each topic, in the order of their names."""
        with self._lock:
            return {topic: dict(found) for topic, found in sorted(self._of_topics.items())}

    def sample_read_delay(self, milliseconds: int) -> None:
        """Adds one sample to `READ_DELAY_MS`."""
        with self._lock:
            self._samples.append(max(0, milliseconds))

    def totals(self) -> dict[str, int]:
        """All counters, those that are zero too."""
        with self._lock:
            return dict(self._totals)

    def publish(self) -> None:
        """Hands the increments since the last call to Beam; on a thread that runs a bundle."""
        with self._lock:
            unpublished, self._unpublished = self._unpublished, Counter()
            samples, self._samples = self._samples, []
        for name, n in unpublished.items():
            Metrics.counter(NAMESPACE, name).inc(n)
        for sample in samples:
            Metrics.distribution(NAMESPACE, READ_DELAY_MS).update(sample)
