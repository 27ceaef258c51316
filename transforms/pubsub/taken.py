"""The restriction of the Pub/Sub source: how many messages a shard has taken, and whether that is
all.

A subscription has no positions. The count tells a bundle that is repeated from one that goes on.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker

from transforms import reading

_VERSION = 1


class Taken(NamedTuple):
    """So many messages have been taken; `ended`: nothing more is."""

    messages: int = 0
    ended: bool = False


class TakenCoder(Coder):
    """JSON with a version, which outlives a release of this project:

    {"v": 1, "messages": 5000, "ended": false}
    """

    def encode(self, value: Taken) -> bytes:
        state = {"v": _VERSION, **value._asdict()}
        return json.dumps(state, separators=(",", ":")).encode()

    def decode(self, encoded: bytes) -> Taken:
        state = json.loads(encoded)
        if state.pop("v") != _VERSION:
            raise ValueError(
                f"decode what was taken: {encoded[:40]!r}, this release reads version {_VERSION}; "
                "resume with the release that wrote the checkpoint"
            )
        return Taken(**state)

    def is_deterministic(self) -> bool:
        return True


class TakenTracker(RestrictionTracker):
    """Tracks one shard. Beam locks it: `try_claim` and `try_split` never overlap.

    Args:
      finite: the reading has an end.
    """

    def __init__(self, taken: Taken, finite: bool = False) -> None:
        self._taken = taken
        self._finite = finite

    def current_restriction(self) -> Taken:
        return self._taken

    def try_claim(self, position: int | None) -> bool:
        """Claims so many messages more; none asks whether reading may go on, None ends it."""
        if self._taken.ended:
            return False
        if position is None:
            self._taken = self._taken._replace(ended=True)
        else:
            self._taken = Taken(self._taken.messages + position)
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Taken, Taken] | None:
        """Only a checkpoint (fraction 0) is possible."""
        if fraction_of_remainder != 0 or self._taken.ended:
            return None
        residual = self._taken
        self._taken = residual._replace(ended=True)
        return self._taken, residual

    def check_done(self) -> bool:
        if not self._taken.ended:
            raise ValueError("Pub/Sub source: returned while its subscription was open")
        return True

    def is_bounded(self) -> bool:
        return self._finite

    def current_progress(self) -> RestrictionProgress:
        return reading.progress(self._taken.ended)
