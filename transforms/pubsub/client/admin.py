"""Looking at topics and subscriptions, and making or moving them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import google.api_core.exceptions as api
from google.iam.v1 import iam_policy_pb2
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transforms.deadlines import within
from transforms.errors import PreflightError
from transforms.pubsub.client import access
from transforms.pubsub.client.common import emulator, explain, is_permission, open_channel
from transforms.pubsub.service import DEFAULT, Service


class SubscriptionInfo(NamedTuple):
    """A subscription as preflight sees it.

    Attributes:
      filter: empty where all messages are delivered.
      ordered: messages of one ordering key are delivered in the order of their publication.
      backoff_s: so long, at most, a message is kept back that was delivered and not acknowledged.
    """

    name: str
    topic: str
    ack_deadline_s: int
    detached: bool
    filter: str = ""
    labels: Mapping[str, str] = {}
    ordered: bool = False
    backoff_s: int = 0


class PubsubAdmin:
    """Looks at topics and subscriptions; every call has the deadline `timeout_s` and no retries.

    Methods raise PreflightError with a line that names the resource and what to do. Those that look
    take the permissions that are going to be needed on the resource, and raise if one is missing.
    """

    def __init__(self, timeout_s: float, service: Service, channel: Any) -> None:
        self._timeout_s = timeout_s
        self._service = service
        self._channel = channel
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self._subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))

    def topic(self, name: str, *needs: str) -> None:
        """Checks that `projects/P/topics/T` exists."""
        self._topic(name, needs)

    def has_topic(self, name: str, *needs: str) -> bool:
        """Whether there is a topic; raises as `topic` for all else."""
        try:
            self.topic(name, *needs)
        except PreflightError as error:
            if isinstance(error.__cause__, api.NotFound):
                return False
            raise
        return True

    def project(self, name: str) -> None:
        """Asks whether `projects/P` is there; this account need not be allowed to list topics."""

        def ask(**arguments: Any) -> None:
            try:
                self._publisher.list_topics(**arguments)
            except api.PermissionDenied as error:
                if not is_permission(error):
                    raise

        self._call("check", name, ask, types.ListTopicsRequest(project=name, page_size=1))

    def keeps_messages(self, topic: str, *needs: str) -> bool:
        """Whether what is published to a topic is kept: for a subscription, or by the topic."""
        if self._topic(topic, needs).message_retention_duration:
            return True
        request = types.ListTopicSubscriptionsRequest(topic=topic, page_size=1)
        answer = self._call("check", topic, self._publisher.list_topic_subscriptions, request)
        return bool(answer.subscriptions)

    def subscription(self, name: str, *needs: str) -> SubscriptionInfo:
        """Describes `projects/P/subscriptions/S`."""
        request = types.GetSubscriptionRequest(subscription=name)
        found = self._look(name, self._subscriber.get_subscription, request, needs)
        return SubscriptionInfo(
            name,
            found.topic,
            found.ack_deadline_seconds or 10,
            found.detached,
            found.filter,
            dict(found.labels),
            found.enable_message_ordering,
            types.Subscription.pb(found).retry_policy.maximum_backoff.seconds,
        )

    def find_subscription(self, name: str) -> SubscriptionInfo | None:
        """The same, or None if there is none that this account may see."""
        try:
            return self.subscription(name)
        except PreflightError as error:
            cause = error.__cause__
            if isinstance(cause, Exception) and (
                isinstance(cause, api.NotFound) or is_permission(cause)
            ):
                return None
            raise

    def retention_s(self, topic: str, *needs: str) -> int:
        """For how long a topic itself keeps what is published; 0 where only subscriptions do."""
        return int(self._topic(topic, needs).message_retention_duration.total_seconds())

    def snapshot_topic(self, name: str, *needs: str) -> str:
        """The topic of `projects/P/snapshots/S`."""
        request = types.GetSnapshotRequest(snapshot=name)
        return str(self._look(name, self._subscriber.get_snapshot, request, needs).topic)

    def _topic(self, name: str, needs: Sequence[str]) -> Any:
        return self._look(name, self._publisher.get_topic, types.GetTopicRequest(topic=name), needs)

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
        keeps_acked: bool = False,
        labels: Mapping[str, str] = {},
    ) -> None:
        """Creates `projects/P/subscriptions/S` on a topic.

        Args:
          filter: of the messages that it gets, in Pub/Sub's own language; empty for all.
          expires_after_s: it is deleted after so long without a reader; None for the default.
          keeps_acked: a seek brings back what was acknowledged.
          labels: lower-case letters, digits, `-` and `_`, up to 63 of them each.
        """
        request = types.Subscription(
            name=name,
            topic=topic,
            ack_deadline_seconds=ack_deadline_s,
            enable_message_ordering=ordered,
            filter=filter,
            retain_acked_messages=keeps_acked,
            labels=labels,
        )
        if expires_after_s is not None:
            policy = types.ExpirationPolicy(ttl=timedelta(seconds=expires_after_s))
            request.expiration_policy = policy
        needs = {topic: [access.ATTACH], _project(name): [access.of("create", name)]}
        self._call("create", name, self._subscriber.create_subscription, request, needs)

    def ensure_subscription(
        self, name: str, topic: str, ack_deadline_s: int, expires_after_s: int
    ) -> None:
        """Creates a subscription unless there is one of that name and topic already."""
        try:
            self.create_subscription(name, topic, ack_deadline_s, expires_after_s=expires_after_s)
        except PreflightError as error:
            if not isinstance(error.__cause__, api.AlreadyExists):
                raise
            if self.subscription(name).topic != topic:
                raise

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
        needs = {subscription: [access.CONSUME]}
        if snapshot is not None:
            needs[snapshot] = [access.SEEK_TO]
        self._call("seek", target, self._subscriber.seek, request, needs)

    def close(self) -> None:
        self._channel.close()

    def _look(self, name: str, method: Any, request: Any, needs: Sequence[str]) -> Any:
        found = self._call("check", name, method, request, {name: [access.get(name), *needs]})
        if needs and (missing := self._missing({name: needs})):
            raise PreflightError(access.lacking("check", name, missing))
        return found

    def _call(
        self,
        operation: str,
        name: str,
        method: Any,
        request: Any,
        needs: access.Needs | None = None,
    ) -> Any:
        """Calls a method of the service.

        Args:
          needs: which permissions may be missing if it is refused; one by default.
        """
        try:
            return method(request=request, retry=None, timeout=self._timeout_s)
        except (api.GoogleAPICallError, api.RetryError) as error:
            if needs and is_permission(error):
                missing = self._missing(needs) or _not_asked_for(needs)
                raise PreflightError(access.lacking(operation, name, missing)) from error
            raise PreflightError(explain(operation, name, error, self._service)) from error

    def _missing(self, needs: access.Needs) -> list[str]:
        """Those that the account lacks, as far as the service knows: an emulator has no accounts,
        and permissions on a project are not Pub/Sub's."""
        missing: list[str] = []
        for resource, permissions in needs.items():
            if emulator() or _is_project(resource):
                continue
            request = iam_policy_pb2.TestIamPermissionsRequest(
                resource=resource, permissions=permissions
            )
            try:
                granted = self._publisher.test_iam_permissions(
                    request=request, retry=None, timeout=self._timeout_s
                ).permissions
            except api.MethodNotImplemented:  # a stand-in, behind an endpoint
                continue
            except (api.GoogleAPICallError, api.RetryError) as error:
                line = explain("check permissions on", resource, error, self._service)
                raise PreflightError(line) from error
            missing += [permission for permission in permissions if permission not in granted]
        return missing


def _not_asked_for(needs: access.Needs) -> list[str]:
    """What is missing if all that was asked for is there: what is needed on a project, or who
    knows."""
    on_project = [p for resource in needs if _is_project(resource) for p in needs[resource]]
    return on_project or [p for permissions in needs.values() for p in permissions]


def _project(name: str) -> str:
    return "/".join(name.split("/")[:2])


def _is_project(name: str) -> bool:
    return name == _project(name)


def open_admin(timeout_s: float, service: Service = DEFAULT) -> PubsubAdmin:
    """Logs in, and opens an admin client.

    Raises:
      PreflightError: there are no credentials, or no token within `timeout_s`.
    """
    try:
        channel = within(timeout_s, partial(open_channel, service, log_in=True))
    except TimeoutError as error:
        raise PreflightError(
            f"log in to Pub/Sub: no access token within {timeout_s:g} s; check the network, and "
            "GOOGLE_APPLICATION_CREDENTIALS if it is set"
        ) from error
    return PubsubAdmin(timeout_s, service, channel)
