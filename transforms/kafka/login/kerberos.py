"""Kerberos tickets for GSSAPI, from a keytab or a ticket cache."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from transforms import secrets
from transforms.deadlines import within
from transforms.errors import UnavailableError, UsageError
from transforms.kafka.login import files

_log = logging.getLogger(__name__)

_KDC_S = 3.0
"""How long a KDC may take to answer before it counts as away."""

_KINIT_S = 10.0

_PAUSE_S = 0.5

_failed_at_s: dict[Kerberos, float] = {}
"""When each log-in has failed last, by the monotonic clock."""


class Kerberos(NamedTuple):
    """A log-in with Kerberos. A ticket from a keytab is got anew by itself, whenever one is needed.

    Attributes:
      service: the first part of the brokers' principals.
      principal: whose tickets; empty for the first one of the keytab or the one of the cache.
      keytab: path of a keytab; None for a ticket cache.
      ticket_cache: `FILE:PATH`, a path, or another kind; None for the user's own.
    """

    service: str = "kafka"
    principal: str = ""
    keytab: str | None = None
    ticket_cache: str | None = None

    @classmethod
    def of(cls, plain: Mapping[str, str]) -> Kerberos:
        """What the properties of one role say; `krb5.conf` holds for the whole process.

        Raises:
          UsageError: a file cannot be read, or the package gssapi is not installed.
        """
        if importlib.util.find_spec("gssapi") is None:
            raise UsageError(
                "log in with sasl.mechanism=GSSAPI: the package gssapi is not installed; pip "
                "install '.[kerberos]', which needs Kerberos' development files (Debian: apt-get "
                "install libkrb5-dev gcc libc6-dev python3-dev)"
            )
        if conf := _path(plain, "java.security.krb5.conf"):
            os.environ["KRB5_CONFIG"] = conf
        cache = plain.get("sasl.kerberos.ticket.cache")
        kerberos = cls(
            plain.get("sasl.kerberos.service.name", "kafka"),
            plain.get("sasl.kerberos.principal", ""),
            _path(plain, "sasl.kerberos.keytab"),
            _path(plain, "sasl.kerberos.ticket.cache")
            if secrets.is_reference(cache or "")
            else cache,
        )
        if kerberos.keytab is None:
            _Renewal.of(kerberos)
        return kerberos

    def credentials(self) -> Any:
        """The client's credentials as they are now; asks the KDC where a keytab's have run out.

        Raises:
          UsageError: there are none, or they have expired.
          UnavailableError: no KDC answers.
        """
        import gssapi

        name = None
        if self.principal:
            name = gssapi.Name(self.principal, gssapi.NameType.kerberos_principal)
        store: dict[str | bytes, str | bytes] = {}
        if self.keytab is not None:
            own = hashlib.sha256(f"{self.principal}\0{self.keytab}".encode()).hexdigest()[:16]
            store = {"client_keytab": self.keytab, "ccache": f"MEMORY:{own}"}
        elif self.ticket_cache is not None:
            store = {"ccache": self.ticket_cache}
        kerberos = [gssapi.MechType.kerberos]
        try:
            found = gssapi.Credentials(name=name, usage="initiate", mechs=kerberos, store=store)
            expired = not found.lifetime
        except gssapi.exceptions.ExpiredCredentialsError:
            expired = True
        except gssapi.raw.GSSError as error:
            raise self._explained(error) from error
        if expired and self.keytab is not None:
            raise UnavailableError(
                f"{self._what}: the last ticket has expired, and the KDC gives no other; check the "
                "network and the KDC"
            )
        if expired:
            raise UsageError(f"{self._what}: the ticket has expired; run kinit, or use a keytab")
        return found

    def begin(self, host: str) -> tuple[Any, bytes]:
        """Begins a log-in at a broker: the client's security context, and what it says first.

        A client that has failed tries again at once: it is held up for a moment then, so that it
        does not overrun the KDC.

        Raises:
          UsageError, UnavailableError: there is no ticket for this broker, and why; or no KDC
            answers within 3 s.
        """
        pause_s = _failed_at_s.get(self, -_PAUSE_S) + _PAUSE_S - time.monotonic()
        time.sleep(min(max(0.0, pause_s), _PAUSE_S))
        try:
            return within(_KDC_S, lambda: self._begin(host))
        except TimeoutError as error:
            _failed_at_s[self] = time.monotonic()
            raise UnavailableError(
                f"{self._what}: no KDC answers within {_KDC_S:g} s; check krb5.conf (--krb5_conf, "
                "or KRB5_CONFIG) and the network"
            ) from error
        except (UsageError, UnavailableError):
            _failed_at_s[self] = time.monotonic()
            raise

    def _begin(self, host: str) -> tuple[Any, bytes]:
        import gssapi

        service = gssapi.Name(f"{self.service}@{host}", gssapi.NameType.hostbased_service)
        try:
            context = gssapi.SecurityContext(
                name=service.canonicalize(gssapi.MechType.kerberos),
                creds=self.credentials(),
                usage="initiate",
            )
            return context, context.step(None)
        except gssapi.raw.GSSError as error:
            raise self._explained(error) from error

    @property
    def _what(self) -> str:
        who = f" as {self.principal}" if self.principal else ""
        cache = f"the ticket cache {self.ticket_cache or os.environ.get('KRB5CCNAME', '')}".strip()
        return f"log in to Kerberos{who} with {self.keytab or cache}"

    def _explained(self, error: Any) -> UsageError | UnavailableError:
        reason = _reason(error)
        if self.keytab is not None and re.search(_NO_CREDENTIALS, reason):
            who = self.principal or "any principal"
            return UsageError(
                f"{self._what}: the keytab has no key of {who}; check sasl.kerberos.principal and "
                "sasl.kerberos.keytab"
            )
        for pattern, hint in _HINTS:
            if re.search(pattern, reason):
                kind = UnavailableError if "KDC" in pattern else UsageError
                return kind(f"{self._what}: {reason}; {hint}")
        return UsageError(f"{self._what}: {reason}")


_NO_CREDENTIALS = r"(?i)No Kerberos credentials|credentials cache|No credentials"

_HINTS = (
    (r"(?i)contact any KDC|find KDC", "check krb5.conf (--krb5_conf, or KRB5_CONFIG)"),
    (
        r"(?i)Server.*not found",
        "check sasl.kerberos.service.name, and that --bootstrap_servers has the brokers' own names",
    ),
    (r"(?i)Client.*not found", "check sasl.kerberos.principal"),
    (
        r"(?i)Preauthentication failed|password incorrect|Decrypt integrity",
        "the keytab does not fit the KDC any more; get a new one",
    ),
    (r"(?i)expired", "run kinit, or use a keytab"),
    (
        _NO_CREDENTIALS,
        "run kinit, or name a keytab with sasl.kerberos.keytab",
    ),
    (
        r"(?i)key ?tab|suitable keys|principal.*match",
        "check sasl.kerberos.keytab and sasl.kerberos.principal",
    ),
    (r"(?i)clock skew", "set this machine's clock"),
)
"""What to do about what the library says."""


def _reason(error: Any) -> str:
    """The library's own words, of the mechanism where it has any."""
    words = [*error.get_all_statuses(error.min_code, False)] if error.min_code else []
    text = words[0] if words and "Success" not in words[0] else str(error)
    return " ".join(text.split()).rstrip(".")[:300]


def _path(plain: Mapping[str, str], name: str) -> str | None:
    """The path that a property names, checked, or of a file with what its reference names.

    Raises:
      UsageError: it cannot be read.
    """
    path = plain.get(name)
    if not path:
        return None
    if secrets.is_reference(path):
        text = name == "java.security.krb5.conf"
        get = secrets.resolve_bytes if text else secrets.resolve_binary
        return files.keep(get(name, path))
    secrets.read(name, path)
    return str(Path(path).absolute())


# -- renewal ---------------------------------------------------------------------------------------


class _Renewal:
    """Renews the tickets of a cache before they end, as `kinit -R` does."""

    _PART = 0.8
    _LEAST_S = 5.0
    _AGAIN_S = 60.0
    _running: ClassVar[dict[Kerberos, _Renewal]] = {}

    @classmethod
    def of(cls, kerberos: Kerberos) -> None:
        """Starts the one renewal of a cache in this process."""
        if kerberos not in cls._running and shutil.which("kinit"):
            cls._running[kerberos] = cls(kerberos)

    def __init__(self, kerberos: Kerberos) -> None:
        self._kerberos = kerberos
        threading.Thread(target=self._run, name="ticket renewal", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                left_s = float(self._kerberos.credentials().lifetime)
            except (UsageError, UnavailableError):
                left_s = 0.0
            time.sleep(max(left_s * self._PART, self._LEAST_S) if left_s else self._AGAIN_S)
            if left_s:
                self._renew()

    def _renew(self) -> None:
        cache = ["-c", self._kerberos.ticket_cache] if self._kerberos.ticket_cache else []
        try:
            done = subprocess.run(
                ["kinit", "-R", *cache], capture_output=True, text=True, timeout=_KINIT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            _log.warning("the Kerberos ticket could not be renewed: %s", error)
            return
        if done.returncode:
            reason = " ".join(done.stderr.split())[:200]
            _log.warning(
                "the Kerberos ticket could not be renewed (%s); run kinit before it ends, or use "
                "a keytab",
                reason,
            )
