"""Text of others (a broker's words, a header's name) made fit for a terminal and a log. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with a mark in place of each character that could move a cursor, forge a line or
    turn the reading direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def one_line(text: str) -> str:
    """All of it on one printable line."""
    return printable(" ".join(line.strip() for line in text.splitlines()))
