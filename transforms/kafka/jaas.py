"""JAAS: how Java's Kafka clients are told their log-in, in a property or in a file of its own.

    sasl.jaas.config=org.apache...ScramLoginModule required username="u" password="p";

    KafkaClient {
        com.sun.security.auth.module.Krb5LoginModule required keyTab="k" principal="p";
    };

What is understood becomes properties, by the names that librdkafka has for the same things.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

SECTION = "KafkaClient"
"""The section of a JAAS file that Kafka's clients read."""

_TOKEN = re.compile(
    r"""(?P<gap>\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)
    |"(?P<quoted>(?:\\.|[^"\\])*)"
    |'(?P<single>(?:\\.|[^'\\])*)'
    |(?P<sign>[{};=])
    |(?P<word>[^\s{};="']+)""",
    re.DOTALL | re.VERBOSE,
)
_CONTROL_FLAGS = ("required", "requisite", "sufficient", "optional")
_ESCAPE = re.compile(r"\\(?:([0-3][0-7]{0,2}|[4-7][0-7]?)|(.))", re.DOTALL)
_QUOTED_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
"""As Java's `StreamTokenizer` has them."""


class LoginModule(NamedTuple):
    """One entry: the Java class, by its last name, and its options."""

    name: str
    options: Mapping[str, str]


class Understood(NamedTuple):
    """What an entry says: its login module, and client properties."""

    module: str
    properties: dict[str, str]


def is_jaas_file(text: str) -> bool:
    """Whether a file's text has the form `NAME { ... };`, and not that of properties."""
    try:
        tokens = [token for _, token in zip(range(2), _tokens(text), strict=False)]
    except ValueError:
        return False
    return len(tokens) == 2 and tokens[0][0] == "word" and tokens[1] == ("sign", "{")


def understand_file(text: str) -> Understood:
    """What the section `KafkaClient` of a JAAS file says.

    Raises:
      ValueError: the file is broken, has no such section, or says what cannot be done here.
    """
    reader = _Reader(text)
    sections = {}
    while not reader.at_end:
        name = reader.name("the name of a section")
        reader.sign("{")
        modules = []
        while not reader.take_sign("}"):
            modules.append(reader.module())
        reader.take_sign(";")
        sections[name] = modules
    if SECTION not in sections:
        first = next(iter(sections), "nothing")
        raise ValueError(f"no section {SECTION}; the first one is {first}")
    return _understood(sections[SECTION])


def understand(text: str) -> Understood:
    """What the value of `sasl.jaas.config` says; errors as above."""
    reader = _Reader(text)
    modules = []
    while not reader.at_end:
        modules.append(reader.module())
    return _understood(modules)


# -- reading ---------------------------------------------------------------------------------------


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError("a quotation mark is not closed")
        position = match.end()
        kind = str(match.lastgroup)
        if kind in ("quoted", "single"):
            yield "quoted", _ESCAPE.sub(_unescaped, match[kind])
        elif kind != "gap":
            yield kind, match[kind]


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 8))
    return _QUOTED_ESCAPES.get(match[2], match[2])


class _Reader:
    """Takes tokens one by one; its errors show words of this module's own vocabulary alone, since
    any other may be a password, or a part of one that a quotation mark was forgotten around."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0
        self._last_name = "the beginning"

    @property
    def at_end(self) -> bool:
        return self._next == len(self._tokens)

    def take_sign(self, sign: str) -> bool:
        """Takes this sign if it is next."""
        found = not self.at_end and self._tokens[self._next] == ("sign", sign)
        self._next += found
        return found

    def sign(self, sign: str) -> None:
        if not self.take_sign(sign):
            raise ValueError(f"expected '{sign}' after {_shown(self._last_name)}")

    def name(self, what: str) -> str:
        self._last_name = self._take(what, ("word",))
        return self._last_name

    def value(self) -> str:
        return self._take("a value", ("word", "quoted"))

    def module(self) -> LoginModule:
        """`CLASS FLAG NAME=VALUE ... ;`"""
        name = self.name("a login module")
        if self._take("'required'", ("word",)).lower() not in _CONTROL_FLAGS:
            raise ValueError(f"expected 'required' after {_shown(name)}")
        options = {}
        while not self.take_sign(";"):
            option = self.name("an option, or ';' at the end,")
            self.sign("=")
            options[option] = self.value()
        return LoginModule(name.rpartition(".")[2], options)

    def _take(self, what: str, kinds: tuple[str, ...]) -> str:
        if self.at_end or self._tokens[self._next][0] not in kinds:
            raise ValueError(f"expected {what} after {_shown(self._last_name)}")
        self._next += 1
        return self._tokens[self._next - 1][1]


# -- meaning ---------------------------------------------------------------------------------------

_PASSWORD = {"username": "sasl.username", "password": "sasl.password"}

_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "PlainLoginModule": _PASSWORD,
    "ScramLoginModule": _PASSWORD,
    "OAuthBearerLoginModule": {
        "clientId": "sasl.oauthbearer.client.id",
        "clientSecret": "sasl.oauthbearer.client.secret",
        "scope": "sasl.oauthbearer.scope",
    },
    "Krb5LoginModule": {
        "keyTab": "sasl.kerberos.keytab",
        "principal": "sasl.kerberos.principal",
        "serviceName": "sasl.kerberos.service.name",
        "ticketCache": "sasl.kerberos.ticket.cache",
        **dict.fromkeys(
            (
                "client",
                "debug",
                "doNotPrompt",
                "isInitiator",
                "refreshKrb5Config",
                "renewTGT",
                "storeKey",
                "storeKeyTab",
                "useKeyTab",
                "useTicketCache",
            ),
            "",
        ),
    },
}
"""The property that each option of a login module is; none where there is nothing to decide."""

MECHANISMS: Mapping[str, tuple[str, ...]] = {
    "PlainLoginModule": ("PLAIN",),
    "ScramLoginModule": ("SCRAM-SHA-256", "SCRAM-SHA-512"),
    "OAuthBearerLoginModule": ("OAUTHBEARER",),
    "Krb5LoginModule": ("GSSAPI",),
}
"""The mechanisms that a login module is good for."""

_EXTENSION = "extension_"

PROPERTIES = frozenset(
    {name for names in _OPTIONS.values() for name in names.values() if name}
    | {"sasl.oauthbearer.extensions"}
)
"""All properties that a login module may give."""

_WORDS = {"the beginning", SECTION, *(option for names in _OPTIONS.values() for option in names)}
_CLASS = re.compile(r"[A-Za-z_][\w.$]*LoginModule")


def _shown(word: str) -> str:
    """A word, if it is known to be none of a password's."""
    return word if word in _WORDS or _CLASS.fullmatch(word) else "a word that is not shown"


def _understood(modules: list[LoginModule]) -> Understood:
    if len(modules) != 1:
        raise ValueError(f"expected one login module, got {len(modules)}")
    [(name, options)] = modules
    if name not in _OPTIONS:
        raise ValueError(f"{_shown(name)} is not understood, only {', '.join(_OPTIONS)}")
    names = _OPTIONS[name]
    found = {names[o]: value for o, value in options.items() if names.get(o)}
    extensions = [
        f"{option.removeprefix(_EXTENSION)}={value}"
        for option, value in options.items()
        if option.startswith(_EXTENSION)
    ]
    if extensions:
        found["sasl.oauthbearer.extensions"] = ",".join(extensions)
    if any(o not in names and not o.startswith(_EXTENSION) for o in options):
        understood = ", ".join(names)
        raise ValueError(f"{name}: an option is not understood (not shown), only {understood}")
    if name == "Krb5LoginModule" and options.get("useKeyTab", "").lower() == "false":
        found.pop("sasl.kerberos.keytab", None)
    return Understood(name, found)
