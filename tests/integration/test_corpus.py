"""The corpus there and back through both pipelines, and what it looks like in the middle."""

from __future__ import annotations

import pytest
from corpus import kafka_records, pubsub_messages

from transforms.dead_letters.files import FileDeadLetterSource
from transforms.records import KafkaRecord, PubsubRecord


def content(record: KafkaRecord | PubsubRecord) -> tuple:
    """All of a record but where it is."""
    if isinstance(record, KafkaRecord):
        return record[3:8]
    return record.data, dict(record.attributes), record.ordering_key


@pytest.mark.parametrize("ordering_key", ["none", "key"])
def test_every_kafka_record_of_the_corpus_comes_back_as_it_was_or_is_a_dead_letter(
    kafka, pubsub, run_bridge, unique, tmp_path, ordering_key
):
    source, destination = kafka.create(f"{unique}-a"), kafka.create(f"{unique}-b")
    topic, subscription = pubsub.create(unique)
    pubsub.admin.create_subscription(f"{subscription}-middle", topic)
    cases = kafka_records(source)
    kafka.send(case.record for case in cases)
    run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={source}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--attributes=lossless",
        f"--ordering_key={ordering_key}",
        f"--dead_letter={tmp_path}/dead",
        f"--max_messages={len(cases)}",
    ).wait()
    letters = [
        found.letter for batch in FileDeadLetterSource(f"{tmp_path}/dead").read() for found in batch
    ]
    with_key = ordering_key == "key"
    misfits = [case.dead_letter or (with_key and not case.ordering_key) for case in cases]
    dead = [case.record for case, misfit in zip(cases, misfits, strict=True) if misfit]
    assert [content(letter.original) for letter in letters] == [content(record) for record in dead]
    fit = {offset: case for offset, case in enumerate(cases) if not misfits[offset]}
    middle = {
        int(message.attributes["kafka.offset"]): message
        for message in pubsub.receive(f"{subscription}-middle", len(fit))
    }
    for offset, case in fit.items():
        message = middle[offset]
        headers = dict(case.record.headers)
        assert message.data == (case.record.value or b""), case.name
        expected_key = case.record.key if with_key else None
        assert message.ordering_key.encode() == (expected_key or b""), case.name
        assert {n: message.attributes[n].encode() for n in case.plain} == {
            n: headers[n] for n in case.plain
        }, case.name
        assert not set(case.spilled) & set(message.attributes), case.name
    run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={destination}",
        "--attributes=lossless",
        f"--max_messages={len(fit)}",
    ).wait()
    back = {record.timestamp_ms: record for record in kafka.receive(destination, len(fit))}
    assert len(back) == len(fit)
    for case in fit.values():
        assert content(back[case.record.timestamp_ms]) == content(case.record), case.name


def test_every_pubsub_message_of_the_corpus_comes_back_as_it_was(kafka, pubsub, run_bridge, unique):
    topic, subscription = pubsub.create(f"{unique}-a")
    back, back_subscription = pubsub.create(f"{unique}-b")
    between = kafka.create(unique)
    cases = pubsub_messages()
    for case in cases:
        pubsub.send(topic, [case.record])
    run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={between}",
        "--attributes=lossless",
        f"--max_messages={len(cases)}",
    ).wait()
    middle = {
        (record.value, record.headers): dict(record.headers)
        for record in kafka.receive(between, len(cases))
    }
    for case in cases:
        attributes = case.record.attributes
        plain = {n: v.encode() for n, v in attributes.items() if n not in case.spilled}
        plain = {n: v for n, v in plain.items() if not n.startswith(("pubsub.", "bridge."))}
        assert any(
            value == case.record.data
            and plain.items() <= headers.items()
            and not set(case.spilled) & set(headers) - {"bridge.origins"}
            for (value, _), headers in middle.items()
        ), case.name
    run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={between}",
        f"--group_id={unique}",
        f"--pubsub_topic={back}",
        "--attributes=lossless",
        f"--max_messages={len(cases)}",
    ).wait()
    returned = [content(message) for message in pubsub.receive(back_subscription, len(cases))]
    assert len(returned) == len(cases)
    for case in cases:
        assert content(case.record) in returned, case.name
