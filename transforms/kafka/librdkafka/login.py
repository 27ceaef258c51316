"""A log-in as librdkafka wants it."""

from __future__ import annotations

import logging
import time
from typing import Any

from transforms.errors import UnavailableError
from transforms.kafka.client_rules import Repeats
from transforms.kafka.login import Login
from transforms.kafka.login.oauth import Tokens
from transforms.kafka.login.tls import Tls

_log = logging.getLogger(__name__)


def settings(login: Login) -> dict[str, Any]:
    """The log-in's part of a client's settings; with OAUTHBEARER a callback that gets tokens."""
    found: dict[str, Any] = {"security.protocol": login.protocol}
    if login.tls is not None:
        found |= _tls(login.tls)
    if login.mechanism:
        found["sasl.mechanism"] = login.mechanism
    if login.username:
        found |= {"sasl.username": login.username, "sasl.password": login.password}
    if login.oauth is not None:
        found["oauth_cb"] = TokenCallback(login.oauth)
    return found


class TokenCallback:
    """Gives librdkafka tokens; an error must not leave it, which would end the process.

    While there is no new token it gives the last one, for a moment: librdkafka asks again then, and
    connections that are logged in stay so.
    """

    _MOMENT_S = 5.0
    _CHANGE_S = 5.0

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self._last = ""
        self._ends_at_s = self._renewed_at_s = 0.0
        self._repeats = Repeats()

    def trouble(self) -> str:
        """Why a broker may refuse a log-in now that it would take a little later; empty if it may
        not. A connection whose token is about to end, or was renewed late, logs in with it again
        and again, and a second time within a second is refused."""
        failure, now = self.tokens.failure, time.time()
        if failure is not None or not self._last:
            return str(failure) if isinstance(failure, UnavailableError) else ""
        if now > self._ends_at_s - self._CHANGE_S or now < self._renewed_at_s + self._CHANGE_S:
            return "the token to log in with changes"
        return ""

    def __call__(self, _: str) -> tuple[str, float, str, dict[str, str]]:
        try:
            token, ends_at_s = self.tokens.token()
            if self._last and token != self._last:
                self._renewed_at_s = time.time()
            self._last, self._ends_at_s = token, ends_at_s
        except Exception as error:
            if self._repeats.let_pass(str(error)):
                _log.warning("%s", error)
            ends_at_s = time.time() + self._MOMENT_S
        return self._last or "none", ends_at_s, "", self.tokens.extensions


def _tls(tls: Tls) -> dict[str, Any]:
    paths = {
        "ssl.ca.location": tls.ca,
        "ssl.certificate.location": tls.certificate,
        "ssl.key.location": tls.key,
        "ssl.crl.location": tls.crl,
    }
    return {
        **{name: path for name, path in paths.items() if path is not None},
        "ssl.endpoint.identification.algorithm": "https" if tls.check_hostname else "none",
    }
