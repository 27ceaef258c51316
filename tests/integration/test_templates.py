"""Destinations that messages name: each arrives where it says, and none stops the others."""

from __future__ import annotations

import pytest

from transforms.dead_letters.files import FileDeadLetterSource
from transforms.destinations import parse
from transforms.errors import RefusedError
from transforms.kafka.topic_rules import TopicRules
from transforms.missing_topics import AGAIN_AFTER_S
from transforms.pubsub.writer import PubsubSinkConfig, PubsubWriter
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig

KEYS = 5


def letters_in(folder) -> list:
    source = FileDeadLetterSource(str(folder))
    try:
        return [found.letter for batch in source.read() for found in batch]
    finally:
        source.close()


def orders(pairs) -> dict:
    """(key, number) pairs as {key: [number, ...]}."""
    found: dict = {}
    for key, number in pairs:
        found.setdefault(key, []).append(number)
    return found


def test_each_topic_is_carried_to_the_one_of_its_name(kafka, pubsub, run_bridge, unique, client):
    sources = [kafka.create(f"{unique}-{letter}", 2) for letter in "ab"]
    subscriptions = [pubsub.create(source)[1] for source in sources]
    for source in sources:
        kafka.send(KafkaRecord(source, value=b"%s %d" % (source.encode(), n)) for n in range(500))
    report = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={','.join(sources)}",
        f"--group_id={unique}",
        "--pubsub_topic=projects/test/topics/{kafka.topic}",
        "--max_messages=1000",
        client,
    ).wait()
    assert (report["read"], report["delivered"]) == (1000, 1000)
    for source, subscription in zip(sources, subscriptions, strict=True):
        found = sorted(message.data for message in pubsub.receive(subscription, 500))
        assert found == sorted(b"%s %d" % (source.encode(), n) for n in range(500))


def test_a_header_says_where_a_record_goes_in_the_order_of_its_key(
    kafka, pubsub, run_bridge, unique, client, tmp_path
):
    kafka.create(unique)
    surveys = ("ztf", "lsst")
    subscriptions = {s: pubsub.create(f"{unique}-{s}", ordered=True)[1] for s in surveys}
    records = [
        KafkaRecord(
            unique,
            key=b"k%d" % (n % KEYS),
            value=b"%d" % n,
            headers=(("survey", surveys[n // 2 % 2].encode()),),
        )
        for n in range(2_000)
    ]
    poison = {
        "{attribute:survey} is missing": KafkaRecord(unique, value=b"none"),
        "characters": KafkaRecord(unique, value=b"hostile", headers=(("survey", b"../../x"),)),
        "does not exist": KafkaRecord(unique, value=b"unknown", headers=(("survey", b"sdss"),)),
    }
    for place, record in enumerate(poison.values(), 1):
        records.insert(place * 400, record)
    kafka.send(records)
    report = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic=projects/test/topics/{unique}-{{attribute:survey}}",
        "--ordering_key=key",
        f"--dead_letter={tmp_path / 'dead'}",
        f"--max_messages={len(records)}",
        client,
    ).wait()
    assert (report["delivered"], report["dead_lettered"]) == (2_000, len(poison))
    assert kafka.committed(unique) == len(records)
    for survey, subscription in subscriptions.items():
        messages = pubsub.receive(subscription, 1_000)
        assert {message.attributes["survey"] for message in messages} == {survey}
        by_key = orders((m.ordering_key, int(m.data)) for m in messages)
        assert len(by_key) == KEYS
        assert all(sorted(numbers) == numbers for numbers in by_key.values())
        assert sum(map(len, by_key.values())) == 1_000
    letters = {letter.original.value: letter for letter in letters_in(tmp_path / "dead")}
    for reason, record in poison.items():
        letter = letters.pop(record.value)
        assert reason in letter.error
        assert letter.stage == ("write" if record.value == b"unknown" else "map")
    assert letters == {}


def test_an_attribute_says_where_a_message_goes_and_no_topic_is_made_for_it(
    kafka, pubsub, run_bridge, unique, client, tmp_path
):
    topic, subscription = pubsub.create(unique, ordered=True)
    small = kafka.create(f"{unique}-small", max_message_bytes="2000")
    large = kafka.create(f"{unique}-large", 4, max_message_bytes="5000000")
    messages = [
        PubsubRecord(b"%d" % n, {"size": ("small", "large")[n // 2 % 2]}, f"k{n % KEYS}")
        for n in range(2_000)
    ]
    poison = {
        "is missing": PubsubRecord(b"none", {"a": "b"}, "k0"),
        "there is no topic": PubsubRecord(b"unknown", {"size": "huge"}, "k0"),
        "limit 2000": PubsubRecord(b"too large" * 500, {"size": "small"}, "k0"),
        "characters": PubsubRecord(b"hostile", {"size": "a/b\n"}, "k0"),
    }
    for place, message in enumerate(poison.values(), 1):
        messages.insert(place * 400, message)
    messages.append(PubsubRecord(bytes(4_000_000), {"size": "large"}, "k0"))
    for begin in range(0, len(messages), 500):
        for key in range(KEYS):
            part = [m for m in messages[begin : begin + 500] if m.ordering_key == f"k{key}"]
            pubsub.send(topic, part)
    report = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}-{{attribute:size}}",
        f"--dead_letter={tmp_path / 'dead'}",
        f"--max_messages={len(messages)}",
        client,
    ).wait()
    assert (report["delivered"], report["dead_lettered"]) == (2_001, len(poison))
    found = kafka.receive(small, 1_000) + kafka.receive(large, 1_001)
    assert sum(record.value == bytes(4_000_000) for record in found) == 1
    by_key = orders(((r.topic, r.key), int(r.value)) for r in found if r.value != bytes(4_000_000))
    assert len(by_key) == 2 * KEYS
    assert all(sorted(numbers) == numbers for numbers in by_key.values())
    letters = {letter.original.data: letter for letter in letters_in(tmp_path / "dead")}
    for reason, message in poison.items():
        assert reason in letters.pop(message.data).error
    assert letters == {}
    assert kafka.admin.topics([f"{unique}-huge"]) == {}


def test_a_topic_of_a_template_is_created_if_that_is_wanted(
    kafka, pubsub, run_bridge, unique, client
):
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"%d" % n, {"t": f"{n % 3}"}) for n in range(300)])
    report = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        "--kafka_topic={pubsub.topic}-{attribute:t}",
        "--create_topics=2:1",
        "--max_messages=300",
        client,
    ).wait()
    assert (report["delivered"], report["dead_lettered"]) == (300, 0)
    for number in range(3):
        assert kafka.admin.topics([f"{unique}-{number}"])[f"{unique}-{number}"].partitions == 2
        assert len(kafka.receive(f"{unique}-{number}", 100)) == 100


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_kafka_topic_that_is_made_later_is_written_to(kafka, unique):
    clock = Clock()
    bridge = Bridge(BridgeConfig(unique))
    rules = TopicRules(kafka.config, None, 30, bridge.health, clock=clock)
    with pytest.raises(RefusedError, match=f"there is no topic {unique}"):
        rules.of(unique)
    kafka.create(unique, 3)
    with pytest.raises(RefusedError):
        rules.of(unique)
    clock.now_s += AGAIN_AFTER_S
    assert rules.of(unique).partitions == 3
    rules.close()
    bridge.close()


def test_a_pubsub_topic_that_is_made_later_is_written_to(pubsub, unique, monkeypatch):
    settings = BridgeConfig(unique)
    bridge, clock, given = Bridge(settings), Clock(), []
    monkeypatch.setattr(bridge, "give_up", lambda *letter: given.append(letter))
    template = parse("pubsub", "projects/test/topics/{kafka.topic}")
    config = PubsubSinkConfig(settings, template.text, template=template)
    writer = PubsubWriter(config, bridge, clock=clock)

    def write(data: bytes) -> None:
        writer.write([PubsubRecord(data, made_from=KafkaRecord(unique, 0, 1))])
        writer.flush(60)

    write(b"before")
    _, subscription = pubsub.create(unique)
    write(b"too soon")
    clock.now_s += AGAIN_AFTER_S
    write(b"after")
    assert [message.data for message in pubsub.receive(subscription, 1)] == [b"after"]
    assert len(given) == 2
    assert f"publish projects/test/topics/{unique}: it does not exist" in str(given[0][1])
    writer.close()
    bridge.close()


def test_topics_that_will_be_missing_are_named_before_anything_is_read(
    kafka, pubsub, run_bridge, unique
):
    sources = [kafka.create(f"{unique}-{n}") for n in range(8)]
    pubsub.create(sources[3])
    bridge = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics=^{unique}-.*",
        f"--group_id={unique}",
        "--pubsub_topic=projects/test/topics/{kafka.topic}",
    )
    assert bridge.process.wait(60) == 2
    missing = [f"projects/test/topics/{source}" for source in sources if source != sources[3]]
    [line] = [line for line in bridge.output.splitlines() if "no such topic" in line]
    assert f"write {', '.join(missing[:5])} and 2 more: no such topic; create it" in line
