"""Publishing through the GAPIC layer, with raw protobuf messages.

The high-level `publish(topic, data, **attributes)` breaks on attributes named like its arguments,
and hides which message a refusal is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import google.api_core.exceptions as api
from google.api_core import retry as api_retry
from google.api_core.timeout import ConstantTimeout
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from transforms.errors import DeliveryError, RefusedError, TopicError
from transforms.pubsub.client.common import TRANSIENT, explain, is_permission, open_channel, reason
from transforms.pubsub.service import DEFAULT, Service
from transforms.records import PubsubRecord

_ATTEMPT_TIMEOUT_S = 60.0
"""One attempt of a publish; a stuck connection is given up after it."""


def to_proto(record: PubsubRecord) -> Any:
    """The protobuf message that is published for a record."""
    return _Message(
        data=record.data, attributes=record.attributes, ordering_key=record.ordering_key
    )


_Message: Any = type(types.PubsubMessage.pb(types.PubsubMessage()))
_PublishRequest: Any = type(types.PublishRequest.pb(types.PublishRequest()))


class Publisher:
    """Publishes batches, over one connection; safe to use from several threads.

    Args:
      topic: `projects/P/topics/T`, where messages go unless `publish` is told otherwise.
      delivery_timeout_s: transient errors are tried again for so long.
      on_retry: told of each attempt that failed, before it is repeated.
    Raises:
      PreflightError: there are no credentials.
    """

    def __init__(
        self,
        topic: str,
        delivery_timeout_s: float,
        on_retry: Callable[[DeliveryError], None] | None = None,
        service: Service = DEFAULT,
    ) -> None:
        self._topic = topic
        self._service = service
        self._on_retry = on_retry
        self._client: Any = PublisherClient(
            transport=PublisherGrpcTransport(channel=open_channel(service))
        )
        self._delivery_timeout_s = delivery_timeout_s
        self._retry = self._retry_for(topic)
        self._attempt_timeout = ConstantTimeout(min(_ATTEMPT_TIMEOUT_S, delivery_timeout_s))

    def publish(self, messages: Sequence[Any], topic: str = "") -> None:
        """Publishes protobuf messages in one request, and returns when all are confirmed.

        Args:
          topic: another one than the publisher's own.
        Raises:
          RefusedError: the service calls the request invalid; one of the messages is the culprit.
          TopicError: the topic does not exist, or this account may not publish to it.
          DeliveryError: not confirmed within `delivery_timeout_s`, or not allowed.
        """
        retry = self._retry_for(topic) if topic else self._retry
        topic = topic or self._topic
        request = types.PublishRequest.wrap(_PublishRequest(topic=topic, messages=messages))
        try:
            self._client.publish(request=request, retry=retry, timeout=self._attempt_timeout)
        except (api.InvalidArgument, api.OutOfRange) as error:
            raise RefusedError(f"publish {topic}: {reason(error)}") from error
        except (api.GoogleAPICallError, api.RetryError) as error:
            of_topic = isinstance(error, api.NotFound) or is_permission(error)
            failure = TopicError if of_topic else DeliveryError
            raise failure(explain("publish", topic, error, self._service)) from error

    def _retry_for(self, topic: str) -> api_retry.Retry:
        return api_retry.Retry(
            predicate=api_retry.if_exception_type(*TRANSIENT),
            initial=0.1,
            multiplier=2.0,
            maximum=10.0,
            timeout=self._delivery_timeout_s,
            on_error=partial(self._on_error, topic),
        )

    def _on_error(self, topic: str, error: Exception) -> None:
        if self._on_retry is not None:
            self._on_retry(DeliveryError(explain("publish", topic, error, self._service)))

    def close(self) -> None:
        self._client.transport.close()
