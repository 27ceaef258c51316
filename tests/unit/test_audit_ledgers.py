"""The ledgers of the audit: what is missing, by what it is known, and what cannot mislead them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms import origins
from transforms.audit.kafka_ledger import Asked, KafkaLedger
from transforms.audit.keys import Keys
from transforms.audit.offsets import Offsets
from transforms.audit.pubsub_ledger import PubsubLedger
from transforms.audit.rows import NUMBERS, Row, Rule
from transforms.identity import id_of_key, key_of_id, number
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

LOSSLESS = Attributes.LOSSLESS
PART = ("t", 0)


def record(offset: int, value: bytes = b"v", headers=()) -> KafkaRecord:
    return KafkaRecord("t", 0, offset, 1_700_000_000_000, value=value, headers=headers)


def message(offset: object, message_id: str = "", partition="0", topic="t") -> PubsubRecord:
    attributes = {"kafka.topic": topic, "kafka.partition": partition, "kafka.offset": str(offset)}
    return PubsubRecord(b"v", attributes, "", message_id or f"7{offset}")


def kafka_ledger(offsets, rule: Rule = Rule(), **asked) -> KafkaLedger:  # noqa: B008
    ledger = KafkaLedger({PART: Asked(Ranges(((0, 99),)), **asked)}, rule)
    ledger.expect([o if isinstance(o, KafkaRecord) else record(o) for o in offsets])
    ledger.seal()
    return ledger


def figures(row: Row) -> dict[str, int]:
    return {name: getattr(row, name) for name in NUMBERS if getattr(row, name)}


def closed(ledger: KafkaLedger) -> tuple[dict[str, int], str]:
    [row], missing = ledger.close()
    return figures(row), str(Ranges(tuple(missing.spans[PART]())))


# -- by place --------------------------------------------------------------------------------------


def test_a_copy_of_a_record_that_had_this_offset_in_a_deleted_topic_is_none_of_this_one():
    ledger = kafka_ledger([0, 1, 2, 3])
    for offset, time_ms in ((0, 1_700_000_000_000), (1, 1_600_000_000_000)):
        old = message(offset)
        ledger.deliver(
            [old._replace(attributes={**old.attributes, "kafka.timestamp": f"{time_ms}"})]
        )
    ledger.give_up([record(2), record(3)._replace(timestamp_ms=5)])
    found, missing = closed(ledger)
    assert missing == "1,3"
    assert (found["delivered"], found["dead_lettered"], ledger.others.messages) == (1, 1, 1)


def test_every_offset_has_one_fate():
    ledger = kafka_ledger([0, 1, 2, 3, 5, 6, 9], expired=4, not_due=2)
    ledger.deliver([message(0), message(1), message(1, "other"), message(2), message(2)])
    ledger.give_up([record(0), record(3), record(7), PubsubRecord(b"", {}, "", "1")])
    found, missing = closed(ledger)
    assert missing == "5-6,9"
    assert found == {
        "expected": 7,
        "delivered": 3,
        "dead_lettered": 1,
        "missing": 3,
        "duplicated": 1,
        "gaps": 93,
        "expired": 4,
        "not_due": 2,
    }


def test_the_same_message_pulled_twice_is_no_duplicate_two_messages_are():
    ledger = kafka_ledger([0, 1])
    ledger.deliver([message(0, "17"), message(0, "17"), message(1, "18"), message(1, "19")])
    assert closed(ledger)[0] == {"expected": 2, "delivered": 2, "duplicated": 1, "gaps": 98}


@pytest.mark.parametrize(
    "hostile",
    [
        *(message(text) for text in ("", "1e9", "-1", "+1", " 1", "01", "1.0", "\u0661", "\x00")),
        *(message(text) for text in ("9" * 18, "9" * 5000, 2**63, 2**64, 10**12)),
        message(1, partition="00"),
        message(1, partition="1"),
        message(1, partition="\u0660"),
        message(1, topic="T"),
        message(1, topic="t\n"),
        PubsubRecord(b"v", {"kafka.topic": "t", "kafka.partition": "0"}),
        PubsubRecord(b"v", {"kafka.offset": "1"}),
        PubsubRecord(b"v"),
        KafkaRecord("t", None, None),
        KafkaRecord("t", 0, 10**12),
        KafkaRecord("other", 0, 1),
    ],
)
def test_foreign_and_hostile_messages_are_others(hostile):
    ledger = kafka_ledger([1])
    ledger.deliver([hostile])
    assert closed(ledger) == ({"expected": 1, "missing": 1, "gaps": 99}, "1")
    assert ledger.others.messages == 1


def test_in_kafka_the_headers_say_the_place_not_where_the_copy_lies():
    ledger = kafka_ledger([0, 1], Rule(within_kafka=True))
    names = (("kafka.topic", b"t"), ("kafka.partition", b"0"))
    ledger.deliver(
        [
            KafkaRecord("copy", 0, 0, headers=(*names, ("kafka.offset", b"1"))),
            KafkaRecord("t", 0, 0, headers=(*names, ("kafka.offset", None))),
            KafkaRecord("t", 0, 0, headers=(("kafka.topic", b"\xff"),)),
        ]
    )
    assert closed(ledger)[1] == "0"
    assert ledger.others.messages == 2


def test_what_was_at_the_destination_before_is_returned_unless_it_is_there_again():
    origin = origins.of_pubsub("projects/p/topics/t")
    came = (("bridge.origins", origin.encode()),)
    ledger = kafka_ledger([record(0, headers=came), record(1, headers=came)], Rule(returns=origin))
    ledger.deliver([message(0)])
    expected = {"expected": 2, "delivered": 1, "returned": 1, "gaps": 98}
    assert closed(ledger) == (expected, "")


# -- by content ------------------------------------------------------------------------------------


def packed(message_id: str, data: bytes = b"data") -> KafkaRecord:
    """A record that holds a message whole."""
    sent = PubsubRecord(data, {"name": "value"}, "k", message_id, 1_700_000_000_000)
    return to_kafka(sent, ToKafkaPolicy("t", LOSSLESS))


def at(made: KafkaRecord, offset: int) -> KafkaRecord:
    return KafkaRecord("t", 0, offset, *made[3:8])


def test_a_packed_message_is_known_by_its_content_and_counted_as_often_as_it_was_sent():
    sources = [at(packed("1", b"a"), 0), at(packed("2", b"a"), 1), at(packed("3", b"b"), 2)]
    policy = ToPubsubPolicy(LOSSLESS)
    restored = [to_pubsub(source, policy) for source in sources]
    assert all("kafka.offset" not in found.attributes for found in restored)
    once = [PubsubRecord(*found[:3], f"9{n}") for n, found in enumerate(restored)]

    ledger = kafka_ledger(sources, Rule(lossless=True))
    ledger.deliver([once[0], once[0], once[2], PubsubRecord(*once[2][:3], "99"), message(0)])
    found, missing = closed(ledger)
    assert missing in ("0", "1")
    counts = {"expected": 3, "delivered": 2, "missing": 1, "duplicated": 1, "gaps": 97}
    assert found == counts
    assert ledger.others.messages == 1  # it says the place of a record that was restored


def test_two_hops_within_kafka_are_matched_by_content():
    plain = record(0, headers=(("a", b"\xff"), ("a", None)))
    sources = [plain, at(packed("1"), 1), record(2, b"lost")]
    there, back = ToPubsubPolicy(LOSSLESS), ToKafkaPolicy("copy", LOSSLESS)
    ledger = kafka_ledger(sources, Rule(lossless=True, within_kafka=True))
    for source in sources[:2]:
        sent = to_pubsub(source, there)
        pulled = PubsubRecord(*sent[:3], "55", 1_800_000_000_000)
        ledger.deliver([to_kafka(pulled, back)._replace(partition=0, offset=7)])
    assert closed(ledger)[1] == "2"


# -- by message id ---------------------------------------------------------------------------------


def test_every_message_has_one_fate():
    origin = origins.of_kafka("cluster", "t")
    rule = Rule(lossless=True, returns=origin)
    ledger = PubsubLedger("topic", rule, 1_000, 2_000)
    restored = to_pubsub(record(5, b"restored"), ToPubsubPolicy(LOSSLESS))
    sources = [PubsubRecord(b"d", {}, "", str(n), 1_000 + n) for n in range(5)]
    sources += [
        PubsubRecord(b"d", {}, "", "early", 999),
        PubsubRecord(b"d", {}, "", "late", 2_000),
        PubsubRecord(b"d", {"bridge.origins": origin}, "", "6", 1_006),
        PubsubRecord(*restored[:3], "7", 1_007),
        PubsubRecord(*restored[:3], "7", 1_007),
        PubsubRecord(b"d", {}, "", "no number", 1_999),
    ]
    ledger.expect([*sources, sources[0]])
    ledger.seal()
    policy = ToKafkaPolicy("t", LOSSLESS)
    ledger.deliver([to_kafka(sources[n], policy) for n in (0, 1, 1, 8)])
    ledger.deliver([KafkaRecord("t", 0, 9, headers=(("pubsub.messageId", b"\xff"),))])
    ledger.give_up([sources[2], sources[0], record(3)])
    [row], missing = ledger.close()
    assert figures(row) == {
        "expected": 8,
        "delivered": 3,
        "dead_lettered": 1,
        "returned": 1,
        "missing": 3,
        "duplicated": 1,
    }
    assert missing.messages is not None
    found = [(id_of_key(key), ms) for key, ms in missing.messages()]
    assert found[:2] == [("3", 1_003), ("4", 1_004)]
    assert found[2][0].startswith("hash:")
    assert (ledger.others.messages, ledger.others.outside) == (1, 2)


@pytest.mark.parametrize("text", ["0", "7", "10721501285371497", "9" * 18])
def test_a_numeric_id_is_its_own_key(text):
    assert key_of_id(text) == int(text)
    assert id_of_key(key_of_id(text)) == text


@pytest.mark.parametrize("text", ["", "01", "1" * 19, "x", "\u0661", "-1", "1\n"])
def test_any_other_id_is_hashed(text):
    assert number(text) == -1
    assert key_of_id(text) >> 63 == 1
    assert id_of_key(key_of_id(text)).startswith("hash:")


# -- properties ------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 10**6)), st.lists(st.integers(0, 10**6)))
def test_offsets_are_a_set_with_states(held, delivered):
    offsets = Offsets()
    for offset in sorted(held):
        offsets.add(offset, 0, None)
    for offset in delivered:
        assert offsets.deliver(offset, 0, None) == (offset in held)
    found = Ranges(tuple(offsets.missing()))
    assert found == Ranges().with_numbers(held - set(delivered))


@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 25)))
def test_keys_are_counted_as_often_as_they_come(source, destination):
    keys = Keys()
    for key in source:
        keys.add(key)
    keys.seal()
    for key in destination:
        keys.deliver(key)
    come, held = Counter(destination), Counter(source)
    seen: list[int] = []
    for found in keys.found():
        assert found.times.tolist() == [come[key] for key in found.key.tolist()]
        assert found.copies.tolist() == [held[key] for key in found.key.tolist()]
        seen += [source[index] for index in found.index]
    assert seen == sorted(source)
    assert keys.others == sum(n for key, n in come.items() if key not in held)


def test_a_key_is_counted_however_often_it_comes():
    keys = Keys()
    keys.add(1)
    keys.seal()
    for _ in range(70_000):
        keys.deliver(1)
    assert [found.times.tolist() for found in keys.found()] == [[70_000]]


# -- memory ----------------------------------------------------------------------------------------


def test_memory_of_ten_million_messages_stays_below_500_mb():
    """By what a million more take; `audit_memory.py offsets 10000000` takes all of them."""
    root = Path(__file__).resolve().parents[2]
    few, more = 300_000, 1_000_000

    def start(by: str, count: int) -> subprocess.Popen:
        command = [sys.executable, "tests/helpers/audit_memory.py", by, str(count)]
        return subprocess.Popen(
            command, cwd=root, env={"PYTHONPATH": "."}, stdout=subprocess.PIPE, text=True
        )

    for by in ("offsets", "ids"):
        running = [start(by, count) for count in (few, more)]
        few_mb, more_mb = (float(each.communicate()[0].split()[0]) for each in running)
        assert few_mb + (10_000_000 - few) / (more - few) * (more_mb - few_mb) < 500, by
