"""Service limits, each with its unit and source. The only place where such a number stands.

Sources:
  [quotas]  https://cloud.google.com/pubsub/quotas#resource_limits
  [publish] https://cloud.google.com/pubsub/docs/publisher#using_attributes
  [names]   https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
  [kafka]   https://kafka.apache.org/documentation/#topicconfigs
  [topics]  https://kafka.apache.org/documentation/#basic_ops_add_topic
"""

from __future__ import annotations

PUBSUB_MAX_REQUEST_BYTES = 10_000_000
"""Size of one publish request, all of it [quotas: "Publish request: 10 MB (total size)"]."""

PUBSUB_MAX_REQUEST_MESSAGES = 1_000
"""Messages in one publish request [quotas]."""

PUBSUB_MAX_MESSAGE_BYTES = 10_000_000
"""Size of one message: its data, and its attributes [quotas: "Message size: 10 MB"]."""

PUBSUB_MAX_ATTRIBUTES = 100
"""Attributes of one message [quotas]."""

PUBSUB_MAX_ATTRIBUTE_NAME_BYTES = 256
"""UTF-8 bytes of an attribute's name [quotas]."""

PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES = 1_024
"""UTF-8 bytes of an attribute's value [quotas]."""

PUBSUB_MAX_ORDERING_KEY_BYTES = 1_024
"""UTF-8 bytes of an ordering key [quotas]."""

PUBSUB_RESERVED_ATTRIBUTE_PREFIX = "goog"
"""Attribute names that begin so are the service's own [publish]."""

PUBSUB_MAX_ACK_REQUEST_BYTES = 524_288
"""Size of one acknowledge or modifyAckDeadline request, 512 KiB [quotas]."""

PUBSUB_MAX_ACK_DEADLINE_S = 600
"""Longest ack deadline that one modifyAckDeadline call can set [quotas]."""

PUBSUB_MIN_NAME_CHARACTERS, PUBSUB_MAX_NAME_CHARACTERS = 3, 255
"""Of the last part of a resource's name, which is ASCII [names]."""

KAFKA_MAX_TOPIC_NAME_CHARACTERS = 249
"""Of a topic's name, which is ASCII [topics]."""

KAFKA_MAX_PARTITION = 2**31 - 1
"""Highest number of a partition, an int32 of the protocol [kafka]."""

KAFKA_DEFAULT_MAX_OFFSET_METADATA_BYTES = 4_096
"""A broker's `offset.metadata.max.bytes`, of the text beside a committed offset, where nothing else
is set [kafka]."""

KAFKA_DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
"""A topic's `max.message.bytes` where nothing else is set [kafka]."""

PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S = 1_000_000
"""Bytes that can be published with one ordering key in a second [quotas]."""
