"""Pulling; acknowledging and extending leases through the GAPIC layer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import google.api_core.exceptions as api
import grpc
from google.api_core import retry as api_retry
from google.api_core.gapic_v1 import routing_header
from google.api_core.timeout import ConstantTimeout
from google.pubsub_v1 import types
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transforms import limits
from transforms.errors import AckError, SourceError, UnavailableError
from transforms.pubsub.client.common import TRANSIENT, explain, open_channel
from transforms.pubsub.service import DEFAULT, Service
from transforms.records import PubsubRecord

_PULL = "/google.pubsub.v1.Subscriber/Pull"
_GET = "/google.pubsub.v1.Subscriber/GetSubscription"
"""Source: google/pubsub/v1/pubsub.proto"""

_FIELD_BYTES = 8
"""Of a request, what an ack id takes beside itself: its tag and its length. The ids are ASCII."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """The messages of one pull, in columns of one length.

    Attributes:
      records: the messages.
      ack_ids: what acknowledges each.
      attempts: which delivery it is, from 1; 0 where the subscription has no dead-letter policy.
    """

    records: list[PubsubRecord] = field(default_factory=list)
    ack_ids: list[str] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)

    def where(self, keep: Callable[[PubsubRecord], bool]) -> Pulled:
        """Those of them that are to be kept."""
        rows = zip(self.records, self.ack_ids, self.attempts, strict=True)
        kept = [row for row in rows if keep(row[0])]
        return Pulled(*map(list, zip(*kept, strict=True))) if kept else Pulled()


class Subscriber:
    """Pulls from and acknowledges to one subscription; safe to use from several threads.

    Args:
      subscription: `projects/P/subscriptions/S`.
    Raises:
      PreflightError: there are no credentials.
    """

    def __init__(self, subscription: str, service: Service = DEFAULT) -> None:
        self._subscription = subscription
        self._service = service
        self._client: Any = SubscriberClient(
            transport=SubscriberGrpcTransport(channel=open_channel(service))
        )
        self._metadata = [
            routing_header.to_grpc_metadata((("subscription", subscription),)),
        ]
        # A connection of its own, whose end is what cancels a blocking call. A future's answer goes
        # through another thread of gRPC's, and takes twice the CPU.
        self._pull_channel = open_channel(service)
        self._pull = self._pull_channel.unary_unary(
            _PULL, types.PullRequest.serialize, types.PullResponse.pb().FromString
        )
        self._streams = False
        self._cancelled = threading.Event()
        self._stream_over = threading.Event()

    def pull(self, max_messages: int, timeout_s: float) -> Pulled:
        """Waits for up to `timeout_s` for at least one message; returns at most `max_messages`.

        Silence is an empty answer, which a service that is gone gives, too: see `ask`.

        Raises:
          UnavailableError: the service cannot answer now.
          SourceError: the service refuses.
        """
        request = types.PullRequest(subscription=self._subscription, max_messages=max_messages)
        try:
            response = self._pull(request, timeout=timeout_s, metadata=self._metadata)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel is closed
            self._raise_unless_over(error, timeout_s)
            return Pulled()
        return _pulled(response)

    def ask(self, timeout_s: float) -> None:
        """Asks for something that is answered at once, over the connection that messages come by;
        whatever the answer, the service is there.

        Raises:
          UnavailableError: there is none in time.
          SourceError: the subscription does not exist any more.
        """
        channel = self._client.transport.grpc_channel if self._streams else self._pull_channel
        get = channel.unary_unary(_GET, types.GetSubscriptionRequest.serialize)
        request = types.GetSubscriptionRequest(subscription=self._subscription)
        try:
            get(request, timeout=timeout_s, metadata=self._metadata)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel is closed
            translated = _of_google(error)
            if not (self._cancelled.is_set() or isinstance(translated, api.PermissionDenied)):
                raise self._translated(translated) from error

    def stream(self, max_messages: int, max_bytes: int, ack_deadline_s: int) -> Iterator[Pulled]:
        """StreamingPull: yields what arrives until the stream ends, or `cancel` has ended it.

        The service sends no more while `max_messages` or `max_bytes` are unacknowledged.

        Raises:
          UnavailableError: the stream broke.
          SourceError: the service refuses.
        """

        def requests() -> Iterator[types.StreamingPullRequest]:
            yield types.StreamingPullRequest(
                subscription=self._subscription,
                stream_ack_deadline_seconds=ack_deadline_s,
                max_outstanding_messages=max_messages,
                max_outstanding_bytes=max_bytes,
            )
            over.wait()

        over = self._stream_over = threading.Event()
        self._streams = True
        if self._cancelled.is_set():
            return
        stream = self._client.transport.streaming_pull(requests(), metadata=self._metadata)
        try:
            for response in stream:
                yield _pulled(types.StreamingPullResponse.pb(response))
        except grpc.RpcError as error:
            self._raise_unless_over(error, 0)
        finally:
            over.set()  # gRPC's thread waits in `requests`, and does not end with the stream
            stream.cancel()

    def cancel(self) -> None:
        """Ends a pull that is under way, and all later ones at once. A stream is half-closed: it
        yields what the service has sent already, which would be leased in vain otherwise, and ends.
        """
        self._cancelled.set()
        self._stream_over.set()
        self._pull_channel.close()

    def acknowledge(self, ack_ids: Sequence[str], timeout_s: float) -> None:
        """Acknowledges; a stale id is accepted by the service without a word.

        Raises:
          AckError: some were not acknowledged, and will be delivered again.
        """
        self._each_chunk("acknowledge", types.AcknowledgeRequest, ack_ids, timeout_s)

    def modify_ack_deadline(
        self, ack_ids: Sequence[str], ack_deadline_s: int, timeout_s: float
    ) -> None:
        """Extends the leases of messages to `ack_deadline_s` from now; 0 gives them back (nack).

        Raises:
          AckError: some leases were not changed.
        """
        self._each_chunk(
            "modify_ack_deadline",
            types.ModifyAckDeadlineRequest,
            ack_ids,
            timeout_s,
            ack_deadline_seconds=ack_deadline_s,
        )

    def close(self) -> None:
        self.cancel()
        self._client.transport.close()

    def _each_chunk(
        self, method: str, kind: Any, ack_ids: Sequence[str], timeout_s: float, **fields: int
    ) -> None:
        of_protobuf = type(kind.pb(kind()))  # the wrapper looks at each id in Python
        retry = api_retry.Retry(
            predicate=api_retry.if_exception_type(*TRANSIENT), initial=0.1, timeout=timeout_s
        )
        longest = _FIELD_BYTES + max(map(len, ack_ids), default=0)
        room = limits.PUBSUB_MAX_ACK_REQUEST_BYTES - len(self._subscription) - 100
        count = max(1, room // longest)
        for start in range(0, len(ack_ids), count):
            request = of_protobuf(
                subscription=self._subscription,
                ack_ids=ack_ids[start : start + count],
                **fields,
            )
            try:
                getattr(self._client, method)(
                    request=kind.wrap(request), retry=retry, timeout=ConstantTimeout(timeout_s)
                )
            except (api.GoogleAPICallError, api.RetryError) as error:
                why = explain(method, self._subscription, error, self._service)
                raise AckError(why, ack_ids[start:]) from error

    def _raise_unless_over(self, error: Exception, timeout_s: float) -> None:
        """Raises what a pull ended with, unless it was cancelled here or had nothing to return."""
        if self._cancelled.is_set():
            return
        translated = _of_google(error)
        if not (isinstance(translated, api.DeadlineExceeded) and timeout_s):
            raise self._translated(translated) from error

    def _translated(self, error: Exception) -> SourceError:
        kind = UnavailableError if isinstance(error, TRANSIENT) else SourceError
        return kind(explain("pull", self._subscription, error, self._service))


def _of_google(error: Exception) -> Exception:
    """A call's error as Google's clients have it."""
    return api.from_grpc_error(error) if isinstance(error, grpc.RpcError) else error


def _pulled(response: Any) -> Pulled:
    pulled = Pulled()
    records, ack_ids, attempts = pulled.records, pulled.ack_ids, pulled.attempts
    new = tuple.__new__
    for item in response.received_messages:
        message = item.message
        published, attributes = message.publish_time, message.attributes
        fields = (
            message.data,
            {name: attributes[name] for name in attributes} if attributes else {},  # `dict`: 1.7x
            message.ordering_key,
            message.message_id,
            published.seconds * 1000 + published.nanos // 1_000_000,
            None,
        )
        records.append(new(PubsubRecord, fields))
        ack_ids.append(item.ack_id)
        attempts.append(item.delivery_attempt)
    return pulled
