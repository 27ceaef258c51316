"""Who calls Pub/Sub: application default credentials, or an account that they act as."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import google.auth
import grpc
from google.auth import exceptions, impersonated_credentials
from google.auth.transport.grpc import AuthMetadataPlugin
from google.auth.transport.requests import Request

from transforms.errors import one_line

_HOST = "pubsub.googleapis.com"
"""Who a key's own tokens are for, at every endpoint of the service."""

_SCOPE = "https://www.googleapis.com/auth/pubsub"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform", _SCOPE)

_REQUEST_S = 10.0
"""One request for a token; google-auth gives it 120 s, and tries up to three times."""

NO_TOKEN = "Getting metadata from plugin failed with error: "
"""What gRPC puts before what `Tokens` says."""


class Tokens(grpc.AuthMetadataPlugin):
    """Gives each call its token, and gets a new one in time.

    Raises:
      google.auth.exceptions.GoogleAuthError: there are no credentials; see `why`.
    """

    def __init__(self, impersonate: str) -> None:
        self._impersonate = impersonate
        credentials, _ = google.auth.default(default_scopes=_SCOPES)
        if impersonate:
            *delegates, account = impersonate.split(",")
            credentials = impersonated_credentials.Credentials(
                credentials, account, [_SCOPE], delegates
            )
        request = partial(Request(), timeout=_REQUEST_S)
        self._plugin: Any = AuthMetadataPlugin(credentials, request, _HOST)

    def __call__(self, context: Any, callback: Any) -> None:
        """Called by gRPC. An error that it raised would be logged with its traceback."""
        try:
            self._plugin(context, callback)
        except exceptions.GoogleAuthError as error:
            callback((), RuntimeError(why(error, self._impersonate)))

    def log_in(self) -> None:
        """Gets the first token.

        Raises:
          google.auth.exceptions.GoogleAuthError: there is none; see `why`.
        """
        context = SimpleNamespace(method_name="", service_url=f"https://{_HOST}/")
        self._plugin(context, _ignore)


def _ignore(_headers: object, _error: object) -> None:
    """The token stays with the credentials."""


def why(error: exceptions.GoogleAuthError, impersonate: str) -> str:
    """What is wrong, and what to do, in one line; never what was sent to get a token."""
    text = one_line(error.args[0] if error.args else error).rstrip(".").removesuffix(": None")
    if text.startswith(_DENIED):
        return (
            f"cannot act as {impersonate or 'the service account'}: "
            f"{_reason(error.args[1:]) or text}; grant roles/iam.serviceAccountTokenCreator on it "
            "to the account that is logged in (in a chain, to the one before)"
        )
    if isinstance(error, exceptions.TransportError) or error.retryable:
        return f"{text}; check the network, and try again"
    if isinstance(error, exceptions.DefaultCredentialsError):
        return (
            f"{text}; run `gcloud auth application-default login`, set "
            "GOOGLE_APPLICATION_CREDENTIALS, or, not on Dataflow, set PUBSUB_EMULATOR_HOST for an "
            "emulator"
        )
    return (
        f"{text}; log in again with `gcloud auth application-default login`, or replace the key "
        "that GOOGLE_APPLICATION_CREDENTIALS names"
    )


_DENIED = "Unable to acquire impersonated credentials"


def _reason(answer: Any) -> str:
    """The message in the answer of the service that makes tokens; empty where it has none."""
    try:
        return one_line(json.loads(answer[0])["error"]["message"]).rstrip(".")
    except (LookupError, TypeError, ValueError):
        return ""
