"""Reading Java `.properties` files."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse_properties(text: str) -> dict[str, str]:
    """Reads the text of a `.properties` file: comments, continuation lines, escapes.

    Raises:
      ValueError: an escape is broken; names its line.
    Source: https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html#load-java.io.Reader-
    """
    properties: dict[str, str] = {}
    for number, line in _logical_lines(text):
        key, value = _split(line)
        try:
            properties[_unescape(key)] = _unescape(value)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}; write a backslash twice") from None
    return properties


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined, without blanks and comments; numbers begin at 1."""
    lines = iter(enumerate(re.split(r"\r\n|\n|\r", text), start=1))
    for number, line in lines:
        logical = line.lstrip(" \t\f")
        if not logical or logical[0] in "#!":
            continue
        while _ends_with_backslash(logical):
            _, following = next(lines, (0, ""))
            logical = logical[:-1] + following.lstrip(" \t\f")
        yield number, logical


def _ends_with_backslash(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(line: str) -> tuple[str, str]:
    """The key ends at the first `=`, `:` or blank that no backslash precedes."""
    match = re.match(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", line, re.DOTALL)
    assert match is not None
    return match[1], match[2]


def _unescape(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] is not None:
            return chr(int(match[1], 16))
        if match[2] == "u":
            raise ValueError("\\u needs four hexadecimal digits")
        return _ESCAPES.get(match[2], match[2])

    unescaped = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", replace, text, flags=re.DOTALL)
    try:  # Java's characters are halves where they are beyond \uffff
        return unescaped.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError("\\u gives one half of a character; give both") from None
