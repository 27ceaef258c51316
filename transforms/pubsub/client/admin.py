"""Looking at topics and subscriptions, and making or moving them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import google.api_core.exceptions as api
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transforms.errors import PreflightError
from transforms.pubsub.client.common import explain, transport


class SubscriptionInfo(NamedTuple):
    """A subscription as preflight sees it; `filter` is empty where all messages are delivered."""

    name: str
    topic: str
    ack_deadline_s: int
    detached: bool
    filter: str = ""


class PubsubAdmin:
    """Looks at topics and subscriptions; every call has the deadline `timeout_s` and no retries.

    Methods raise PreflightError with a line that names the resource and what to do.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._publisher = PublisherClient(transport=transport(PublisherGrpcTransport))
        self._subscriber = SubscriberClient(transport=transport(SubscriberGrpcTransport))

    def topic(self, name: str) -> None:
        """Checks that `projects/P/topics/T` exists."""
        self._call("check", name, self._publisher.get_topic, types.GetTopicRequest(topic=name))

    def keeps_messages(self, topic: str) -> bool:
        """Whether what is published to a topic is kept: for a subscription, or by the topic."""
        found = self._call(
            "check", topic, self._publisher.get_topic, types.GetTopicRequest(topic=topic)
        )
        if found.message_retention_duration:
            return True
        request = types.ListTopicSubscriptionsRequest(topic=topic, page_size=1)
        answer = self._call("check", topic, self._publisher.list_topic_subscriptions, request)
        return bool(answer.subscriptions)

    def subscription(self, name: str) -> SubscriptionInfo:
        """Describes `projects/P/subscriptions/S`."""
        found = self._call(
            "check",
            name,
            self._subscriber.get_subscription,
            types.GetSubscriptionRequest(subscription=name),
        )
        return SubscriptionInfo(
            name,
            found.topic,
            found.ack_deadline_seconds or 10,
            found.detached,
            found.filter,
        )

    def retention_s(self, topic: str) -> int:
        """For how long a topic itself keeps what is published; 0 where only subscriptions do."""
        request = types.GetTopicRequest(topic=topic)
        found = self._call("check", topic, self._publisher.get_topic, request)
        return int(found.message_retention_duration.total_seconds())

    def snapshot_topic(self, name: str) -> str:
        """The topic of `projects/P/snapshots/S`."""
        request = types.GetSnapshotRequest(snapshot=name)
        return str(self._call("check", name, self._subscriber.get_snapshot, request).topic)

    def create_topic(self, name: str) -> None:
        """Creates `projects/P/topics/T`."""
        self._call("create", name, self._publisher.create_topic, types.Topic(name=name))

    def create_subscription(
        self,
        name: str,
        topic: str,
        ack_deadline_s: int = 10,
        ordered: bool = False,
        filter: str = "",
        expires_after_s: int | None = None,
    ) -> None:
        """Creates `projects/P/subscriptions/S` on a topic.

        Args:
          filter: of the messages that it gets, in Pub/Sub's own language; empty for all.
          expires_after_s: it is deleted after so long without a reader; None for the default.
        """
        request = types.Subscription(
            name=name,
            topic=topic,
            ack_deadline_seconds=ack_deadline_s,
            enable_message_ordering=ordered,
            filter=filter,
        )
        if expires_after_s is not None:
            policy = types.ExpirationPolicy(ttl=timedelta(seconds=expires_after_s))
            request.expiration_policy = policy
        self._call("create", name, self._subscriber.create_subscription, request)

    def delete_subscription(self, name: str) -> None:
        """Deletes `projects/P/subscriptions/S`."""
        request = types.DeleteSubscriptionRequest(subscription=name)
        self._call("delete", name, self._subscriber.delete_subscription, request)

    def seek(
        self, subscription: str, timestamp_ms: int | None = None, snapshot: str | None = None
    ) -> None:
        """Moves a subscription, for all its readers, to a time or to a snapshot."""
        request = types.SeekRequest(subscription=subscription)
        if snapshot is not None:
            request.snapshot = snapshot
        elif timestamp_ms is not None:
            types.SeekRequest.pb(request).time.FromMilliseconds(timestamp_ms)
        target = f"{subscription} to {snapshot}" if snapshot is not None else subscription
        self._call("seek", target, self._subscriber.seek, request)

    def close(self) -> None:
        self._publisher.transport.close()
        self._subscriber.transport.close()

    def _call(self, operation: str, name: str, method: Any, request: Any) -> Any:
        try:
            return method(request=request, retry=None, timeout=self._timeout_s)
        except (api.GoogleAPICallError, api.RetryError) as error:
            raise PreflightError(explain(operation, name, error)) from error


def open_admin(timeout_s: float) -> PubsubAdmin:
    """Opens an admin client.

    Raises:
      PreflightError: there are no credentials.
    """
    return PubsubAdmin(timeout_s)
