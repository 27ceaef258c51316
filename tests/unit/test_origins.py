"""The marker of loop safety: what it names, and that it stays within an attribute."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms import limits, origins
from transforms.attributes import ORIGINS
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord

HERE = origins.of_kafka("cluster", "alerts")
THERE = origins.of_pubsub("projects/p/topics/alerts")


def test_an_origin_can_be_made_with_any_sha_256_tool():
    assert hashlib.sha256(b"kafka:cluster/alerts").hexdigest()[:16] == HERE
    assert hashlib.sha256(b"pubsub:projects/p/topics/alerts").hexdigest()[:16] == THERE


def test_the_same_topic_of_another_cluster_is_another_origin():
    assert origins.of_kafka("other", "alerts") != HERE


@given(st.lists(st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}"), min_size=1, max_size=90))
def test_a_marker_names_its_latest_60_origins_and_fits_an_attribute(path):
    marker = ""
    for origin in path:
        marker = origins.extended(marker, origin)
    assert marker.split(" ") == path[-60:]
    assert len(marker) <= limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES
    assert all(origins.names(marker, origin) for origin in path[-60:])
    assert origins.in_attributes({ORIGINS: marker}) == marker
    assert origins.in_headers(((ORIGINS, marker.encode()), ("a", None))) == marker


@pytest.mark.parametrize("text", ["", "x", "0" * 15, "0" * 17, f"{HERE},{THERE}", f"{HERE} \n"])
def test_what_is_no_marker_is_not_obeyed(text):
    assert origins.in_attributes({ORIGINS: text}) == ""
    assert origins.in_headers(((ORIGINS, text.encode()),)) == ""
    assert origins.in_headers(((ORIGINS, None),)) == ""


@pytest.mark.parametrize("attributes", [Attributes.METADATA, Attributes.LOSSLESS])
def test_each_hop_adds_where_it_took_the_message_from(attributes):
    first = KafkaRecord("alerts", 0, 1, 2, value=b"v")
    message = to_pubsub(first, ToPubsubPolicy(attributes, cluster_id="cluster"))
    assert origins.in_attributes(message.attributes) == HERE
    second = to_kafka(
        PubsubRecord(b"d", {ORIGINS: HERE}), ToKafkaPolicy("t", attributes, origin=THERE)
    )
    assert origins.in_headers(second.headers) == f"{HERE} {THERE}"


def test_without_loop_safety_nothing_is_marked_and_a_marker_is_carried_on():
    plain = to_pubsub(KafkaRecord("t", 0, 1, 2, value=b"v"), ToPubsubPolicy())
    assert ORIGINS not in plain.attributes
    marked = KafkaRecord("t", 0, 1, 2, value=b"v", headers=((ORIGINS, HERE.encode()),))
    dropped: list[str] = []
    assert to_pubsub(marked, ToPubsubPolicy(), dropped).attributes[ORIGINS] == HERE
    back = to_kafka(PubsubRecord(b"d", {ORIGINS: HERE}), ToKafkaPolicy("t"), dropped)
    assert dict(back.headers)[ORIGINS] == HERE.encode()
    assert dropped == []
