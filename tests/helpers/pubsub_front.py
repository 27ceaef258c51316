"""What stands before a real Pub/Sub, for tests: TLS, accounts and permissions, before the emulator;
and the services that give accounts their tokens.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from google.auth import jwt
from google.iam.v1 import iam_policy_pb2

ACCOUNT = "bridge@test.iam.gserviceaccount.com"
TARGET = "target@test.iam.gserviceaccount.com"

NAMES = ("localhost", "pubsub.googleapis.com")
"""What the front proves to be: the second for clients that come through a tunnel."""

_CALL_S = 30.0
_BIG = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Front(grpc.GenericRpcHandler):
    """Forwards calls, byte for byte, from TLS at `localhost` to an emulator.

    Attributes:
      address: `localhost:PORT`.
      roots: the file of the certificate that clients have to trust.
      tokens: each `authorization` that has come.
      refused: what is answered to a method (`Publish`) in place of forwarding it.
      lacking: the permissions that the account has not.
    """

    def __init__(self, emulator: str, folder: Path) -> None:
        key, certificate = _certificate()
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(certificate)
        self.tokens: list[str] = []
        self.refused: dict[str, grpc.StatusCode] = {}
        self.lacking: set[str] = set()
        self._emulator = grpc.insecure_channel(emulator, options=_BIG)
        self._server = grpc.server(ThreadPoolExecutor(64), handlers=[self], options=_BIG)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        self.address = f"localhost:{self._server.add_secure_port('localhost:0', credentials)}"

    @property
    def env(self) -> dict[str, str]:
        """What makes a process trust this server."""
        return {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(self.roots)}

    def service(self, details):
        self.tokens += [v for name, v in details.invocation_metadata if name == "authorization"]
        method = details.method.rpartition("/")[2]
        if method in self.refused:
            return grpc.unary_unary_rpc_method_handler(partial(self._refuse, method))
        if method == "TestIamPermissions":
            return grpc.unary_unary_rpc_method_handler(self._granted)
        if method == "StreamingPull":
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, details.method))
        return grpc.unary_unary_rpc_method_handler(partial(self._forward, details.method))

    def _refuse(self, method, _request, context):
        context.abort(self.refused[method], "refused by the test")

    def _granted(self, data, _context):
        request = iam_policy_pb2.TestIamPermissionsRequest.FromString(data)
        granted = [p for p in request.permissions if p not in self.lacking]
        answer = iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)
        return answer.SerializeToString()

    def _forward(self, method, request, context):
        call = self._emulator.unary_unary(method).future(request, timeout=_CALL_S)
        context.add_callback(call.cancel)
        try:
            return call.result()
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        except grpc.FutureCancelledError:
            context.abort(grpc.StatusCode.CANCELLED, "cancelled")

    def _stream(self, method, requests, context):
        call = self._emulator.stream_stream(method)(requests)
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def __enter__(self) -> Front:
        self._server.start()
        return self

    def __exit__(self, *_error) -> None:
        self._server.stop(None)
        self._emulator.close()


def _certificate() -> tuple[bytes, bytes]:
    """A private key and a certificate for NAMES, signed by itself; PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, NAMES))), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(key), certificate.public_bytes(serialization.Encoding.PEM)


def _pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class TokenServer:
    """Plays oauth2.googleapis.com and iamcredentials.googleapis.com.

    Attributes:
      token_uri: where a key's account gets a token, which is `token of the key`. (For Pub/Sub
        itself a key makes tokens of its own, see `signed_by_the_key`.)
      iam_endpoint: where it gets that of another account, `token of ACCOUNT`; a format of it.
      asked: each path that was asked for, with the `Authorization` that came.
      answers: a status and a JSON object, by the end of a path, in place of a token.
      silent: no answer is given.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, tuple[int, object]] = {}
        self.silent = False
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_TokenHandler, self))
        self._server.daemon_threads = True
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.token_uri = f"{url}/token"
        self.iam_endpoint = f"{url}/v1/projects/-/serviceAccounts/{{}}:generateAccessToken"

    def key_file(self, folder: Path) -> Path:
        """The key of ACCOUNT, as Google gives it."""
        key = rsa.generate_private_key(65537, 2048)
        self._public_key = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        content = {
            "type": "service_account",
            "project_id": "test",
            "private_key_id": "1",
            "private_key": _pem(key).decode(),
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": self.token_uri,
        }
        file = folder / "key.json"
        file.write_text(json.dumps(content))
        return file

    def signed_by_the_key(self, authorization: str) -> bool:
        """Whether a token is one for Pub/Sub that the key of ACCOUNT has signed."""
        token = authorization.removeprefix("Bearer ")
        claims = jwt.decode(token, self._public_key, audience="https://pubsub.googleapis.com/")
        return claims["iss"] == claims["sub"] == ACCOUNT

    def answer(self, path: str) -> tuple[int, object]:
        for end, answer in self.answers.items():
            if path.endswith(end):
                return answer
        if path == "/token":
            return 200, {"access_token": "token of the key", "expires_in": 3600}
        account = path.rpartition("/")[2].partition(":")[0]
        expires = datetime.now(timezone.utc) + timedelta(hours=1)
        token = {
            "accessToken": f"token of {account}",
            "expireTime": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        }
        return 200, token

    def wait(self) -> None:
        if self.silent:
            self._ended.wait(60)

    def __enter__(self) -> TokenServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


class _TokenHandler(BaseHTTPRequestHandler):
    def __init__(self, tokens: TokenServer, *request) -> None:
        self._tokens = tokens
        super().__init__(*request)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._tokens.asked.append((self.path, self.headers.get("Authorization", "")))
        self._tokens.wait()
        status, answer = self._tokens.answer(self.path)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Nothing is said."""
