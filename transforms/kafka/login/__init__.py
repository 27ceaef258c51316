"""How a client logs in: the properties of one role, made into what both clients can use.

tls.py       certificates and keys, from PEM, PKCS#12 or references
kerberos.py  tickets, from a keytab or a ticket cache
oauth.py     tokens, from a token endpoint
handshake.py what a port speaks, and why a TLS handshake fails
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from transforms.errors import UsageError
from transforms.kafka.login.kerberos import Kerberos
from transforms.kafka.login.oauth import Tokens, tokens
from transforms.kafka.login.tls import Tls, tls

__all__ = ["Login", "login"]


class Login(NamedTuple):
    """All that a client needs to know of a log-in; holds secrets, and never travels.

    Attributes:
      protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
      tls: with SSL and SASL_SSL.
      mechanism: with SASL; the rest depends on it.
    """

    protocol: str
    tls: Tls | None = None
    mechanism: str = ""
    username: str = ""
    password: str = ""
    kerberos: Kerberos | None = None
    oauth: Tokens | None = None

    def __repr__(self) -> str:
        return f"Login({self.protocol}, {self.mechanism})"


def login(plain: Mapping[str, str]) -> Login:
    """What the properties of one role say, with references resolved but for files.

    Raises:
      UsageError: something is missing, or a file is not what it should be.
    """
    protocol = plain.get("security.protocol", "PLAINTEXT").upper()
    found = Login(protocol, tls(plain) if protocol.endswith("SSL") else None)
    if not protocol.startswith("SASL"):
        return found
    mechanism = plain.get("sasl.mechanism", "GSSAPI").upper()
    found = found._replace(mechanism=mechanism)
    if mechanism == "GSSAPI":
        return found._replace(kerberos=Kerberos.of(plain))
    if mechanism == "OAUTHBEARER":
        return found._replace(oauth=tokens(plain))
    missing = [name for name in ("sasl.username", "sasl.password") if not plain.get(name)]
    if missing:
        raise UsageError(
            f"log in with sasl.mechanism={mechanism}: {' and '.join(missing)} missing; give them, "
            "sasl.jaas.config, or a JAAS file as another --kafka_properties"
        )
    return found._replace(username=plain["sasl.username"], password=plain["sasl.password"])
