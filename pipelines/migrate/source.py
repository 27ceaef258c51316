"""Google's source connector: what becomes of each setting in the command of `ps_to_kafka`.

Source: https://github.com/googleapis/java-pubsub-group-kafka-connector, CloudPubSubSourceConnector
"""

from __future__ import annotations

from pipelines.migrate.connector import take_google, take_in_flight
from pipelines.migrate.settings import Draft, Kind
from pipelines.migrate.table import Row, Table, apply, boolean, lacks, number, set_number

REQUIRED = ("cps.project", "cps.subscription", "kafka.topic")

TABLE: Table = {
    "cps.maxBatchSize": lacks("the bridge asks for as many as may be in flight"),
    "cps.streamingPull.flowControlMessages": lacks(
        "what is in flight is bounded in bytes, by --max_in_flight_bytes"
    ),
    "cps.streamingPull.maxMsPerAckExtension": lacks("the bridge chooses it"),
    "kafka.timestamp.attribute": lacks(
        "a record's timestamp is the message's publish time; the attribute is a header"
    ),
}

_LEASE = Row(Kind.SAME, flag="max_lease_s", divisor=1000, at_least=10, at_most=86_400)
_ORDERING_KEY = "orderingKey"
_SCHEME = "kafka.partition.scheme"
_ALL = "the bridge uses all partitions of the topic, as many as there are"

_SCHEMES = {
    "round_robin": (
        "records without a key are spread; one with a key goes where its key's murmur2 hash says, "
        "and so records of one key keep their order"
    ),
    "hash_key": (
        "the partition follows from the key's murmur2 hash, as with Kafka's own producers, and not "
        "from Java's hashCode: a key may go to another partition than before, so readers that need "
        "the order of a key have to be through with the old records first; records without a key "
        "are spread, and do not all go to partition 0"
    ),
    "hash_value": (
        "the connector's hash of bytes is another one each time, which spreads records; the bridge "
        "spreads those without a key, and places others by their key"
    ),
    "ordering_key": (
        "the partition follows from the record's key, by its murmur2 hash, and not from the "
        "ordering key's hashCode"
    ),
}


def take(draft: Draft, emulator_host: str) -> None:
    """Takes the settings of a source.

    Raises:
      UsageError: a value makes no sense.
    """
    own = draft.own
    subscription = (
        f"projects/{own.peek('cps.project')}/subscriptions/{own.peek('cps.subscription')}"
    )
    draft.flag("subscription", subscription, own, "cps.subscription", "cps.project")
    draft.flag("kafka_topic", own.peek("kafka.topic"), own, "kafka.topic")
    _take_key(draft)
    _take_partition(draft)
    _take_attributes(draft)
    _take_pull(draft)
    take_google(draft, emulator_host)
    apply(draft, own, TABLE)


def _take_key(draft: Draft) -> None:
    own = draft.own
    attribute = own.peek("kafka.key.attribute")
    scheme = own.peek(_SCHEME)
    if attribute == _ORDERING_KEY:
        draft.flag("key", "ordering_key", own, "kafka.key.attribute")
        text = "a message without an ordering key has a null key; the connector's is an empty one"
        draft.note(Kind.DIFFERS, text, own, "kafka.key.attribute")
    elif attribute:
        draft.flag("key", f"attribute:{attribute}", own, "kafka.key.attribute")
        text = "the attribute is a header too, which the connector leaves out"
        draft.note(Kind.DIFFERS, text, own, "kafka.key.attribute")
    elif scheme == "ordering_key":
        draft.flag("key", "ordering_key", own, _SCHEME)
        text = (
            "the ordering key becomes the record's key, since keys choose partitions; the "
            "connector's keys are null (--key=none: null keys, and no order)"
        )
        draft.say(Kind.DIFFERS, text, "kafka.key.attribute (not set)")
    else:
        draft.flags["key"] = ["none"]
        text = (
            "the connector's keys are null without it; without --key=none the attribute `key` "
            "would be the key"
        )
        draft.say(Kind.SAME, text, "kafka.key.attribute (not set)")
    if "kafka.key.attribute" in own and not attribute:
        draft.note(Kind.SAME, "it is empty", own, "kafka.key.attribute")


def _take_partition(draft: Draft) -> None:
    own = draft.own
    scheme = own.peek(_SCHEME) or "round_robin"
    if scheme == "kafka_partitioner":
        draft.note(Kind.SAME, "keys are placed as Kafka's own producers do", own, _SCHEME)
    elif scheme not in _SCHEMES:
        raise own.error(
            _SCHEME, f"is none of {', '.join(_SCHEMES)} and kafka_partitioner; correct it"
        )
    elif _SCHEME in own:
        draft.note(Kind.DIFFERS, _SCHEMES[scheme], own, _SCHEME)
    else:
        draft.say(Kind.DIFFERS, _SCHEMES[scheme], f"{_SCHEME} (not set: round_robin)")
    if "kafka.partition.count" in own:
        draft.note(Kind.DIFFERS, _ALL, own, "kafka.partition.count")
    elif scheme != "kafka_partitioner":
        draft.say(Kind.DIFFERS, _ALL, "kafka.partition.count (not set: 1)")


def _take_attributes(draft: Draft) -> None:
    own = draft.own
    name = "kafka.record.headers"
    headers = boolean(own, name)
    draft.flags["attributes"] = ["metadata"]
    added = (
        "headers pubsub.messageId, pubsub.publishTime, pubsub.orderingKey and bridge.origins are "
        "added"
    )
    there = "attributes are headers, here too"
    if not headers:
        there = (
            "where a message has attributes, the connector's value is a structure of its data and "
            "them, if the converter takes one; the bridge's value is the data, and attributes are "
            "headers"
        )
    text = f"{there}; {added}"
    if name in own:
        draft.note(Kind.DIFFERS, text, own, name)
    else:
        draft.say(Kind.DIFFERS, text, f"{name} (not set: false)")
    if boolean(own, "cps.makeOrderingKeyAttribute"):
        text = "the header is `pubsub.orderingKey`, the connector's `orderingKey`"
        draft.note(Kind.DIFFERS, text, own, "cps.makeOrderingKeyAttribute")
    elif "cps.makeOrderingKeyAttribute" in own:
        text = "an ordering key is always the header `pubsub.orderingKey`"
        draft.note(Kind.DIFFERS, text, own, "cps.makeOrderingKeyAttribute")


def _take_pull(draft: Draft) -> None:
    own = draft.own
    prefix = "cps.streamingPull."
    if f"{prefix}enabled" in own:
        pull = "streaming" if boolean(own, f"{prefix}enabled") else "unary"
        draft.flag("pull", pull, own, f"{prefix}enabled")
    if not boolean(own, f"{prefix}enabled"):
        text = f"the connector looks at it only with {prefix}enabled=true"
        for name in [each for each in own.left() if each.startswith(prefix)]:
            draft.note(Kind.SAME, text, own, name)
        return
    take_in_flight(draft, f"{prefix}flowControlBytes")
    streams = f"{prefix}parallelStreams"
    if streams in own and number(own, streams) > 1:
        draft.note(Kind.LACKS, "a bridge has one stream; start more bridges for more", own, streams)
    elif streams in own:
        draft.note(Kind.SAME, "a bridge has one stream", own, streams)
    lease = f"{prefix}maxAckExtensionMs"
    if lease in own and number(own, lease):
        set_number(draft, own, lease, _LEASE)
    elif lease in own:
        draft.note(Kind.SAME, "the default is 3,600 s, as in the connector", own, lease)
