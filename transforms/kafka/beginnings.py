"""Where the reading of a partition begins, of all that may say so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from transforms.kafka.client import Committed, Offsets, Partition
from transforms.kafka.frontier import Frontier
from transforms.kafka.topic_ids import differ, from_metadata


class Beginning(NamedTuple):
    """Where a partition begins.

    Attributes:
      offset: None for the first one that exists.
      committed: the group has committed this offset.
      outdated: the offset that would have been it, if it were not of a topic of the same name that
        was deleted.
    """

    offset: int | None
    committed: bool = False
    outdated: int | None = None


def beginnings(
    partitions: Iterable[Partition],
    frontier: Frontier,
    committed: Mapping[Partition, Committed],
    start: Offsets,
    ids_at_first: Mapping[str, str],
    ids: Mapping[str, str],
) -> dict[Partition, Beginning]:
    """At the frontier, else at the committed offset, else at `start`, else at the first offset.

    Args:
      frontier: of the runner's checkpoint.
      start: the resolved `--start`, which is about the topics as the run found them.
      ids_at_first: what the topics' ids were when `start` was resolved, as far as is known.
      ids: what they are now.
    """
    found = {}
    for part in partitions:
        topic_id = ids.get(part[0], "")
        if part in frontier.positions:
            beginning = Beginning(frontier.positions[part])
            of = frontier.topic_ids.get(part[0], "")
        elif part in committed:
            beginning = Beginning(committed[part].offset, committed=True)
            of = from_metadata(committed[part].metadata)
        else:
            same = not differ(ids_at_first.get(part[0], ""), topic_id)
            beginning = Beginning(start.get(part) if same else None)
            of = topic_id
        if differ(of, topic_id):
            beginning = Beginning(None, outdated=beginning.offset)
        found[part] = beginning
    return found
