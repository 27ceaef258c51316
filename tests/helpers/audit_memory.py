"""Carries N messages through a ledger of the audit, as its readers hand them over; prints the most
memory that the process has had, in MB: `python audit_memory.py offsets|ids N`."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator

from pipelines.audit import cli
from transforms.audit.kafka_ledger import Asked, KafkaLedger
from transforms.audit.pubsub_ledger import PubsubLedger
from transforms.audit.rows import Rule
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

BATCH = 1_000
PARTITIONS = 4
ID = 10_000_000_000_000_000


def batches(n: int) -> Iterator[range]:
    for begin in range(0, n, BATCH):
        yield range(begin, min(begin + BATCH, n))


def offsets(n: int) -> int:
    """Every 1,000th one is missing; returns how many the ledger says."""
    spans = Ranges(((0, n // PARTITIONS - 1),))
    ledger = KafkaLedger({("t", p): Asked(spans) for p in range(PARTITIONS)}, Rule())
    for batch in batches(n):
        ledger.expect([KafkaRecord("t", i % PARTITIONS, i // PARTITIONS, 1) for i in batch])
    ledger.seal()
    names = "kafka.topic", "kafka.partition", "kafka.offset"
    for batch in batches(n):
        ledger.deliver(
            [
                PubsubRecord(
                    b"", dict(zip(names, ("t", str(i % 4), str(i // 4)), strict=True)), "", str(i)
                )
                for i in batch
                if i % 1000
            ]
        )
    rows, _ = ledger.close()
    return sum(row.missing for row in rows)


def ids(n: int) -> int:
    """As `offsets`, by message id, in another order on either side."""
    ledger = PubsubLedger("t", Rule(), 0, 2**62)
    for batch in batches(n):
        ledger.expect([PubsubRecord(b"", {}, "", str(ID + i * 7919 % n), i) for i in batch])
    ledger.seal()
    for batch in batches(n):
        ledger.deliver(
            [
                KafkaRecord("t", 0, i, headers=(("pubsub.messageId", b"%d" % (ID + i)),))
                for i in batch
                if i % 1000
            ]
        )
    [row], _ = ledger.close()
    return row.missing


if __name__ == "__main__":
    began, count = time.monotonic(), int(sys.argv[2])
    assert cli.main is not None  # what the command imports is part of it
    missing = {"offsets": offsets, "ids": ids}[sys.argv[1]](count)
    assert missing == count // 1000, missing
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"{peak_mb:.0f} MB {time.monotonic() - began:.1f} s")
