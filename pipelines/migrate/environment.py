"""Files of environment variables, as Connect's container images are configured with. Pure.

CONNECT_BOOTSTRAP_SERVERS=broker:9092         bootstrap.servers
export CONNECT_SASL_JAAS_CONFIG='...'         sasl.jaas.config
KAFKA_OPTS=-Djava.security.auth.login.config=kafka_client_jaas.conf
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

PREFIX = "CONNECT_"

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_TELLING = re.compile(r"CONNECT_|KAFKA_OPTS$")
_SIGNS = {1: ".", 2: "_", 3: "-"}


def variables(text: str) -> dict[str, str] | None:
    """The variables of a file; None if it is no file of variables for Connect.

    A value may stand in quotation marks, as a shell wants it.
    """
    found: dict[str, str] = {}
    for line in _lines(text):
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        found[match[1]] = _unquoted(match[2].strip())
    return found if any(_TELLING.match(name) for name in found) else None


def setting(variable: str) -> str:
    """The setting that a variable stands for: `CONNECT_A_B__C___D` is `a.b_c-d`; or the variable
    itself, if it is none of Connect's.

    Source: https://docs.confluent.io/platform/current/installation/docker/config-reference.html
    """
    if not variable.startswith(PREFIX):
        return variable
    return re.sub("_+", _sign, variable.removeprefix(PREFIX)).lower()


def java_properties(kafka_opts: str) -> Mapping[str, str] | None:
    """The options of `KAFKA_OPTS`: `-DNAME=VALUE` by NAME, others as they are with no value.

    Returns:
      None where quotation marks are not closed.
    """
    try:
        words = shlex.split(kafka_opts)
    except ValueError:
        return None
    parts = [word.removeprefix("-D").partition("=") for word in words]
    return {name: value for name, _, value in parts}


def _lines(text: str) -> Iterator[str]:
    """Lines without blanks and comments; one that ends in a backslash goes on in the next."""
    for line in re.sub(r"\\\r?\n", "", text).splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield stripped


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r'\\(["\\$`])', r"\1", value[1:-1])
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    return value


def _sign(underscores: re.Match[str]) -> str:
    return _SIGNS.get(len(underscores[0]), underscores[0])
