"""What a broker's port speaks, and why a log-in there cannot work; asked once, before a client is.

Clients try again and again, and tell a certificate that has expired, plain text at a TLS port and a
mechanism that is not offered as a connection that was lost.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import NamedTuple

from transforms.errors import PreflightError
from transforms.kafka.login import Login

_SASL_HANDSHAKE = 17
_NO_ERROR, _UNSUPPORTED_MECHANISM, _NO_SASL_HERE = 0, 33, 34
_LARGEST_ANSWER_BYTES = 100_000


class _Answer(NamedTuple):
    """What a broker says to a SASL handshake."""

    error: int
    mechanisms: tuple[str, ...]


def check(host: str, port: int, login: Login, timeout_s: float) -> None:
    """Connects as a client would, up to the log-in itself.

    Raises:
      OSError: nobody listens there.
      PreflightError: what is wrong with this broker, and what to do about it.
      UsageError, UnavailableError: there is no ticket or token, for whichever broker.
    """
    server = f"{host}:{port}"
    with socket.create_connection((host, port), timeout_s) as plain:
        if login.tls is None:
            answer = _ask(plain, login.mechanism)
        else:
            context = login.tls.context()
            try:
                with context.wrap_socket(plain, server_hostname=host) as encrypted:
                    # A broker that refuses this client's certificate says so only now.
                    answer = _ask(encrypted, login.mechanism, closed_is_none=False)
            except ssl.SSLCertVerificationError as error:
                raise PreflightError(f"connect {server}: {_untrusted(error, login)}") from error
            except OSError as error:
                raise PreflightError(
                    f"connect {server}: {_failed(host, port, error, login, timeout_s)}"
                ) from error
    if answer is None and login.tls is None and _speaks_tls(host, port, timeout_s):
        raise PreflightError(
            f"connect {server}: it speaks TLS, and not plain text; set security.protocol=SSL or "
            "SASL_SSL"
        )
    if answer is not None:
        _judge(server, answer, login)
    if login.kerberos is not None:
        login.kerberos.begin(host)
    if login.oauth is not None:
        login.oauth.token()


# -- what is wrong ---------------------------------------------------------------------------------


def _judge(server: str, answer: _Answer, login: Login) -> None:
    offered = ", ".join(answer.mechanisms) or "none"
    encrypted = "SSL" if login.tls is not None else "PLAINTEXT"
    if answer.error == _NO_SASL_HERE and login.mechanism:
        raise PreflightError(
            f"connect {server}: it takes no log-in with SASL; set security.protocol={encrypted}"
        )
    if answer.error != _NO_SASL_HERE and not login.mechanism:
        raise PreflightError(
            f"connect {server}: it wants a log-in; set security.protocol=SASL_{encrypted} and "
            f"sasl.mechanism, of which it offers {offered}"
        )
    if answer.error == _UNSUPPORTED_MECHANISM:
        raise PreflightError(
            f"connect {server}: it does not offer sasl.mechanism={login.mechanism}, only {offered}"
        )


_UNTRUSTED = {2, 18, 19, 20, 21}
"""OpenSSL's codes for a certificate whose issuer is not known, and a self-signed one."""


def _untrusted(error: ssl.SSLCertVerificationError, login: Login) -> str:
    assert login.tls is not None
    reason = error.verify_message.rstrip(".")
    if error.verify_code in _UNTRUSTED:
        trusted = "nobody whom this system trusts" if login.tls.ca is None else "another CA"
        return (
            f"its certificate is from {trusted} ({reason}); name the CA with ssl.ca.location or "
            "ssl.truststore.location"
        )
    if "expired" in reason:
        return "its certificate has expired; the broker needs a new one"
    if "ostname" in reason or "IP address" in reason:
        return (
            f"its certificate is for another host ({reason}); use the broker's own name in "
            "--bootstrap_servers"
        )
    return f"its certificate is not accepted: {reason}"


def _failed(host: str, port: int, error: OSError, login: Login, timeout_s: float) -> str:
    """A handshake that ended with an alert of the broker, or without a word."""
    assert login.tls is not None
    alert = (getattr(error, "reason", None) or "").lower().replace("_", " ")
    if "alert" in alert:
        alert = alert.rpartition("alert ")[2]
        if login.tls.certificate is None and "certificate" in alert:
            return (
                "it wants a certificate of this client (mutual TLS); set ssl.keystore.location, or "
                "ssl.certificate.location and ssl.key.location"
            )
        if "certificate" in alert or "ca" in alert.split():
            return (
                f"it does not accept this client's certificate ({alert}); is it from a CA that the "
                "broker trusts?"
            )
        return f"TLS failed: {alert}"
    if _speaks_plain_text(host, port, timeout_s):
        return (
            "it speaks plain text, and not TLS; set security.protocol=PLAINTEXT or SASL_PLAINTEXT"
        )
    return f"TLS failed: {alert or error.strerror or error}"


# -- asking ----------------------------------------------------------------------------------------


def _ask(connection: socket.socket, mechanism: str, closed_is_none: bool = True) -> _Answer | None:
    """Asks for a SASL handshake: a port without SASL answers it, too. None where no broker answers.

    Source: https://kafka.apache.org/protocol (SaslHandshake: request 17, version 1).
    """
    name = (mechanism or "PLAIN").encode()
    # key, version, correlation id, no client id; the mechanism
    request = struct.pack(">hhihh", _SASL_HANDSHAKE, 1, 1, -1, len(name)) + name
    try:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        if not 10 <= size <= _LARGEST_ANSWER_BYTES:
            return None
        body = _exactly(connection, size)
    except OSError:
        if not closed_is_none:
            raise
        return None
    return _parsed(body)


def _parsed(body: bytes) -> _Answer | None:
    try:
        correlation, error, count = struct.unpack_from(">ihi", body)
        position, mechanisms = 10, []
        for _ in range(count):
            (length,) = struct.unpack_from(">h", body, position)
            mechanisms.append(body[position + 2 : position + 2 + length].decode())
            position += 2 + length
    except (struct.error, UnicodeDecodeError):
        return None
    return _Answer(error, tuple(mechanisms)) if correlation == 1 else None


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise ConnectionResetError("the connection was closed")
        found += more
    return found


def _speaks_plain_text(host: str, port: int, timeout_s: float) -> bool:
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            return _ask(connection, "") is not None
    except OSError:
        return False


def _speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Whether a TLS handshake gets an answer, whoever it is from; nothing is sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
