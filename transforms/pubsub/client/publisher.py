"""Publishing requests that are written here, see `wire`, by the one gRPC method that takes them.

The high-level `publish(topic, data, **attributes)` breaks on attributes named like its arguments,
and hides which message a refusal is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import google.api_core.exceptions as api
from google.api_core import retry as api_retry
from google.api_core.gapic_v1 import client_info, method, routing_header
from google.api_core.timeout import ConstantTimeout

from transforms.errors import DeliveryError, RefusedError, TopicError
from transforms.pubsub.client.common import TRANSIENT, explain, is_permission, open_channel, reason
from transforms.pubsub.client.wire import Wire, request
from transforms.pubsub.service import DEFAULT, Service

_ATTEMPT_TIMEOUT_S = 60.0
"""One attempt of a publish; a stuck connection is given up after it."""

_METHOD = "/google.pubsub.v1.Publisher/Publish"
"""Source: google/pubsub/v1/pubsub.proto"""

_CLIENT_INFO = client_info.ClientInfo()


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
        self._channel = open_channel(service)
        # Without serializers bytes go out and come in as they are.
        self._call: Any = method.wrap_method(
            self._channel.unary_unary(_METHOD), client_info=_CLIENT_INFO
        )
        self._delivery_timeout_s = delivery_timeout_s
        self._retry = self._retry_for(topic)
        self._attempt_timeout = ConstantTimeout(min(_ATTEMPT_TIMEOUT_S, delivery_timeout_s))

    def publish(self, messages: Sequence[Wire], topic: str = "") -> None:
        """Publishes messages in one request, and returns when all are confirmed.

        Args:
          topic: another one than the publisher's own.
        Raises:
          RefusedError: the service calls the request invalid; one of the messages is the culprit.
          TopicError: the topic does not exist, or this account may not publish to it.
          DeliveryError: not confirmed within `delivery_timeout_s`, or not allowed.
        """
        retry = self._retry_for(topic) if topic else self._retry
        topic = topic or self._topic
        try:
            self._call(
                request(topic, messages),
                retry=retry,
                timeout=self._attempt_timeout,
                metadata=[routing_header.to_grpc_metadata([("topic", topic)])],
            )
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
        self._channel.close()
