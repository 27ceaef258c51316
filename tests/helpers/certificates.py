"""X.509 certificates of the tests' own: two authorities, servers, clients, in every file format.

Below the trusted root stands an intermediate authority that signs everything; whoever trusts the
root alone must be sent both certificates. Keys are elliptic curves, since they are quick to make.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PASSWORD = "changeit"
"""Of every encrypted key, keystore and truststore here."""

_VALID = dt.timedelta(days=-1), dt.timedelta(days=2)
_EXPIRED = dt.timedelta(days=-3), dt.timedelta(days=-1)
_JKS_MAGIC = bytes.fromhex("FEEDFEED00000002")


class Identity(NamedTuple):
    """The files of one certificate and its private key. PEM unless another format is named.

    Attributes:
      chain: the certificate, then that of the intermediate authority if one signed it.
      key: PKCS#8, not encrypted.
      encrypted_key: the same under `PASSWORD`.
      pem: key and chain in one file, as `ssl.keystore.location` takes it.
      encrypted_pem: encrypted key and chain in one file.
      p12: a PKCS#12 keystore of key and chain, under `PASSWORD`.
    """

    chain: Path
    key: Path
    encrypted_key: Path
    pem: Path
    encrypted_pem: Path
    p12: Path


class _Signed(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Certificates:
    """Makes them all, in a second.

    Args:
      folder: an empty folder, where the files go.
    Attributes:
      ca: the trusted root.
      untrusted_ca: a root that no server knows.
      truststore, untrusted_truststore: PKCS#12 with one of them, under `PASSWORD`.
      server: for localhost, 127.0.0.1 and ::1.
      wrong_host: a server's, for another name.
      expired_server: as `server`, out of date since yesterday.
      jks: begins as a Java keystore does, and goes no further.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        root = self._authority("Test Root", None)
        self._intermediate = self._authority("Test Intermediate", root)
        self._untrusted_root = self._authority("Untrusted Root", None)
        self.ca, self.truststore = self._trust("ca", root)
        self.untrusted_ca, self.untrusted_truststore = self._trust(
            "untrusted-ca", self._untrusted_root
        )
        hosts = ["localhost", "127.0.0.1", "::1"]
        self.server = self._identity("server", "localhost", hosts)
        self.wrong_host = self._identity("wrong-host", "kafka.invalid", ["kafka.invalid"])
        self.expired_server = self._identity("expired-server", "localhost", hosts, _EXPIRED)
        self.jks = folder / "keystore.jks"
        self.jks.write_bytes(_JKS_MAGIC)

    def client(self, name: str, *, expired: bool = False, trusted: bool = True) -> Identity:
        """A client's, with the subject `CN=name, O=Test`, signed by a root that no server knows
        unless `trusted`."""
        validity = _EXPIRED if expired else _VALID
        kind = f"{'-expired' if expired else ''}{'' if trusted else '-untrusted'}"
        return self._identity(f"client-{name}{kind}", name, [], validity, trusted)

    def _authority(self, name: str, issuer: _Signed | None) -> _Signed:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(name, key, issuer, _VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(issuer.key if issuer else key, hashes.SHA256())
        )
        return _Signed(certificate, key)

    def _trust(self, name: str, root: _Signed) -> tuple[Path, Path]:
        """Writes a root as PEM, and as a truststore whose entry Java takes for trusted."""
        pem, store = self._folder / f"{name}.pem", self._folder / f"{name}.p12"
        pem.write_bytes(root.certificate.public_bytes(Encoding.PEM))
        entry = pkcs12.PKCS12Certificate(root.certificate, name.encode())
        store.write_bytes(pkcs12.serialize_java_truststore([entry], _encryption()))
        return pem, store

    def _identity(
        self,
        file_name: str,
        name: str,
        hosts: list[str],
        validity: tuple[dt.timedelta, dt.timedelta] = _VALID,
        trusted: bool = True,
    ) -> Identity:
        """Signs a certificate, a server's if it has `hosts`, and writes it in all formats."""
        issuer = self._intermediate if trusted else self._untrusted_root
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(name, key, issuer, validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(issuer.key, hashes.SHA256())
        intermediates = [self._intermediate.certificate] if trusted else []
        return self._write(file_name, _Signed(certificate, key), intermediates)

    def _write(self, name: str, signed: _Signed, intermediates: list[x509.Certificate]) -> Identity:
        certificates = [signed.certificate, *intermediates]
        chain = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
        key, encrypted_key = (
            signed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
            for encryption in (NoEncryption(), _encryption())
        )
        keystore = pkcs12.serialize_key_and_certificates(
            name.encode(), signed.key, signed.certificate, intermediates, _encryption()
        )
        contents = {
            f"{name}.crt": chain,
            f"{name}.key": key,
            f"{name}-encrypted.key": encrypted_key,
            f"{name}.pem": key + chain,
            f"{name}-encrypted.pem": encrypted_key + chain,
            f"{name}.p12": keystore,
        }
        for file, content in contents.items():
            (self._folder / file).write_bytes(content)
        return Identity(*(self._folder / file for file in contents))


def _builder(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: _Signed | None,
    validity: tuple[dt.timedelta, dt.timedelta],
) -> x509.CertificateBuilder:
    """What all have in common, with the two identifiers that strict verification asks for."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    signer = issuer.key if issuer else key
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + validity[0])
        .not_valid_after(now + validity[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _encryption() -> BestAvailableEncryption:
    return BestAvailableEncryption(PASSWORD.encode())
