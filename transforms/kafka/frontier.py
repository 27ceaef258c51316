"""The restriction of the Kafka source: a frontier, how far each partition has been read.

    Frontier({("alerts", 0): 1042, ("alerts", 1): 977}, {"alerts": "nVb2Yd..."})

A shard claims per poll: a claim is the frontier after that poll. Nothing about a frontier is known
in advance (partitions come and go), so a split is possible in one place only: here. What was
claimed is the primary, the rest of the stream the residual.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker

from transforms import reading
from transforms.kafka.client import Partition

_VERSION = 2
_READABLE = (1, _VERSION)


@dataclass(frozen=True)
class Frontier:
    """Next offset per partition; partitions not in it begin where the group or `--start` says.

    Attributes:
      positions: (topic, partition) to next offset.
      topic_ids: topic to the cluster's own id of it, where that is known: a topic that was made
        anew under the same name has another one.
      ended: nothing is to be read beyond these positions.
    """

    positions: Mapping[Partition, int] = field(default_factory=dict)
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    ended: bool = False


class FrontierCoder(Coder):
    """JSON with a version, of which the first had no ids:

        {"v": 2, "ended": false, "positions": [["t", 0, 1042]], "topic_ids": {"t": "nVb2Yd..."}}

    A checkpoint outlives a release of this project, so that the version is checked when decoding.
    """

    def encode(self, value: Frontier) -> bytes:
        positions = sorted([topic, number, at] for (topic, number), at in value.positions.items())
        topics = {topic for topic, _ in value.positions}
        topic_ids = {t: name for t, name in sorted(value.topic_ids.items()) if t in topics}
        state = {
            "v": _VERSION,
            "ended": value.ended,
            "positions": positions,
            "topic_ids": topic_ids,
        }
        return json.dumps(state, separators=(",", ":")).encode()

    def decode(self, encoded: bytes) -> Frontier:
        state = json.loads(encoded)
        if state["v"] not in _READABLE:
            raise ValueError(
                f"decode frontier: version {state['v']}, this release reads {_VERSION}; "
                "resume with the release that wrote the checkpoint"
            )
        positions = {(t, n): at for t, n, at in state["positions"]}
        return Frontier(positions, state.get("topic_ids", {}), state["ended"])

    def is_deterministic(self) -> bool:
        return True


class FrontierTracker(RestrictionTracker):
    """Tracks one shard's frontier. Beam locks it: `try_claim` and `try_split` never overlap.

    Args:
      finite: the reading has an end.
    """

    def __init__(self, frontier: Frontier, finite: bool = False) -> None:
        self._frontier = frontier
        self._finite = finite

    def current_restriction(self) -> Frontier:
        return self._frontier

    def try_claim(self, position: Frontier | None) -> bool:
        """Claims all records below the frontier given, in addition to what is claimed already.

        An empty claim asks whether reading may go on. None ends the restriction: what follows is
        left to the committed offsets.
        """
        at = self._frontier
        if at.ended:
            return False
        if position is None:
            self._frontier = replace(at, ended=True)
        elif position.positions:
            self._frontier = Frontier(
                {**at.positions, **position.positions}, {**at.topic_ids, **position.topic_ids}
            )
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Frontier, Frontier] | None:
        """Only a checkpoint (fraction 0) is possible: a second reader of the same shard would take
        partitions of the first, or find none."""
        if fraction_of_remainder != 0 or self._frontier.ended:
            return None
        residual = self._frontier
        self._frontier = replace(residual, ended=True)
        return self._frontier, residual

    def check_done(self) -> bool:
        if not self._frontier.ended:
            raise ValueError("Kafka source: returned before its frontier had ended")
        return True

    def is_bounded(self) -> bool:
        return self._finite

    def current_progress(self) -> RestrictionProgress:
        return reading.progress(self._frontier.ended)
