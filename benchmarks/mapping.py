"""What the mapping costs: microseconds a message, of CPU, for each `--attributes` and direction.

    python -m benchmarks.mapping [--headers N] [--repeats N]

All variants take turns in every repeat, so that a machine whose speed drifts drifts for all of
them; the figures are medians over the repeats, and lossless is compared with metadata repeat by
repeat. The message has a key, a value of 1 kB and plain headers in an order that is not sorted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord

CALLS = 2_000
NAMES = ("trace", "alertId", "schema", "zone", "_format")


def variants(count: int) -> dict[str, dict[str, Callable[[], object]]]:
    """By what is mapped: by attributes, a call."""
    names = [NAMES[n % len(NAMES)] + str(n // len(NAMES) or "") for n in range(count)]
    headers = tuple((name, b"some value of %d" % n) for n, name in enumerate(names))
    record = KafkaRecord(
        "alerts", 3, 123_456, 10**12, key=b"ZTF18abc", value=bytes(1_000), headers=headers
    )
    attributes = {name: value.decode() for name, value in headers}
    message = PubsubRecord(bytes(1_000), attributes, "", "8123456789", 10**12)
    lossless = ToPubsubPolicy(Attributes.LOSSLESS, cluster_id="c")
    packed_record = to_pubsub(record, lossless)
    packed_message = to_kafka(message, ToKafkaPolicy("t", Attributes.LOSSLESS, origin="0" * 16))
    packed_message = packed_message._replace(partition=0, offset=7)
    found: dict[str, dict[str, Callable[[], object]]] = {
        "Kafka -> Pub/Sub": {},
        "Kafka -> Pub/Sub, a packed message": {},
        "Pub/Sub -> Kafka": {},
        "Pub/Sub -> Kafka, a packed record": {},
    }
    dropped: list[str] = []
    for kind in Attributes:
        marked = kind is not Attributes.NONE
        there = ToPubsubPolicy(kind, cluster_id="c" if marked else "")
        back = ToKafkaPolicy("t", kind, origin="0" * 16 if marked else "")
        calls = [
            lambda there=there: to_pubsub(record, there, dropped),
            lambda there=there: to_pubsub(packed_message, there, dropped),
            lambda back=back: to_kafka(message, back, dropped),
            lambda back=back: to_kafka(packed_record, back, dropped),
        ]
        for way, call in zip(found, calls, strict=True):
            found[way][kind.value] = call
    return found


def cpu_us(call: Callable[[], object]) -> float:
    """Microseconds of CPU a call."""
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - began) / CALLS * 1e6


def main() -> None:
    """Prints one line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--headers", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=101)
    arguments = parser.parse_args()
    found = variants(arguments.headers)
    figures: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.repeats):
        for way, calls in found.items():
            for kind, call in calls.items():
                figures.setdefault((way, kind), []).append(cpu_us(call))
    kinds = [kind.value for kind in Attributes]
    print(
        f"{'us a message, median':36}"
        + "".join(f"{kind:>10}" for kind in kinds)
        + "   lossless - metadata"
    )
    for way in found:
        medians = [statistics.median(figures[way, kind]) for kind in kinds]
        pairs = zip(figures[way, "lossless"], figures[way, "metadata"], strict=True)
        more = statistics.median(lossless - metadata for lossless, metadata in pairs)
        print(f"{way:36}" + "".join(f"{us:10.2f}" for us in medians) + f"{more:22.2f}")


if __name__ == "__main__":
    main()
