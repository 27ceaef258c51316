"""Google Secret Manager: the one call that the bridge makes to it."""

from __future__ import annotations

from typing import Any

import google.api_core.exceptions as api
import google.auth.exceptions
from google.cloud import secretmanager_v1

from transforms.errors import UsageError, one_line

_TIMEOUT_S = 4.0


def fetch(setting: str, name: str) -> bytes:
    """The payload of `projects/P/secrets/S/versions/V`, with the application default credentials.

    Args:
      setting: what it is for, for messages.
    Raises:
      UsageError: it does not exist, may not be read, or there is no answer within 4 s.
    """
    try:
        client = _client()
        answer = client.access_secret_version(
            request={"name": name}, timeout=_TIMEOUT_S, retry=None
        )
    except google.auth.exceptions.GoogleAuthError as error:
        raise UsageError(f"{setting}: log in to Secret Manager: {one_line(error)}") from error
    except api.NotFound as error:
        raise UsageError(f"{setting}: {name} does not exist, or has no such version") from error
    except api.PermissionDenied as error:
        raise UsageError(
            f"{setting}: {name} may not be read; grant roles/secretmanager.secretAccessor to this "
            "account"
        ) from error
    except api.GoogleAPICallError as error:
        raise UsageError(f"{setting}: read {name}: {one_line(error.message)}") from error
    payload: bytes = answer.payload.data
    return payload


def _client() -> Any:
    return secretmanager_v1.SecretManagerServiceClient()
