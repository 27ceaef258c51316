"""Channels to the service, and what its errors mean, in one line each."""

from __future__ import annotations

import logging
import os
from typing import Any

import google.api_core.exceptions as api
import google.auth.exceptions
import grpc

from transforms.errors import PreflightError, one_line
from transforms.pubsub.client import access
from transforms.pubsub.client.credentials import NO_TOKEN, Tokens, why
from transforms.pubsub.service import Service

# The first Google client and the first token cut the logger `google` off from all handlers, unless
# it has a level: its warnings, of failing credentials for one, would go nowhere.
logging.getLogger("google").setLevel(logging.WARNING)

_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
]
"""As Google's clients have them, but for the last two: by default a service that comes back is not
noticed for up to two minutes, and channels to the emulator share a connection."""

TRANSIENT = (
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
"""Errors that trying again can cure."""


def emulator() -> str:
    """`HOST:PORT` of the emulator if one is set."""
    return os.environ.get("PUBSUB_EMULATOR_HOST", "")


def endpoint(service: Service) -> str:
    """`HOST:PORT` of the emulator if one is set, else what `service` says."""
    return emulator() or service.endpoint or "pubsub.googleapis.com:443"


def open_channel(service: Service, log_in: bool = False) -> Any:
    """A channel with our options, to the emulator if one is set; connects at the first call.

    Args:
      log_in: gets a first token at once.
    Raises:
      PreflightError: there are no credentials, or no token.
    """
    if emulator():
        return grpc.insecure_channel(endpoint(service), options=_CHANNEL_OPTIONS)
    try:
        tokens = Tokens(service.impersonate)
        if log_in:
            tokens.log_in()
    except google.auth.exceptions.GoogleAuthError as error:
        raise PreflightError(f"log in to Pub/Sub: {why(error, service.impersonate)}") from error
    except (OSError, AttributeError, TypeError, ValueError) as error:
        raise PreflightError(
            "log in to Pub/Sub: what GOOGLE_APPLICATION_CREDENTIALS names is no key file; name a "
            "service account's JSON file"
        ) from error
    secure = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(), grpc.metadata_call_credentials(tokens)
    )
    return grpc.secure_channel(endpoint(service), secure, options=_CHANNEL_OPTIONS)


def explain(operation: str, name: str, error: Exception, service: Service) -> str:
    """What an error means, in one line."""
    if isinstance(error, api.NotFound):
        return f"{operation} {name}: it does not exist; create it or correct the name"
    if is_permission(error):
        return access.lacking(operation, name, [access.of(operation, name)])
    if isinstance(error, api.Unauthenticated):
        return (
            f"{operation} {name}: the credentials are not accepted; log in again, or replace the "
            "key that GOOGLE_APPLICATION_CREDENTIALS names"
        )
    _, no_token, cause = _said(error).partition(NO_TOKEN)
    if no_token:
        return f"{operation} {name}: no access token: {cause}"
    if isinstance(error, (api.ServiceUnavailable, api.DeadlineExceeded, api.RetryError)):
        chosen_by = f" and {_chosen_by(service)}" if _chosen_by(service) else ""
        return (
            f"{operation} {name}: {endpoint(service)} does not answer ({reason(error)}); check the "
            f"network{chosen_by}"
        )
    if isinstance(error, api.MethodNotImplemented):
        return (
            f"{operation} {name}: {endpoint(service)} is no Pub/Sub service, or cannot do this; "
            f"check {_chosen_by(service) or 'the network'}"
        )
    return f"{operation} {name}: {reason(error)}"


def is_permission(error: Exception) -> bool:
    """Whether a permission is missing; an API that is not enabled is refused in the same way."""
    return isinstance(error, api.PermissionDenied) and error.reason in (
        None,
        "IAM_PERMISSION_DENIED",
    )


def _chosen_by(service: Service) -> str:
    """What says where the service is; empty for Google's own address."""
    if emulator():
        return "PUBSUB_EMULATOR_HOST"
    return "--pubsub_endpoint" if service.endpoint else ""


def reason(error: Exception) -> str:
    """What the service, or gRPC, says."""
    return one_line(_said(error))


def _said(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return str(getattr(cause, "message", None) or cause)
