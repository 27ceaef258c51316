"""Secrets by reference: a setting names the place of its value, which is fetched where it is used.

    env:NAME                                 an environment variable
    file:PATH                                the content of a file, without the newline at its end
    secret:projects/P/secrets/S/versions/V   Google Secret Manager

What travels to workers, into job graphs and logs is the reference. A secret that a file of settings
spells out is held by this process (`hold`), and what travels is a name for it that says nothing
elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from pathlib import Path

from transforms.errors import UsageError

_held: dict[str, str] = {}

_REFERENCE = re.compile(r"(env|file|secret|held):(.*)", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VERSION = re.compile(r"projects/[^/\s]+(/locations/[^/\s]+)?/secrets/[^/\s]+/versions/[^/\s]+")
_MAX_BYTES = 1_000_000
"""Above any secret, keytab or certificate; a file that is larger is the wrong one."""


def is_reference(text: str) -> bool:
    """Whether a text names the place of a value, and is not the value."""
    return _REFERENCE.match(text) is not None


def is_held(text: str) -> bool:
    """Whether a text names a value that only this process knows."""
    return text.startswith("held:")


def check(text: str) -> None:
    """Checks the form of a reference; looks at nothing.

    Raises:
      ValueError: says what would be right.
    """
    kind, place = _split(text)
    if kind == "env" and not _VARIABLE.fullmatch(place):
        raise ValueError("expected env:NAME with the name of an environment variable")
    if kind == "file" and not place:
        raise ValueError("expected file:PATH")
    if kind == "secret" and not _VERSION.fullmatch(place):
        raise ValueError("expected secret:projects/P/secrets/S/versions/V, such as .../latest")


def hold(value: str) -> str:
    """Keeps a secret in this process; returns the reference that stands for it here."""
    if value not in _held.values():
        _held[secrets.token_hex(8)] = value
    return "held:" + next(name for name, held in _held.items() if held == value)


def resolve(name: str, reference: str) -> str:
    """The text that a reference names.

    Args:
      name: the setting that it is for, for messages.
    Raises:
      UsageError: it cannot be had, or is no text.
    """
    try:
        text = resolve_bytes(name, reference).decode()
    except UnicodeDecodeError:
        raise UsageError(f"{name}: what {shown(reference)} names is not text") from None
    return text.removesuffix("\n").removesuffix("\r")


def resolve_bytes(name: str, reference: str) -> bytes:
    """The bytes that a reference names; arguments and errors as of `resolve`."""
    kind, place = _split(reference)
    if kind == "env":
        value = os.environ.get(place)
        if not value:
            raise UsageError(f"{name}: the environment variable {place} is not set; set it here")
        return value.encode()
    if kind == "file":
        return read(name, place)
    if kind == "secret":
        from transforms.secret_manager import fetch  # Google's client takes a second to import

        return fetch(name, place)
    value = _held.get(place)
    if value is None:
        raise UsageError(
            f"{name}: it is known only to the process that read it; use env:, file: or secret:"
        )
    return value.encode()


def resolve_binary(name: str, reference: str) -> bytes:
    """As `resolve_bytes`, for what is not text: an environment variable holds it in base64.

    Raises:
      UsageError: it cannot be had, or the variable's value is not base64.
    """
    content = resolve_bytes(name, reference)
    if not reference.startswith("env:"):
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        raise UsageError(
            f"{name}: the value of {shown(reference)} is not base64, which a binary file has to be "
            "in an environment variable"
        ) from None


def read(name: str, path: str) -> bytes:
    """The content of a file of at most 1 MB.

    Raises:
      UsageError: it cannot be read, is no regular file, is empty, or is larger.
    """
    try:
        if not Path(path).is_file() and Path(path).exists():
            raise UsageError(f"{name}: {path} is not a regular file")
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{name}: cannot read {path}: {reason}") from None
    if not content:
        raise UsageError(f"{name}: {path} is empty")
    if len(content) > _MAX_BYTES:
        raise UsageError(f"{name}: {path} is larger than {_MAX_BYTES} bytes; is it the right file?")
    return content


def shown(reference: str) -> str:
    """A reference as people may see it."""
    return "a literal value" if is_held(reference) else reference


def _split(reference: str) -> tuple[str, str]:
    match = _REFERENCE.match(reference)
    if match is None:
        raise ValueError("expected env:NAME, file:PATH or secret:projects/P/secrets/S/versions/V")
    return match[1], match[2]
