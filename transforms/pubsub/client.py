"""Google's Pub/Sub client, as far as the bridge needs it. The only file that imports Google's SDK.

Requests go through the GAPIC layer with raw protobuf messages: the high-level `publish()`
breaks on attributes named like its arguments, and hides which message a refusal is about.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import google.api_core.exceptions as api
import google.auth.exceptions
import grpc
from google.api_core import retry as api_retry
from google.api_core.gapic_v1 import routing_header
from google.api_core.timeout import ConstantTimeout
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transforms.errors import (
    CommitError,
    DeliveryError,
    PreflightError,
    RefusedError,
    SourceError,
)
from transforms.records import PubsubRecord

_log = logging.getLogger(__name__)

_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
]

_ATTEMPT_TIMEOUT_S = 60.0
"""One attempt of a publish; a stuck connection is given up after it."""

_ACK_IDS_PER_REQUEST = 1_000
"""Ack ids are below 500 bytes, so that a request stays below `PUBSUB_MAX_ACK_REQUEST_BYTES`."""

_TRANSIENT = (
    api.ServiceUnavailable,
    api.DeadlineExceeded,
    api.Aborted,
    api.InternalServerError,
    api.ResourceExhausted,
    api.TooManyRequests,
    api.Unknown,
    api.Cancelled,
    api.BadGateway,
    api.GatewayTimeout,
    api.RetryError,
)

_ROLES = {
    "publish": "roles/pubsub.publisher",
    "pull": "roles/pubsub.subscriber",
    "seek": "roles/pubsub.editor",
    "create": "roles/pubsub.editor",
    "look at": "roles/pubsub.viewer",
}


def to_proto(record: PubsubRecord) -> Any:
    """The protobuf message that is published for a record."""
    return _Message(
        data=record.data, attributes=record.attributes, ordering_key=record.ordering_key
    )


_Message: Any = type(types.PubsubMessage.pb(types.PubsubMessage()))
_PublishRequest: Any = type(types.PublishRequest.pb(types.PublishRequest()))


class Publisher:
    """Publishes batches to one topic; safe to use from several threads.

    Args:
      topic: `projects/P/topics/T`.
      delivery_timeout_s: transient errors are tried again for so long.
      on_retry: called with each transient error, before it is tried again.
    """

    def __init__(
        self,
        topic: str,
        delivery_timeout_s: float,
        on_retry: Callable[[Exception], None] | None = None,
    ) -> None:
        self._topic = topic
        self._client: Any = PublisherClient(transport=_transport(PublisherGrpcTransport))
        self._retry = api_retry.Retry(
            predicate=api_retry.if_exception_type(*_TRANSIENT),
            initial=0.1,
            multiplier=2.0,
            maximum=10.0,
            timeout=delivery_timeout_s,
            on_error=on_retry,
        )
        self._attempt_timeout = ConstantTimeout(min(_ATTEMPT_TIMEOUT_S, delivery_timeout_s))

    def publish(self, messages: Sequence[Any]) -> None:
        """Publishes protobuf messages in one request, and returns when all are confirmed.

        Raises:
          RefusedError: the service calls the request invalid; one of the messages is the culprit.
          DeliveryError: not confirmed within `delivery_timeout_s`, or not allowed.
        """
        request = types.PublishRequest.wrap(_PublishRequest(topic=self._topic, messages=messages))
        try:
            self._client.publish(request=request, retry=self._retry, timeout=self._attempt_timeout)
        except (api.InvalidArgument, api.OutOfRange) as error:
            raise RefusedError(f"publish {self._topic}: {_reason(error)}") from error
        except (api.GoogleAPICallError, api.RetryError) as error:
            raise DeliveryError(_explain("publish", self._topic, error)) from error

    def close(self) -> None:
        self._client.transport.close()


class Received(NamedTuple):
    """A pulled message with what acknowledges it."""

    ack_id: str
    record: PubsubRecord
    delivery_attempt: int


class Subscriber:
    """Pulls from and acknowledges to one subscription; safe to use from several threads.

    Args:
      subscription: `projects/P/subscriptions/S`.
    """

    def __init__(self, subscription: str) -> None:
        self._subscription = subscription
        self._client: Any = SubscriberClient(transport=_transport(SubscriberGrpcTransport))
        self._metadata = [
            routing_header.to_grpc_metadata((("subscription", subscription),)),
        ]
        self._lock = threading.Lock()
        self._pulling: Any = None
        self._cancelled = threading.Event()

    def pull(self, max_messages: int, timeout_s: float) -> list[Received]:
        """Waits for up to `timeout_s` for at least one message; returns at most `max_messages`.

        Raises:
          SourceError: the service refuses; a transient error is an empty answer with a warning.
        """
        request = types.PullRequest(subscription=self._subscription, max_messages=max_messages)
        with self._lock:
            if self._cancelled.is_set():
                return []
            self._pulling = self._client.transport.pull.future(
                request, timeout=timeout_s, metadata=self._metadata
            )
        try:
            response = self._pulling.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            self._raise_unless_transient(error, timeout_s)
            return []
        return _received(response)

    def stream(
        self, max_messages: int, max_bytes: int, ack_deadline_s: int
    ) -> Iterator[list[Received]]:
        """StreamingPull: yields what arrives until the stream ends, or `cancel` has ended it.

        The service sends no more while `max_messages` or `max_bytes` are unacknowledged.

        Raises:
          SourceError: the service refuses; a transient error ends the stream with a warning.
        """

        def requests() -> Iterator[types.StreamingPullRequest]:
            yield types.StreamingPullRequest(
                subscription=self._subscription,
                stream_ack_deadline_seconds=ack_deadline_s,
                max_outstanding_messages=max_messages,
                max_outstanding_bytes=max_bytes,
            )
            self._cancelled.wait()

        with self._lock:
            if self._cancelled.is_set():
                return
            stream = self._client.transport.streaming_pull(requests(), metadata=self._metadata)
        try:
            for response in stream:
                yield _received(response)
        except grpc.RpcError as error:
            self._raise_unless_transient(error, 0)
        finally:
            stream.cancel()

    def cancel(self) -> None:
        """Ends a pull that is under way, and all later ones at once. A stream is half-closed: it
        yields what the service has sent already, which would be leased in vain otherwise, and ends.
        """
        with self._lock:
            self._cancelled.set()
            if self._pulling is not None:
                self._pulling.cancel()

    def acknowledge(self, ack_ids: Sequence[str], timeout_s: float) -> None:
        """Acknowledges; a stale id is accepted by the service without a word.

        Raises:
          CommitError: some were not acknowledged, and will be delivered again.
        """
        self._each_chunk("acknowledge", ack_ids, timeout_s, {})

    def modify_ack_deadline(
        self, ack_ids: Sequence[str], ack_deadline_s: int, timeout_s: float
    ) -> None:
        """Extends the leases of messages to `ack_deadline_s` from now; 0 gives them back (nack).

        Raises:
          CommitError: some leases were not changed.
        """
        self._each_chunk(
            "modify_ack_deadline", ack_ids, timeout_s, {"ack_deadline_seconds": ack_deadline_s}
        )

    def close(self) -> None:
        self.cancel()
        self._client.transport.close()

    def _each_chunk(
        self, method: str, ack_ids: Sequence[str], timeout_s: float, fields: dict[str, int]
    ) -> None:
        retry = api_retry.Retry(
            predicate=api_retry.if_exception_type(*_TRANSIENT), initial=0.1, timeout=timeout_s
        )
        for start in range(0, len(ack_ids), _ACK_IDS_PER_REQUEST):
            request = {
                "subscription": self._subscription,
                "ack_ids": ack_ids[start : start + _ACK_IDS_PER_REQUEST],
                **fields,
            }
            try:
                getattr(self._client, method)(
                    request=request, retry=retry, timeout=ConstantTimeout(timeout_s)
                )
            except (api.GoogleAPICallError, api.RetryError) as error:
                raise CommitError(_explain(method, self._subscription, error)) from error

    def _raise_unless_transient(self, error: Exception, timeout_s: float) -> None:
        if self._cancelled.is_set():
            return
        translated = api.from_grpc_error(error) if isinstance(error, grpc.RpcError) else error
        if isinstance(translated, api.DeadlineExceeded) and timeout_s:
            return
        if not isinstance(translated, _TRANSIENT):
            raise SourceError(_explain("pull", self._subscription, translated)) from error
        _log.warning("%s; trying again", _explain("pull", self._subscription, translated))
        time.sleep(1.0)


class SubscriptionInfo(NamedTuple):
    """A subscription as preflight sees it."""

    name: str
    topic: str
    ack_deadline_s: int
    ordered: bool
    detached: bool


class PubsubAdmin:
    """Looks at topics and subscriptions; every call has the deadline `timeout_s` and no retries.

    Methods raise PreflightError with a line that names the resource and what to do.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._publisher = PublisherClient(transport=_transport(PublisherGrpcTransport))
        self._subscriber = SubscriberClient(transport=_transport(SubscriberGrpcTransport))

    def topic(self, name: str) -> None:
        """Checks that `projects/P/topics/T` exists."""
        self._call("look at", name, self._publisher.get_topic, types.GetTopicRequest(topic=name))

    def subscription(self, name: str) -> SubscriptionInfo:
        """Describes `projects/P/subscriptions/S`."""
        found = self._call(
            "look at",
            name,
            self._subscriber.get_subscription,
            types.GetSubscriptionRequest(subscription=name),
        )
        return SubscriptionInfo(
            name,
            found.topic,
            found.ack_deadline_seconds or 10,
            found.enable_message_ordering,
            found.detached,
        )

    def create_topic(self, name: str) -> None:
        """Creates `projects/P/topics/T`."""
        self._call("create", name, self._publisher.create_topic, types.Topic(name=name))

    def create_subscription(
        self, name: str, topic: str, ack_deadline_s: int = 10, ordered: bool = False
    ) -> None:
        """Creates `projects/P/subscriptions/S` on a topic."""
        request = types.Subscription(
            name=name,
            topic=topic,
            ack_deadline_seconds=ack_deadline_s,
            enable_message_ordering=ordered,
        )
        self._call("create", name, self._subscriber.create_subscription, request)

    def seek(
        self, subscription: str, timestamp_ms: int | None = None, snapshot: str | None = None
    ) -> None:
        """Moves a subscription, for all its readers, to a time or to a snapshot."""
        request = types.SeekRequest(subscription=subscription)
        if snapshot is not None:
            request.snapshot = snapshot
        elif timestamp_ms is not None:
            types.SeekRequest.pb(request).time.FromMilliseconds(timestamp_ms)
        self._call("seek", subscription, self._subscriber.seek, request)

    def close(self) -> None:
        self._publisher.transport.close()
        self._subscriber.transport.close()

    def _call(self, operation: str, name: str, method: Any, request: Any) -> Any:
        try:
            return method(request=request, retry=None, timeout=self._timeout_s)
        except (api.GoogleAPICallError, api.RetryError) as error:
            raise PreflightError(_explain(operation, name, error)) from error


def open_admin(timeout_s: float) -> PubsubAdmin:
    """Opens an admin client.

    Raises:
      PreflightError: there are no credentials.
    """
    return PubsubAdmin(timeout_s)


def endpoint() -> str:
    """`HOST:PORT` of the emulator if one is set, else the service's public name."""
    return os.environ.get("PUBSUB_EMULATOR_HOST") or "pubsub.googleapis.com"


def _transport(transport: Any) -> Any:
    """A GAPIC transport; to the emulator over a channel that admits messages over 4 MB, which the
    library's own emulator channel does not."""
    emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
    if emulator:
        return transport(channel=grpc.insecure_channel(emulator, options=_CHANNEL_OPTIONS))
    try:
        return transport()
    except google.auth.exceptions.GoogleAuthError as error:
        raise PreflightError(
            f"log in to Pub/Sub: {_one_line(error)}; run `gcloud auth application-default login` "
            "or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from error


def _received(response: Any) -> list[Received]:
    received = []
    for item in type(response).pb(response).received_messages:
        message = item.message
        published = message.publish_time
        received.append(
            Received(
                item.ack_id,
                PubsubRecord(
                    message.data,
                    dict(message.attributes),
                    message.ordering_key,
                    message.message_id,
                    published.seconds * 1000 + published.nanos // 1_000_000,
                ),
                item.delivery_attempt,
            )
        )
    return received


def _explain(operation: str, name: str, error: Exception) -> str:
    if isinstance(error, api.NotFound):
        return f"{operation} {name}: it does not exist; create it or correct the name"
    if isinstance(error, api.PermissionDenied):
        role = _ROLES.get(operation, "roles/pubsub.subscriber")
        return f"{operation} {name}: permission denied; grant {role} to this account"
    if isinstance(error, api.Unauthenticated):
        return f"{operation} {name}: the credentials are not accepted; log in again"
    if isinstance(error, (api.ServiceUnavailable, api.DeadlineExceeded, api.RetryError)):
        return (
            f"{operation} {name}: no answer from {endpoint()} in time ({_reason(error)}); "
            "check the network and PUBSUB_EMULATOR_HOST"
        )
    return f"{operation} {name}: {_reason(error)}"


def _reason(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return _one_line(getattr(cause, "message", None) or cause)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]


__all__ = [
    "Publisher",
    "PubsubAdmin",
    "Received",
    "Subscriber",
    "SubscriptionInfo",
    "endpoint",
    "open_admin",
    "to_proto",
]
