"""What a program that knows Pub/Sub in the cloud alone needs before an emulator, on this machine.

    python -m benchmarks.systems.tls_front HOST:PORT FOLDER

A process of its own, so that its CPU is nobody else's. It ends when its standard input does. At
127.0.0.1 it listens on two ports, whose numbers it prints as JSON on one line (`Ports`):

* TLS with HTTP/2, for localhost and pubsub.googleapis.com, before the plaintext gRPC of HOST:PORT.
* HTTP: a token for every POST, and, as a proxy, a tunnel from pubsub.googleapis.com:443 to that TLS
  port. Everything else is refused, so that nothing leaves this machine.

FOLDER gets `TRUSTSTORE`, which makes a Java program trust the TLS port, and `ACCOUNT`, the key file
of a made-up service account whose tokens come from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"
CLOUD = "pubsub.googleapis.com"
TRUSTSTORE, PASSWORD = "truststore.p12", "changeit"
ACCOUNT = "account.json"

_BLOCK_BYTES = 64 * 1024
_HEAD_S = 10.0
_VALID = timedelta(days=1)
_TOKEN = json.dumps({"access_token": "made-up", "token_type": "Bearer", "expires_in": 86400})


class Ports(NamedTuple):
    """Where the two listen, at 127.0.0.1."""

    tls: int
    http: int


# -- who it says it is -----------------------------------------------------------------------------


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def server_context(folder: Path) -> ssl.SSLContext:
    """A server's, with a certificate that it signs itself; writes the truststore with that."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName(CLOUD)])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _VALID)
        .not_valid_after(now + _VALID)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted = [pkcs12.PKCS12Certificate(certificate, b"front")]
    encryption = BestAvailableEncryption(PASSWORD.encode())
    (folder / TRUSTSTORE).write_bytes(pkcs12.serialize_java_truststore(trusted, encryption))
    both = folder / "front.pem"
    both.write_bytes(_pem(key) + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    context.set_alpn_protocols(["h2"])
    return context


def account(token_uri: str) -> str:
    """A service account's key file, as Google gives it."""
    key = rsa.generate_private_key(65537, 2048)
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "made-up",
            "private_key_id": "1",
            "private_key": _pem(key).decode(),
            "client_email": "made-up@made-up.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": token_uri,
        }
    )


# -- what it serves --------------------------------------------------------------------------------


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until either side ends, and ends the other one."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_BLOCK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


class Front:
    """Both listeners.

    Args:
      target: `HOST:PORT` of plaintext gRPC.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._tls_port = 0

    async def listen(self, context: ssl.SSLContext) -> Ports:
        """Begins to serve."""
        limit = {"limit": 4 * _BLOCK_BYTES}
        tls = await asyncio.start_server(self._front, LOOPBACK, 0, ssl=context, **limit)
        http = await asyncio.start_server(self._answer, LOOPBACK, 0, **limit)
        self._servers = tls, http
        ports = Ports(*(server.sockets[0].getsockname()[1] for server in self._servers))
        self._tls_port = ports.tls
        return ports

    async def _front(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._join(reader, writer, self._target)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: tuple[str, int],
    ) -> None:
        try:
            there, back = await asyncio.open_connection(*target, limit=4 * _BLOCK_BYTES)
        except OSError as error:
            print(f"connect {target[0]}:{target[1]}: {error}", file=sys.stderr)
            writer.close()
            return
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(_pump(reader, back), _pump(there, writer))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of HTTP/1.1."""
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.TimeoutError):
            raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_S)
            head = raw.decode("latin-1")
            method, where = head.split(" ", 2)[:2]
            if method == "CONNECT" and where == f"{CLOUD}:443":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._join(reader, writer, (LOOPBACK, self._tls_port))
            elif method == "POST" and where == "/token":
                length = re.search(r"\r\ncontent-length: *(\d+)", head.lower())
                await asyncio.wait_for(reader.readexactly(int(length[1]) if length else 0), _HEAD_S)
                writer.write(_response("200 OK", _TOKEN))
                await asyncio.wait_for(writer.drain(), _HEAD_S)
            else:
                print(f"refused: {method} {where}", file=sys.stderr, flush=True)
                writer.write(_response("403 Forbidden", "{}"))
                await asyncio.wait_for(writer.drain(), _HEAD_S)
        writer.close()


def _response(status: str, body: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()


async def serve(target: str, folder: Path) -> None:
    """Serves until standard input ends."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    ports = await Front(target).listen(server_context(folder))
    (folder / ACCOUNT).write_text(account(f"http://{LOOPBACK}:{ports.http}/token"))
    print(json.dumps(ports._asdict()), flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
