"""How far a backfill from Pub/Sub is: not begun, begun, paused (ended in order before it was done),
or done. What of a subscription is left, the service knows.

Kept as a commit of a group of its own for partition 0 of the destination, or in a file.
"""

from __future__ import annotations

from contextlib import closing
from typing import Literal

from pipelines.options import Options
from pipelines.preflight import common
from pipelines.preflight.common import CALL_S, Facts
from transforms.kafka.client import OffsetStore, Partition

Status = Literal["", "begun", "paused", "done"]
_METADATA = "backfill={}"


def load(options: Options, facts: Facts) -> Status:
    """What an earlier run of the same command has left.

    Raises:
      PreflightError, SourceError, UnavailableError: it cannot be read.
    """
    where = _where(options)
    if facts.state:
        found = _file(options, facts).committed([where])
    else:
        with closing(common.open_kafka(options.kafka)) as admin:
            found = admin.commits(_group(options, facts))
    text = found[where].metadata if where in found else ""
    statuses: tuple[Status, ...] = ("begun", "paused", "done")
    return next((s for s in statuses if text == _METADATA.format(s)), "")


def save(options: Options, facts: Facts, status: Status) -> None:
    """Remembers it.

    Raises:
      PreflightError, CommitError: it cannot be written.
    """
    where = _where(options)
    text = {where: _METADATA.format(status)}
    if facts.state:
        _file(options, facts).commit({where: 0}, text)
        return
    with closing(common.open_kafka(options.kafka)) as admin:
        admin.commit(_group(options, facts), {where: 0}, text)


def _where(options: Options) -> Partition:
    return (options.kafka_topic or "archive", 0)


def _group(options: Options, facts: Facts) -> str:
    return f"{options.group_id}-backfill-{facts.name}"


def _file(options: Options, facts: Facts) -> OffsetStore:
    from transforms.kafka.offset_file import OffsetFile

    common.use_files_as(options.impersonate_service_account)
    return OffsetFile(facts.state, _group(options, facts), CALL_S)
