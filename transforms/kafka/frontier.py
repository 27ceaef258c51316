"""The restriction of the Kafka source: a frontier, how far each partition has been read.

    Frontier({("alerts", 0): 1042, ("alerts", 1): 977})

A shard claims per poll: a claim is the frontier after that poll. Nothing about a frontier is known
in advance (partitions come and go), so a split is possible in one place only: here. What was
claimed is the primary, the rest of the stream the residual.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker

from transforms.kafka.client import Partition

_VERSION = 1


@dataclass(frozen=True)
class Frontier:
    """Next offset per partition; partitions not in it begin where the group or `--start` says.

    Attributes:
      positions: (topic, partition) to next offset.
      ended: nothing is to be read beyond these positions.
    """

    positions: Mapping[Partition, int] = field(default_factory=dict)
    ended: bool = False


class FrontierCoder(Coder):
    """JSON with a version: `{"v": 1, "ended": false, "positions": [["topic", 0, 1042]]}`.

    A checkpoint outlives a release of this project, so that the version is checked when decoding.
    """

    def encode(self, value: Frontier) -> bytes:
        positions = sorted([topic, number, at] for (topic, number), at in value.positions.items())
        state = {"v": _VERSION, "ended": value.ended, "positions": positions}
        return json.dumps(state, separators=(",", ":")).encode()

    def decode(self, encoded: bytes) -> Frontier:
        state = json.loads(encoded)
        if state["v"] != _VERSION:
            raise ValueError(
                f"decode frontier: version {state['v']}, this release reads {_VERSION}; "
                "resume with the release that wrote the checkpoint"
            )
        return Frontier({(t, n): at for t, n, at in state["positions"]}, state["ended"])

    def is_deterministic(self) -> bool:
        return True


class FrontierTracker(RestrictionTracker):
    """Tracks one shard's frontier. Beam locks it: `try_claim` and `try_split` never overlap."""

    def __init__(self, frontier: Frontier) -> None:
        self._frontier = frontier

    def current_restriction(self) -> Frontier:
        return self._frontier

    def try_claim(self, position: Mapping[Partition, int] | None) -> bool:
        """Claims all records below the positions given, in addition to what is claimed already.

        An empty claim asks whether reading may go on. None ends the restriction: what follows is
        left to the committed offsets.
        """
        if self._frontier.ended:
            return False
        if position is None:
            self._frontier = Frontier(self._frontier.positions, ended=True)
        elif position:
            self._frontier = Frontier({**self._frontier.positions, **position})
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Frontier, Frontier] | None:
        """Only a checkpoint (fraction 0) is possible: a second reader of the same shard would take
        partitions of the first, or find none."""
        if fraction_of_remainder != 0 or self._frontier.ended:
            return None
        residual = self._frontier
        self._frontier = Frontier(residual.positions, ended=True)
        return self._frontier, residual

    def check_done(self) -> bool:
        if not self._frontier.ended:
            raise ValueError("Kafka source: returned before its frontier had ended")
        return True

    def is_bounded(self) -> bool:
        return False

    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(completed=1.0, remaining=0.0 if self._frontier.ended else 1.0)


def json_offsets(positions: Mapping[Partition, int]) -> dict[str, dict[str, int]]:
    """`{"topic": {"0": 1042}}`: the form of `--start=offsets=FILE` and of reports."""
    found: dict[str, Any] = {}
    for (topic, number), offset in sorted(positions.items()):
        found.setdefault(topic, {})[str(number)] = offset
    return found
