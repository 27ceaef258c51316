"""How far a backfill from Pub/Sub is: not begun, begun, writing, paused (ended in order before it
was done), or done. What of a subscription is left, the service knows.

Kept as a commit of a group of its own for partition 0 of the destination, or in a file. One that is
writing has committed there, for each partition, where the destination stood before.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any, Literal

from pipelines import reaching
from pipelines.facts import Facts
from pipelines.options import Options
from pipelines.reaching import CALL_S
from transforms.kafka.client import Offsets, Partition, offsets_of

Status = Literal["", "begun", "writing", "paused", "done"]
_METADATA = "backfill={}"


def load(options: Options, facts: Facts) -> tuple[Status, Offsets]:
    """What an earlier run of the same command has left: its status, and where the destination stood
    when it began to write.

    Raises:
      PreflightError, SourceError, UnavailableError: it cannot be read.
    """
    where = _where(options)
    if facts.state:
        found = _file(options, facts).all()
    else:
        with closing(reaching.open_kafka(options.kafka)) as admin:
            found = admin.committed(_group(options, facts))
    text = found[where].metadata if where in found else ""
    statuses: tuple[Status, ...] = ("begun", "writing", "paused", "done")
    status: Status = next((s for s in statuses if text == _METADATA.format(s)), "")
    return status, offsets_of(found) if status == "writing" else {}


def save(
    options: Options, facts: Facts, status: Status, stands: Mapping[Partition, int] = {}
) -> None:
    """Remembers it.

    Args:
      stands: of one that is writing, where each partition of the destination stands before.
    Raises:
      PreflightError, CommitError: it cannot be written.
    """
    where = _where(options)
    text = {where: _METADATA.format(status)}
    if facts.state:
        _file(options, facts).commit({where: 0, **stands}, text)
        return
    with closing(reaching.open_kafka(options.kafka)) as admin:
        admin.commit(_group(options, facts), {where: 0, **stands}, text)


def _where(options: Options) -> Partition:
    return (options.kafka_topic or "archive", 0)


def _group(options: Options, facts: Facts) -> str:
    return f"{options.group_id}-backfill-{facts.name}"


def _file(options: Options, facts: Facts) -> Any:
    from transforms.kafka.offset_file import OffsetFile

    reaching.use_files_as(options.impersonate_service_account)
    return OffsetFile(facts.state, _group(options, facts), CALL_S)
