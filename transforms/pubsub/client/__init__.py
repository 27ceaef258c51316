"""Google's Pub/Sub client, as the bridge needs it. Only this package imports Google's SDK."""

from transforms.pubsub.client.access import ATTACH, CONSUME, PUBLISH, SEEK_TO
from transforms.pubsub.client.admin import PubsubAdmin, SubscriptionInfo, open_admin
from transforms.pubsub.client.common import emulator, endpoint
from transforms.pubsub.client.publisher import Publisher
from transforms.pubsub.client.subscriber import Pulled, Subscriber
from transforms.pubsub.client.wire import Wire, request, size_bytes, to_wire

__all__ = [
    "ATTACH",
    "CONSUME",
    "PUBLISH",
    "SEEK_TO",
    "Publisher",
    "PubsubAdmin",
    "Pulled",
    "Subscriber",
    "SubscriptionInfo",
    "Wire",
    "emulator",
    "endpoint",
    "open_admin",
    "request",
    "size_bytes",
    "to_wire",
]
