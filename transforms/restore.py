"""What an archive keeps, as it goes to Kafka or Pub/Sub again: pure functions, one at a time.

A Kafka record that goes to Pub/Sub, and a Pub/Sub message that goes to Kafka, are mapped as ever.
One that goes to where it came from is copied: payload, key, headers and timestamp, or data,
attributes and ordering key. With METADATA it also says where it was first.
"""

from __future__ import annotations

from transforms import limits, mapping, origins
from transforms.attributes import MESSAGE_ID, PUBLISH_TIME, place
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy
from transforms.records import KafkaRecord, PubsubRecord


def to_kafka(
    element: KafkaRecord | PubsubRecord,
    policy: ToKafkaPolicy,
    dropped: list[str] | None = None,
    marker: str | None = None,
) -> KafkaRecord:
    """A record for `policy.topic`; arguments and errors are those of `mapping.to_kafka`.

    A copy keeps its key unless `policy.key` says otherwise; a key from the ordering key is that of
    the record, which may have been it.
    """
    if isinstance(element, PubsubRecord):
        return mapping.to_kafka(element, policy, dropped, marker)
    key, headers = element.key, element.headers
    if policy.key == "none":
        key = None
    elif policy.key == "attribute":
        key = dict(headers).get(policy.key_attribute)
    if policy.attributes is Attributes.METADATA:
        first = place(element)
        kept = tuple(header for header in headers if header[0] not in first)
        if dropped is not None and len(kept) < len(headers):
            dropped.append("a header is left out: its name is the bridge's own")
        headers = (*kept, *((name, value.encode()) for name, value in first.items()))
    return KafkaRecord(
        policy.topic,
        element.partition if policy.partition == "source" else None,
        None,
        element.timestamp_ms,
        key=key,
        value=element.value,
        headers=headers,
        made_from=element,
    )


def to_pubsub(
    element: KafkaRecord | PubsubRecord,
    policy: ToPubsubPolicy,
    dropped: list[str] | None = None,
    marker: str | None = None,
) -> PubsubRecord:
    """A message to be published; arguments and errors are those of `mapping.to_pubsub`. A copy
    keeps its ordering key."""
    if isinstance(element, KafkaRecord):
        return mapping.to_pubsub(element, policy, dropped, marker)
    attributes = {
        name: value
        for name, value in element.attributes.items()
        if not name.startswith(limits.PUBSUB_RESERVED_ATTRIBUTE_PREFIX)
    }
    if policy.attributes is Attributes.METADATA:
        first = {MESSAGE_ID: element.message_id}
        if element.publish_time_ms is not None:
            first[PUBLISH_TIME] = str(element.publish_time_ms)
        if len(attributes.keys() | first.keys()) <= limits.PUBSUB_MAX_ATTRIBUTES:
            attributes |= first
        elif dropped is not None:
            dropped.append(f"id and publish time: beyond {limits.PUBSUB_MAX_ATTRIBUTES} attributes")
    return PubsubRecord(element.data, attributes, element.ordering_key, made_from=element)


def marker_of(element: KafkaRecord | PubsubRecord) -> str:
    """Where a record or message has been, see `transforms.origins`."""
    if isinstance(element, KafkaRecord):
        return origins.in_headers(element.headers)
    return origins.in_attributes(element.attributes)
