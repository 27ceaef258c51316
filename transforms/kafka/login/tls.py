"""Certificates and keys for TLS, from PEM, PKCS#12 or references, as both clients take them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from transforms import secrets
from transforms.errors import UsageError
from transforms.kafka.login import files

_JKS = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
"""How a Java key store (JKS, JCEKS) begins."""


class Tls(NamedTuple):
    """What a TLS connection is made with; paths of PEM files, or None.

    Attributes:
      ca: certificates of those who are trusted, a file or a folder; None for the system's.
      certificate: this client's, with those between it and its CA.
      key: the private key of it, not encrypted.
      crl: certificates that are not valid any more.
      check_hostname: whether the broker's certificate must name the host.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    crl: str | None = None
    check_hostname: bool = True

    def context(self) -> ssl.SSLContext:
        """For Python's `ssl`; TLS 1.2 at least.

        Raises:
          UsageError: a certificate or key is broken, or they do not belong together.
        """
        context = ssl.create_default_context()
        context.check_hostname = self.check_hostname
        if self.ca is not None:
            # Only whom the user names is trusted.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.check_hostname = self.check_hostname
            folder = Path(self.ca).is_dir()
            try:
                context.load_verify_locations(**{"capath" if folder else "cafile": self.ca})
            except ssl.SSLError as error:
                raise UsageError(f"use ssl.ca.location: {_reason(error)}") from error
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key)
            except ssl.SSLError as error:
                raise UsageError(
                    f"use ssl.certificate.location and ssl.key.location: {_reason(error)}; do the "
                    "two belong together?"
                ) from error
        if self.crl is not None:
            try:
                context.load_verify_locations(cafile=self.crl)
            except ssl.SSLError as error:
                raise UsageError(f"use ssl.crl.location: {_reason(error)}") from error
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        return context


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


class _Store(NamedTuple):
    """What is in a file of certificates: PEM texts."""

    certificates: list[bytes]
    key: bytes | None = None


def tls(plain: Mapping[str, str]) -> Tls:
    """What the properties of one role say about TLS.

    Raises:
      UsageError: a file cannot be read, is not what it should be, or its password is wrong; or this
        client's own certificate has expired.
    """
    algorithm = plain.get("ssl.endpoint.identification.algorithm", "https").lower()
    key_store = _key_store(plain)
    certificate = key = None
    if key_store is not None:
        certificate = files.keep(b"".join(key_store.certificates))
        key = files.keep(key_store.key or b"")
    crl = plain.get("ssl.crl.location")
    return Tls(
        _trusted(plain),
        certificate,
        key,
        files.keep(_content("ssl.crl.location", crl)) if crl else None,
        check_hostname=algorithm == "https",
    )


def _trusted(plain: Mapping[str, str]) -> str | None:
    if text := plain.get("ssl.ca.pem"):
        return files.keep(_joined(_pem("ssl.ca.pem", text.encode())))
    if path := plain.get("ssl.ca.location"):
        if not secrets.is_reference(path) and Path(path).is_dir():
            return path
        return files.keep(_joined(_pem("ssl.ca.location", _content("ssl.ca.location", path))))
    if path := plain.get("ssl.truststore.location"):
        name = "ssl.truststore.location"
        return files.keep(_joined(_store(name, path, plain.get("ssl.truststore.password"))))
    return None


def _joined(store: _Store) -> bytes:
    return b"".join(store.certificates)


def _key_store(plain: Mapping[str, str]) -> _Store | None:
    """This client's own certificates and key, if it has any."""
    key_password = plain.get("ssl.key.password")
    if path := plain.get("ssl.keystore.location"):
        name = "ssl.keystore.location"
        store = _store(name, path, plain.get("ssl.keystore.password"), key_password)
        if store.key is None:
            raise UsageError(f"use {name}: it has no private key in it, only certificates")
    else:
        name = "ssl.certificate.location"
        chain = _text_or_file(plain, "ssl.certificate")
        key = _text_or_file(plain, "ssl.key")
        if chain is None and key is None:
            return None
        if chain is None or key is None:
            missing = "ssl.certificate.location" if chain is None else "ssl.key.location"
            raise UsageError(f"log in with a certificate: {missing} is missing")
        store = _Store(_pem(name, chain).certificates, _private_key("ssl.key", key, key_password))
    _refuse_expired(name, store.certificates[0])
    return store


def _text_or_file(plain: Mapping[str, str], stem: str) -> bytes | None:
    if text := plain.get(f"{stem}.pem"):
        return text.encode()
    path = plain.get(f"{stem}.location")
    return _content(f"{stem}.location", path) if path else None


def _content(name: str, path: str, binary: bool = False) -> bytes:
    """A file's bytes, or what a reference in its place stands for."""
    if not secrets.is_reference(path):
        return secrets.read(name, path)
    return (secrets.resolve_binary if binary else secrets.resolve_bytes)(name, path)


# -- forms -----------------------------------------------------------------------------------------


def _store(name: str, path: str, password: str | None, key_password: str | None = None) -> _Store:
    """A key store or trust store, of whichever form it is."""
    content = _content(name, path, binary=True)
    where = secrets.shown(path)
    if content.startswith(_JKS):
        target = f"{Path(path).stem}.p12"
        raise UsageError(
            f"use {name}: {where} is a JKS store, which only Java reads; convert it: keytool "
            f"-importkeystore -srckeystore {where} -destkeystore {target} -deststoretype PKCS12"
        )
    if b"-----BEGIN " in content:
        store = _pem(name, content)
        if b"PRIVATE KEY-----" in content:
            store = store._replace(key=_private_key(name, content, key_password or password))
        return store
    try:
        held = pkcs12.load_pkcs12(content, password.encode() if password else None)
    except ValueError as error:
        what = "is neither PEM nor PKCS#12" if content[:1] != b"\x30" else "does not open"
        hint = f"; check {name.replace('location', 'password')}" if content[:1] == b"\x30" else ""
        raise UsageError(f"use {name}: {where} {what}{hint}") from error
    chain = [held.cert, *held.additional_certs]
    certificates = [each.certificate.public_bytes(Encoding.PEM) for each in chain if each]
    if not certificates:
        raise UsageError(f"use {name}: {where} has no certificate in it")
    return _Store(certificates, _as_pem(held.key) if held.key is not None else None)


def _pem(name: str, content: bytes) -> _Store:
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise UsageError(f"use {name}: no certificate in PEM form in it") from error
    return _Store([certificate.public_bytes(Encoding.PEM) for certificate in found])


def _private_key(name: str, content: bytes, password: str | None) -> bytes:
    try:
        return _as_pem(load_pem_private_key(content, password.encode() if password else None))
    except TypeError as error:  # encrypted without a password, or the other way round
        if password:
            return _private_key(name, content, None)
        raise UsageError(f"use {name}: the key is encrypted; give ssl.key.password") from error
    except ValueError as error:
        hint = "ssl.key.password does not open it" if password else "no private key in PEM form"
        raise UsageError(f"use {name}: {hint}") from error


def _as_pem(key: object) -> bytes:
    pem: bytes = key.private_bytes(  # type: ignore[attr-defined]
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return pem


def _refuse_expired(name: str, certificate: bytes) -> None:
    ends = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
    if ends < datetime.now(timezone.utc):
        raise UsageError(
            f"use {name}: this client's own certificate has expired on {ends:%Y-%m-%d %H:%M} UTC; "
            "get a new one"
        )
