"""A dead letter in more than one Pub/Sub message; `transforms.dead_letters.pubsub` has the format.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from transforms.identity import number
from transforms.records import PubsubRecord

ID, PART, PARTS = "dead_letter.id", "dead_letter.part", "dead_letter.parts"


def letter_id(message: PubsubRecord) -> str:
    """What all messages of a letter have in common."""
    return message.attributes.get(ID, message.message_id)


class Parts:
    """Puts letters together whose parts come in any order, some of them again."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, PubsubRecord]] = {}

    def whole(self, message: PubsubRecord) -> list[PubsubRecord] | None:
        """All messages of a letter, in order; None while parts of it are missing.

        Raises:
          ValueError: a part that cannot be one.
        """
        if ID not in message.attributes:
            return [message]
        part, of = (number(message.attributes.get(name, "")) for name in (PART, PARTS))
        if not 1 <= part <= of:
            raise ValueError(f"its {PART} and {PARTS} do not go together")
        parts = self._parts.setdefault(letter_id(message), {})
        parts[part] = message
        if len(parts) < of:
            return None
        return [found for _, found in sorted(self._parts.pop(letter_id(message)).items())]

    def incomplete(self) -> Iterator[tuple[str, int, str]]:
        """Letters of which parts are missing: their ids, how many came, and of how many."""
        for name, parts in self._parts.items():
            yield name, len(parts), next(iter(parts.values())).attributes[PARTS]
