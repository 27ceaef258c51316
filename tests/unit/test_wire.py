"""Publish requests as they are written are what protobuf would write."""

from __future__ import annotations

from google.pubsub_v1 import types
from hypothesis import given
from hypothesis import strategies as st

from transforms.pubsub.client.wire import request, size_bytes, to_wire
from transforms.records import PubsubRecord

SIZES = [0, 1, 127, 128, 2_047, 2_048, 16_383, 16_384, 300_000]
"""Lengths of one byte, two, three and their borders."""

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
names = st.one_of(st.sampled_from(["kafka.topic", "kafka.offset", "n"]), text)
records = st.builds(
    PubsubRecord,
    st.one_of(st.binary(max_size=300), st.sampled_from(SIZES).map(bytes)),
    st.dictionaries(names, text, max_size=8),
    text,
)


def by_protobuf(topic: str, messages: list[PubsubRecord]) -> types.PublishRequest:
    return types.PublishRequest(
        topic=topic,
        messages=[
            types.PubsubMessage(data=m.data, attributes=m.attributes, ordering_key=m.ordering_key)
            for m in messages
        ],
    )


@given(text, st.lists(records, max_size=5))
def test_protobuf_reads_what_was_to_be_published_and_nothing_else(topic, messages):
    wires = [to_wire(message) for message in messages]
    written = request(topic, wires)
    expected = by_protobuf(topic, messages)
    assert types.PublishRequest.deserialize(written) == expected
    if topic:
        assert len(written) == len(types.PublishRequest.serialize(expected))
    for message, wire in zip(messages, wires, strict=True):
        alone = len(types.PublishRequest.serialize(by_protobuf("", [message])))
        assert size_bytes(wire) == alone
        assert wire[1] is message.data or not message.data


def test_a_thousand_and_one_names_are_remembered_rightly():
    messages = [PubsubRecord(b"x", {f"n{i % 1_700}": f"v{i % 13}"}) for i in range(4_000)]
    written = request("t", map(to_wire, messages))
    assert types.PublishRequest.deserialize(written) == by_protobuf("t", messages)
