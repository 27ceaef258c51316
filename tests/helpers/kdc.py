"""A Kerberos realm of the tests' own: MIT's key distribution centre on a free loopback port.

It needs no root, and touches nothing outside its folder. `KRB5_CONFIG` points programs here.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from pipelines.local.server import LOOPBACK, Server, free_ports
from pipelines.local.status import Say
from transforms.errors import PreflightError

REALM = "TEST.BRIDGE"
SERVICE = "kafka"
_START_TIMEOUT_S = 20.0
_PROBE_TIMEOUT_S = 2.0
_TOOL_TIMEOUT_S = 20.0
# Debian keeps a server's programs off the PATH of most users, Homebrew all of Kerberos.
_FOLDERS = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/opt/krb5/sbin",
    "/opt/homebrew/opt/krb5/bin",
)

# Only TCP, which needs no second try. Nobody's own tickets and keytabs are used by mistake. A short
# clock skew, since a ticket counts for that much longer at the broker.
_KRB5_CONF = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_realm = false
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    clockskew = 30
    forwardable = true
    default_ccache_name = FILE:{folder}/no-tickets
    default_keytab_name = FILE:{folder}/no-keytab
    default_client_keytab_name = FILE:{folder}/no-keytab

[realms]
    {realm} = {{
        kdc = {host}:{port}
    }}

[domain_realm]
    localhost = {realm}
"""

_KDC_CONF = """\
[kdcdefaults]
    kdc_listen = ""
    kdc_tcp_listen = {host}:{port}

[realms]
    {realm} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/kadm5.acl
        max_life = 10h
        max_renewable_life = 7d
    }}

[logging]
    kdc = STDERR
"""


class Kdc(Server):
    """The realm `TEST.BRIDGE`, with `kafka/localhost`; principals are added while it runs.

    Raises:
      PreflightError: from `prepare`, when the programs are not installed.
    """

    name = "Kerberos KDC"

    def __init__(self, folder: Path, say: Say) -> None:
        super().__init__(folder, say, _START_TIMEOUT_S)

    def prepare(self) -> None:
        for program in ("krb5kdc", "kdb5_util", "kadmin.local", "kinit"):
            _find(program)

    @property
    def config(self) -> Path:
        """krb5.conf, of clients and of Java."""
        return self._folder / "krb5.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What leads a client here."""
        return {"KRB5_CONFIG": str(self.config)}

    def add(
        self,
        name: str,
        password: str = "",
        *,
        max_life_s: int = 36_000,
        max_renewable_life_s: int = 604_800,
    ) -> Path:
        """Makes a principal, or makes it anew, and returns its keytab, always at the same path.

        A broker takes `name/instance` for the user `name`: principals of a test's own may share
        that user's ACLs.

        Args:
          password: none by default; then only its keytab logs it in.
          max_life_s, max_renewable_life_s: of its tickets.
        """
        keytab = self._folder / f"{name.replace('/', '-')}.keytab"
        keytab.unlink(missing_ok=True)
        self._kadmin("delprinc", "-force", name, check=False)
        key = ("-pw", password) if password else ("-randkey",)
        lives = (
            "-maxlife",
            f"{max_life_s} seconds",
            "-maxrenewlife",
            f"{max_renewable_life_s} seconds",
        )
        # Without proof of the key the KDC would answer, and count, log-ins that come to nothing.
        self._kadmin("addprinc", *key, *lives, "+requires_preauth", name)
        self._kadmin("ktadd", "-k", str(keytab), "-norandkey", name)
        return keytab

    def remove(self, name: str) -> None:
        """Takes a principal away: it gets no more tickets; those that it has remain good."""
        self._kadmin("delprinc", "-force", name)

    def kinit(
        self, name: str, cache: Path, keytab: Path, *, life_s: int = 36_000, renewable_s: int = 0
    ) -> Path:
        """Puts a ticket into a cache (a file), and returns that."""
        renewable = ["-r", f"{renewable_s}s"] if renewable_s else []
        self._run(
            *("kinit", "-k", "-t", str(keytab), "-c", f"FILE:{cache}", "-l", f"{life_s}s"),
            *renewable,
            self.principal(name),
        )
        return cache

    @staticmethod
    def principal(name: str) -> str:
        """The full name."""
        return f"{name}@{REALM}"

    def logins(self, name: str) -> int:
        """How many log-ins (AS requests) of a principal were granted."""
        return len(self._granted("AS_REQ", name, "krbtgt/"))

    def service_tickets(self, name: str) -> int:
        """How many tickets for the brokers (TGS requests) a principal was granted."""
        return len(self._granted("TGS_REQ", name, f"{SERVICE}/"))

    def renewals(self, name: str) -> int:
        """How many times a principal had its ticket renewed (TGS requests, too)."""
        return len(self._granted("TGS_REQ", name, "krbtgt/"))

    def _granted(self, kind: str, name: str, service: str) -> list[str]:
        pattern = rf"{kind} .* ISSUE: .* {re.escape(self.principal(name))} for {re.escape(service)}"
        return re.findall(pattern, self.log.read_text(errors="replace"))

    def _choose_ports(self) -> None:
        [self.port] = free_ports(1)
        values = {"realm": REALM, "folder": self._folder, "host": LOOPBACK, "port": self.port}
        self.config.write_text(_KRB5_CONF.format(**values))
        (self._folder / "kdc.conf").write_text(_KDC_CONF.format(**values))
        if not (self._folder / "principal").exists():
            self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")

    def _command(self) -> list[str]:
        variables = [f"{name}={value}" for name, value in self._own_environment.items()]
        return ["env", *variables, _find("krb5kdc"), "-n"]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), _PROBE_TIMEOUT_S):
                return True
        except OSError:
            return False

    @property
    def _own_environment(self) -> dict[str, str]:
        return {**self.environment, "KRB5_KDC_PROFILE": str(self._folder / "kdc.conf")}

    def _kadmin(self, *query: str, check: bool = True) -> None:
        self._run("kadmin.local", "-r", REALM, *query, check=check)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        """Runs a program of the realm.

        Raises:
          PreflightError: it failed; the message holds what it said.
        """
        done = subprocess.run(
            [_find(program), *arguments],
            env={**os.environ, **self._own_environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TOOL_TIMEOUT_S,
        )
        # kadmin.local exits with 0 after most failures, and says them on standard error.
        failed = done.returncode or f"{program.partition('.')[0]}: " in done.stderr
        if check and failed:
            said = " ".join((done.stderr + done.stdout).split())
            raise PreflightError(f"{program} {' '.join(arguments)}: {said}")


def _find(program: str) -> str:
    path = os.pathsep.join((*_FOLDERS, os.environ.get("PATH", os.defpath)))
    found = shutil.which(program, path=path)
    if found is None:
        raise PreflightError('krb5-kdc is not installed: run "make kerberos"')
    return found
