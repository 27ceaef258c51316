"""An OAuth 2.0 token endpoint on the loopback interface: signed tokens for client credentials.

Sources: RFC 6749 (4.4 client credentials, 2.3.1 how they are sent, 5.2 errors), RFC 7519 (tokens),
RFC 7517 (the keys that verify them).
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from certificates import Identity
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pipelines.local.server import LOOPBACK

ISSUER = "https://tokens.test.bridge"
AUDIENCE = "kafka"
_KEY_ID = "test-key"
_HANG_TIMEOUT_S = 600.0


class Request(NamedTuple):
    """A request for a token.

    Attributes:
      how: `basic` for the Authorization header, `form` for fields of the body.
      status: what was answered; 0 while it hangs.
    """

    client_id: str
    how: str
    scope: str
    status: int


class TokenEndpoint:
    """Runs while the `with` lasts.

    Args:
      secrets: the secret of each client.
      server: the certificate for HTTPS.
    Attributes:
      url, https_url: where tokens are given.
      jwks_url: where the keys that verify them are; never fails.
      requests: for tokens, in the order in which they were answered.
      lifetime_s: of the tokens given from now on.
    """

    def __init__(self, secrets: dict[str, str], server: Identity) -> None:
        self.secrets = dict(secrets)
        self.requests: list[Request] = []
        self.lifetime_s = 3600.0
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._fails_until = 0.0
        self._flowing = threading.Event()
        self._flowing.set()
        handler = type("Handler", (_Handler,), {"endpoint": self})
        self._servers = [_Server((LOOPBACK, 0), handler) for _ in range(2)]
        plain, secure = self._servers
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.chain, server.key)
        # The handshake in the connection's own thread: a silent client holds up nobody else.
        secure.socket = context.wrap_socket(
            secure.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"http://localhost:{plain.server_port}/token"
        self.https_url = f"https://localhost:{secure.server_port}/token"
        self.jwks_url = f"http://localhost:{plain.server_port}/jwks"

    def __enter__(self) -> TokenEndpoint:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._flowing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fail(self, seconds: float) -> None:
        """Answers requests for tokens with 503 for so long; 0 ends it."""
        self._fails_until = time.monotonic() + seconds

    def hang(self) -> None:
        """Reads requests for tokens and does not answer, until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        """Ends `hang`; those that hang are answered."""
        self._flowing.set()

    def count(self, client_id: str) -> int:
        """How many tokens this client has been given."""
        return sum(each.client_id == client_id and each.status == 200 for each in self.requests)

    def token(self, client_id: str, lifetime_s: float | None = None, **claims: object) -> str:
        """A signed token for `sub=client_id`.

        Args:
          lifetime_s: from now; not positive for one that has expired.
          claims: instead of those that it would have, or besides; None leaves one out.
        """
        now = int(time.time())
        lifetime_s = self.lifetime_s if lifetime_s is None else lifetime_s
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": client_id,
            "iat": now + min(0, int(lifetime_s)) - 1,
            "exp": now + int(lifetime_s),
            "jti": uuid.uuid4().hex,
            **claims,
        }
        parts = (
            {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID},
            {name: value for name, value in payload.items() if value is not None},
        )
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"

    def jwks(self) -> dict[str, object]:
        """The public key."""
        numbers = self._key.public_key().public_numbers()
        n, e = (
            _base64url(i.to_bytes(-(-i.bit_length() // 8), "big")) for i in (numbers.n, numbers.e)
        )
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID, "n": n, "e": e}
        return {"keys": [key]}

    def answer(self, authorization: str, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """Answers a request for a token: the HTTP status, and what goes into the body."""
        how = "basic" if authorization else "form"
        try:
            client_id, secrets = _credentials(authorization, form)
        except ValueError:
            client_id, secrets = "", []
        if not self._flowing.is_set():
            self.requests.append(Request(client_id, how, form.get("scope", ""), 0))
            self._flowing.wait(_HANG_TIMEOUT_S)
        status, body = self._judge(client_id, secrets, form)
        self.requests.append(Request(client_id, how, form.get("scope", ""), status))
        return status, body

    def _judge(
        self, client_id: str, secrets: list[str], form: dict[str, str]
    ) -> tuple[int, dict[str, object]]:
        if time.monotonic() < self._fails_until:
            return 503, {"error": "temporarily_unavailable"}
        if self.secrets.get(client_id) not in secrets:
            return 401, {"error": "invalid_client", "error_description": "no such client or secret"}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        scope = {"scope": form["scope"]} if form.get("scope") else {}
        token = self.token(client_id, **scope)
        times = {"token_type": "Bearer", "expires_in": int(self.lifetime_s)}
        return 200, {"access_token": token, **times, **scope}


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_args: object) -> None:
        """Nothing: clients that trust nobody, or wait no longer, are what tests ask for."""


class _Handler(BaseHTTPRequestHandler):
    endpoint: TokenEndpoint

    def do_GET(self) -> None:
        if self.path == "/jwks":
            self._send(200, self.endpoint.jwks())
        else:
            self._send(404, {"error": "not_found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path != "/token":
            self._send(404, {"error": "not_found"})
            return
        form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        self._send(*self.endpoint.answer(self.headers.get("Authorization", ""), form))

    def _send(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nothing."""


def _credentials(authorization: str, form: dict[str, str]) -> tuple[str, list[str]]:
    """The client's id, and what its secret may be: in a header it is form-encoded, as the standard
    says, or plain, as many clients send it.

    Raises:
      ValueError: the header is no HTTP Basic.
    """
    if not authorization:
        return form.get("client_id", ""), [form.get("client_secret", "")]
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise ValueError(scheme)
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return urllib.parse.unquote_plus(client_id), [secret, urllib.parse.unquote_plus(secret)]


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
