"""Tokens for OAUTHBEARER: OAuth 2.0 client credentials, from a token endpoint."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import requests
from requests.auth import HTTPBasicAuth

from transforms import http, secrets
from transforms.deadlines import within
from transforms.errors import UnavailableError, UsageError
from transforms.kafka.login import files

_log = logging.getLogger(__name__)

_TIMEOUT_S = 3.0
_IN_ALL_S = 4.0
_LARGEST_ANSWER_BYTES = 100_000
_FRESH_FOR = 0.75
"""A token is used for this part of its life: until shortly before clients ask for the next, which
librdkafka does after 0.8."""

_SPARE_S = 1.0
_PAUSE_S = 1.0
"""After a failure the endpoint is left alone for so long: clients try again at once."""

_LONGEST_LIFE_S = 1e9


class Token(NamedTuple):
    """A token, and when it ends, in seconds since the epoch."""

    text: str
    ends_at_s: float

    def __repr__(self) -> str:
        return f"Token(ends_at_s={self.ends_at_s:.0f})"


class Tokens:
    """Gets tokens with a client's id and secret, and gives the same one while it is fresh.

    Safe to use from several threads.

    Attributes:
      failure: why the last try for a token failed; None if it did not.
    Args:
      url: the token endpoint.
      ca: PEM file of those whom the endpoint's certificate may be from; None for the system's.
      extensions: what is sent to the broker beside the token (KIP-342).
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        scope: str = "",
        ca: str | None = None,
        extensions: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.extensions = dict(extensions)
        self._url = url
        self._credentials = HTTPBasicAuth(client_id.encode(), client_secret.encode())
        self._scope = scope
        self._session = requests.Session()
        self._ca = ca or True
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._fresh_until_s = 0.0
        self.failure: Exception | None = None
        self._failed_at_s = 0.0

    def token(self) -> Token:
        """A token that is good for a while; while there is no new one, the last one to its end.

        Raises:
          UsageError: the endpoint refuses the client, or answers what is no token.
          UnavailableError: it does not answer.
        """
        with self._lock:
            asked_at_s = time.time()
            if self._token is not None and asked_at_s < self._fresh_until_s:
                return self._token
            if self.failure is not None and asked_at_s < self._failed_at_s + _PAUSE_S:
                raise self.failure
            try:
                new = self._ask()
            except (UnavailableError, UsageError) as error:
                self.failure, self._failed_at_s = error, asked_at_s
                if self._token is None or self._token.ends_at_s < asked_at_s + _SPARE_S:
                    raise
                _log.warning("%s; the last token is good until it ends", error)
                self._fresh_until_s = asked_at_s + _PAUSE_S
                return self._token
            self.failure = None
            self._token = new
            self._fresh_until_s = asked_at_s + (new.ends_at_s - asked_at_s) * _FRESH_FOR
            return new

    def _ask(self) -> Token:
        form = {
            "grant_type": "client_credentials",
            **({"scope": self._scope} if self._scope else {}),
        }
        try:
            answer = within(_IN_ALL_S, lambda: self._post(form))
        except TimeoutError as error:
            raise UnavailableError(f"get a token from {self._url}: {error}") from error
        except requests.exceptions.SSLError as error:
            raise UsageError(
                f"get a token from {self._url}: its certificate is not trusted "
                f"({http.cause(error)}); name its CA with https.ca.location"
            ) from error
        except requests.exceptions.RequestException as error:
            raise UnavailableError(
                f"get a token from {self._url}: no answer ({http.cause(error)}); check "
                "sasl.oauthbearer.token.endpoint.url"
            ) from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise UnavailableError(f"get a token from {self._url}: it answers {_said(answer)}")
        if not answer.ok:
            client = "sasl.oauthbearer.client.id, .client.secret and .scope"
            where = "sasl.oauthbearer.token.endpoint.url"
            raise UsageError(
                f"get a token from {self._url}: it answers {_said(answer)}; check "
                + (where if answer.status_code in (404, 405) else client)
            )
        return self._understood(answer)

    def _post(self, form: Mapping[str, str]) -> requests.Response:
        answer = self._session.post(
            self._url,
            data=form,
            auth=self._credentials,
            timeout=_TIMEOUT_S,
            allow_redirects=False,
            stream=True,
            verify=self._ca,  # of a session it would lose to REQUESTS_CA_BUNDLE
        )
        return http.read(answer, _LARGEST_ANSWER_BYTES)

    def _understood(self, answer: requests.Response) -> Token:
        try:
            found = answer.json()
            text = str(found["access_token"])
            life_s = found.get("expires_in")
            life_s = _life_s(text) if life_s is None else float(life_s)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UsageError(
                f"get a token from {self._url}: what it answers is no token with its life; is it "
                "a token endpoint?"
            ) from None
        if not 0 < life_s <= _LONGEST_LIFE_S:
            raise UsageError(f"get a token from {self._url}: its life is {life_s:g} s")
        return Token(text, time.time() + life_s)


def tokens(plain: Mapping[str, str]) -> Tokens:
    """What the properties of one role say about tokens; the same object for the same properties.

    Raises:
      UsageError: a property is missing.
    """
    names = {
        "sasl.oauthbearer.token.endpoint.url": plain.get("sasl.oauthbearer.token.endpoint.url"),
        "sasl.oauthbearer.client.id": plain.get("sasl.oauthbearer.client.id"),
        "sasl.oauthbearer.client.secret": plain.get("sasl.oauthbearer.client.secret"),
    }
    missing = [name for name, value in names.items() if not value]
    if missing:
        raise UsageError(f"log in with sasl.mechanism=OAUTHBEARER: {', '.join(missing)} missing")
    ca = plain.get("https.ca.location")
    if ca and secrets.is_reference(ca):
        ca = files.keep(secrets.resolve_bytes("https.ca.location", ca))
    return _shared(
        *(str(value) for value in names.values()),
        plain.get("sasl.oauthbearer.scope", ""),
        ca,
        _pairs(plain.get("sasl.oauthbearer.extensions", "")),
    )


@lru_cache(maxsize=8)
def _shared(*settings: Any) -> Tokens:
    return Tokens(*settings)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """`a=1,b=2` taken apart."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def _life_s(token: str) -> float:
    """By the claim `exp` of a JSON web token, which says itself how long it is good for."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"]) - time.time()


def _said(answer: requests.Response) -> str:
    """The status, and the endpoint's own words for it; nothing that was sent."""
    try:
        found = answer.json()
        words = [str(found[key]) for key in ("error", "error_description") if found.get(key)]
    except (ValueError, TypeError, AttributeError):
        words = []
    return " ".join(f"{answer.status_code} {': '.join(words) or answer.reason}".split())[:300]
