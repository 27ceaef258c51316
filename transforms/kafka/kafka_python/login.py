"""A log-in as kafka-python wants it."""

from __future__ import annotations

from typing import Any

from kafka.net.sasl import register_sasl_mechanism
from kafka.net.sasl.gssapi import SaslMechanismGSSAPI
from kafka.net.sasl.oauth import AbstractTokenProvider

from transforms.kafka.login import Login
from transforms.kafka.login.oauth import Tokens


def settings(login: Login) -> dict[str, Any]:
    """The log-in's part of a client's arguments."""
    found: dict[str, Any] = {"security_protocol": login.protocol}
    if login.tls is not None:
        found["ssl_context"] = login.tls.context()
    if login.mechanism:
        found["sasl_mechanism"] = login.mechanism
    if login.username:
        found |= {"sasl_plain_username": login.username, "sasl_plain_password": login.password}
    if login.oauth is not None:
        found["sasl_oauth_token_provider"] = _TokenProvider(login.oauth)
    if login.kerberos is not None:
        found["sasl_kerberos_name"] = login.kerberos
    return found


class _TokenProvider(AbstractTokenProvider):
    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens

    def token(self) -> str:
        return self._tokens.token().text

    def extensions(self) -> dict[str, str]:
        return self._tokens.extensions


class _Kerberos(SaslMechanismGSSAPI):
    """The library's own exchange, begun with credentials that are looked for at each log-in: it
    takes what the environment says when a process starts, and no keytab.

    The library hands a mechanism only those settings that it knows: `sasl_kerberos_name`, which it
    takes for the broker's name, brings the log-in here.
    """

    def __init__(self, host: str, **settings: Any) -> None:
        login = settings["sasl_kerberos_name"]
        self._is_done = False
        self._is_authenticated = False
        self.auth_id = f"{login.service}@{host}"
        self._client_ctx, self._next_token = login.begin(host)


register_sasl_mechanism("GSSAPI", _Kerberos, overwrite=True)
