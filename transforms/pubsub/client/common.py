"""Channels to the service, and what its errors mean, in one line each."""

from __future__ import annotations

import logging
import os
from typing import Any

import google.api_core.exceptions as api
import google.auth.exceptions
import grpc
from google.api_core import client_logging

from transforms.errors import PreflightError

# The first Google client made cuts the logger `google` off from all handlers, once: its warnings,
# of failing credentials for one, would go nowhere.
client_logging.initialize_logging()
logging.getLogger("google").propagate = True

_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]
"""As Google's clients have them, but for the last one: by default a service that comes back is not
noticed for up to two minutes."""

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

_ROLES = {
    "publish": "roles/pubsub.publisher",
    "pull": "roles/pubsub.subscriber",
    "seek": "roles/pubsub.editor",
    "create": "roles/pubsub.editor",
    "delete": "roles/pubsub.editor",
    "check": "roles/pubsub.viewer",
}


def endpoint() -> str:
    """`HOST:PORT` of the emulator if one is set, else the service's public name."""
    return os.environ.get("PUBSUB_EMULATOR_HOST") or "pubsub.googleapis.com"


def transport(transport: Any) -> Any:
    """A GAPIC transport, to the emulator if one is set, over a channel with our options."""

    def secure_channel(host: str, **settings: Any) -> Any:
        return transport.create_channel(host, **{**settings, "options": _CHANNEL_OPTIONS})

    emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
    if emulator:
        return transport(channel=grpc.insecure_channel(emulator, options=_CHANNEL_OPTIONS))
    try:
        return transport(channel=secure_channel)
    except google.auth.exceptions.GoogleAuthError as error:
        raise PreflightError(
            f"log in to Pub/Sub: {_one_line(error).rstrip('.')}; run `gcloud auth "
            "application-default login`, set GOOGLE_APPLICATION_CREDENTIALS, or set "
            "PUBSUB_EMULATOR_HOST for an emulator"
        ) from error


def explain(operation: str, name: str, error: Exception) -> str:
    if isinstance(error, api.NotFound):
        return f"{operation} {name}: it does not exist; create it or correct the name"
    if isinstance(error, api.PermissionDenied):
        role = _ROLES.get(operation, "roles/pubsub.subscriber")
        return f"{operation} {name}: permission denied; grant {role} to this account"
    if isinstance(error, api.Unauthenticated):
        return f"{operation} {name}: the credentials are not accepted; log in again"
    if isinstance(error, (api.ServiceUnavailable, api.DeadlineExceeded, api.RetryError)):
        return (
            f"{operation} {name}: {endpoint()} does not answer ({reason(error)}); "
            "check the network and PUBSUB_EMULATOR_HOST"
        )
    return f"{operation} {name}: {reason(error)}"


def reason(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return _one_line(getattr(cause, "message", None) or cause)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
