"""A log-in as librdkafka wants it."""

from __future__ import annotations

from typing import Any

from transforms.kafka.login import Login
from transforms.kafka.login.tls import Tls


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
        oauth = login.oauth

        def token(_: str) -> tuple[str, float, str, dict[str, str]]:
            text, ends_at_s = oauth.token()
            return text, ends_at_s, "", oauth.extensions

        found["oauth_cb"] = token
    return found


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
