"""Sets of numbers that lie close together, as text: `0-99,105`. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

Span = tuple[int, int]
"""(first, last), both included"""

_TEXT = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*|", re.ASCII)


@dataclass(frozen=True)
class Ranges:
    """A set of numbers of 0 or more; `str()` is its text, `from_text` the inverse.

    Attributes:
      spans: ascending, with a gap between each two.
    """

    spans: tuple[Span, ...] = ()

    @staticmethod
    def from_text(text: str) -> Ranges:
        """Reads `0-99,105`; the empty text is the empty set.

        Raises:
          ValueError: it is no such text.
        """
        if not _TEXT.fullmatch(text):
            raise ValueError("not of the form 0-99,105")
        spans = []
        for part in text.split(",") if text else ():
            first, _, last = part.partition("-")
            if int(last or first) < int(first):
                raise ValueError(f"{part} runs backwards")
            spans.append((int(first), int(last or first)))
        return Ranges().with_spans(spans)

    def __str__(self) -> str:
        return ",".join(
            f"{first}-{last}" if last > first else str(first) for first, last in self.spans
        )

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.spans, number, key=lambda span: span[0])
        return at > 0 and number <= self.spans[at - 1][1]

    def with_numbers(self, numbers: Iterable[int]) -> Ranges:
        """The set with these added."""
        return self.with_spans((number, number) for number in numbers)

    def with_spans(self, spans: Iterable[Span]) -> Ranges:
        """The set with these added, which may overlap."""
        merged: list[Span] = []
        for first, last in sorted([*self.spans, *spans]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(merged[-1][1], last)
            else:
                merged.append((first, last))
        return Ranges(tuple(merged))

    def first_missing(self, start: int = 0) -> int:
        """The lowest number from `start` on that is not in the set."""
        for first, last in self.spans:
            if first <= start <= last:
                return last + 1
        return start

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(last - first + 1 for first, last in self.spans)

    def between(self, start: int, end: int) -> Ranges:
        """Those from `start` on and below `end`."""
        return Ranges(
            tuple(
                (max(first, start), min(last, end - 1))
                for first, last in self.spans
                if last >= start and first < end
            )
        )

    def beyond(self, number: int) -> Ranges:
        """Those that are greater."""
        return Ranges(
            tuple((max(first, number + 1), last) for first, last in self.spans if last > number)
        )
