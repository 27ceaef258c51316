"""The form of the tables that say what becomes of a setting, and how they are applied."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from pipelines.migrate.settings import Draft, Kind, Settings


class Row(NamedTuple):
    """What becomes of one setting.

    Attributes:
      text: what there is to say of it; empty where the flag says all.
      flag: the flag that has its value, a number, divided by `divisor`; or none.
      at_least, at_most: what the flag takes.
    """

    kind: Kind
    text: str = ""
    flag: str = ""
    divisor: int = 1
    at_least: float = 0
    at_most: float = math.inf


Table = Mapping[str, Row]


def lacks(text: str) -> Row:
    """A setting without an equivalent."""
    return Row(Kind.LACKS, text)


def differs(text: str) -> Row:
    """A setting whose place something else takes."""
    return Row(Kind.DIFFERS, text)


def same(text: str) -> Row:
    """A setting of which nothing is needed."""
    return Row(Kind.SAME, text)


def apply(draft: Draft, settings: Settings, table: Table) -> None:
    """Takes every setting that stands in the table.

    Raises:
      UsageError: a value is no number where its flag wants one.
    """
    for name in settings.left():
        row = table.get(name)
        if row is None:
            continue
        if row.flag:
            set_number(draft, settings, name, row)
        if row.text:
            draft.note(row.kind, row.text, settings, name)


def set_number(draft: Draft, settings: Settings, name: str, row: Row) -> None:
    """Sets a row's flag from a setting, within what the flag takes.

    Raises:
      UsageError: the value is no number.
    """
    value = number(settings, name) / row.divisor
    fitting = min(max(value, row.at_least), row.at_most)
    if fitting != value:
        text = f"--{row.flag} takes {_text(row.at_least)} to {_text(row.at_most)}; it is set to "
        draft.note(Kind.DIFFERS, text + _text(fitting), settings, name)
    draft.flag(row.flag, _text(fitting), settings, name)


def number(settings: Settings, name: str) -> int:
    """A setting's value as a whole number.

    Raises:
      UsageError: it is none.
    """
    text = settings.peek(name)
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise settings.error(name, "is not a whole number; correct it")
    return int(text)


def boolean(settings: Settings, name: str) -> bool:
    """A setting's value as Connect reads it; false where it is not set.

    Raises:
      UsageError: it is neither true nor false.
    """
    text = settings.peek(name).lower()
    if text not in ("true", "false", ""):
        raise settings.error(name, "is neither true nor false; correct it")
    return text == "true"


def _text(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
