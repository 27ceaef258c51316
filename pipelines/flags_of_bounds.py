"""Flags: where a run begins, when it stops, what a backfill is about.

See `pipelines.flags.Flag` for what a declaration holds.
"""

# ruff: noqa: RUF009  # flag() and choice() return dataclass fields
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines import flag_values as values
from pipelines import range_values as ranges
from pipelines.flag_values import SeekTo, StartAt
from pipelines.flags import (
    BACKFILL,
    BACKFILL_RUNNERS,
    LIVE_KAFKA,
    LIVE_PUBSUB,
    ONE_MACHINE,
    PIPELINES,
    PORTABLE_RUNNERS,
    READS_KAFKA,
    choice,
    flag,
    where,
)
from pipelines.range_values import RangeEnd, StopAt
from transforms.kafka.client import Partition
from transforms.ranges import Ranges

BEGIN = "where to begin"
END = "when to stop"
WHAT = "what is backfilled"


@dataclass(frozen=True, kw_only=True)
class BoundFlags:
    """The flags, each under its own name."""

    start: StartAt = flag(
        StartAt("earliest"),
        "Where a partition without a committed offset begins; a restart goes on from its commits "
        "whatever this says.",
        default_text="earliest",
        group=BEGIN,
        where=LIVE_KAFKA,
        side="reads kafka",
        parse=values.start_at,
        metavar="earliest|latest|timestamp=RFC3339|offsets=FILE",
    )
    reset_offsets: bool = flag(
        False,
        "Apply --start to all partitions, once, before reading; refused while the group has "
        "members.",
        group=BEGIN,
        where=LIVE_KAFKA,
        side="reads kafka",
        parse=values.boolean,
        template="BOOLEAN",
    )
    seek: SeekTo | None = flag(
        None,
        "Move the subscription, for every one of its readers, once, before reading; not for "
        "services that restart.",
        group=BEGIN,
        where=LIVE_PUBSUB,
        side="reads pubsub",
        parse=values.seek_to,
        metavar="now|timestamp=RFC3339|snapshot=NAME",
    )

    on_offset_gap: Literal["fail", "continue"] = choice(
        "fail",
        "What follows when offsets that should be read next are gone (retention, a truncated log, "
        "a topic that was deleted or made anew): an error that says which; or going on at the next "
        "one that exists, with those that are gone counted as offsets_lost.",
        "fail",
        "continue",
        group=BEGIN,
        where=READS_KAFKA,
        side="reads kafka",
    )

    stop: StopAt | None = flag(
        None,
        "Stop each partition before this: what is there at the start, the first record of that "
        "time or later, or that offset; partitions that a file does not name are not read. Such a "
        "run is finite, and does not join its group. night_end: go on until the night in which the "
        "run began is over, and what --kafka_topics name after it and the nights before is read "
        "to its end.",
        form_help="Stop each partition before this: what is there at the start, the first record "
        "of that time or later, or that offset; partitions that a file does not name are not read. "
        "Such a run is a batch job, and does not join its group.",
        group=END,
        where=LIVE_KAFKA,
        side="reads kafka",
        parse=ranges.stop_at,
        metavar="now|timestamp=RFC3339|offsets=FILE|night_end",
    )
    max_messages: int | None = flag(
        None,
        "Stop after N messages; never takes more than N from the source.",
        group=END,
        where=ONE_MACHINE,
        parse=values.whole_number,
        metavar="N",
        template="NUMBER",
    )
    max_seconds: float | None = flag(
        None,
        "Stop after so many seconds.",
        group=END,
        where=ONE_MACHINE,
        parse=values.number(),
        metavar="S",
        template="NUMBER",
    )
    idle_seconds: float | None = flag(
        None,
        "Stop after so many seconds without a message; counted while partitions are assigned, and "
        "no topic of tonight is awaited. A backfill from Pub/Sub: 10, and one to it that goes on "
        "after a kill, which looks that long at what is there already.",
        group=END,
        where={**ONE_MACHINE, **where(BACKFILL, runners=BACKFILL_RUNNERS)},
        parse=values.number(),
        metavar="S",
        template="NUMBER",
    )
    stop_file: str = flag(
        "",
        "Stop when there is this file, which this command makes when it is told to stop, and "
        "removes at its start: the workers see it, where no signal reaches them. One a bridge.",
        group=END,
        where=where(*PIPELINES, runners=PORTABLE_RUNNERS),
        parse=values.shared_file,
        metavar="FILE|gs://...|s3://...",
    )

    # -- what is backfilled
    night: str = flag(
        "",
        "The night of this date, or yesterday, or -N: N nights before this one. Of --kafka_topics "
        "with a date in them the topics of that night, of others its time.",
        group=WHAT,
        where=where(BACKFILL),
        parse=ranges.night,
        metavar="YYYY-MM-DD|today|yesterday|-N",
    )
    from_at: RangeEnd | None = flag(
        None,
        "What has this time or a later one (Kafka's timestamp, Pub/Sub's publish time), or is at "
        "these offsets or later.",
        name="from",
        default_text="all that still exists",
        group=WHAT,
        where=where(BACKFILL),
        parse=ranges.range_end,
        metavar="RFC3339|offsets=FILE",
    )
    to_at: RangeEnd | None = flag(
        None,
        "What is before this time, or before these offsets.",
        name="to",
        default_text="what is there when the backfill begins",
        group=WHAT,
        where=where(BACKFILL),
        parse=ranges.range_end,
        metavar="RFC3339|offsets=FILE",
    )
    offsets: Mapping[Partition, Ranges] = flag(
        {},
        "Only these offsets: JSON such as "
        '{"alerts": {"0": "100-199,250"}}, which --missing of the audit writes.',
        form_help='A file with the offsets, and no others: JSON such as {"alerts": {"0": '
        '"100-199,250"}}, as the audit writes what is missing.',
        group=WHAT,
        where=where(BACKFILL),
        parse=ranges.offset_ranges,
        metavar="FILE|gs://...|s3://...",
        template="GCS_READ_FILE",
    )
    state: str = flag(
        "",
        "File that remembers what is done, in place of commits of a group of its own, "
        "GROUP_ID-backfill-HASH.",
        default_text="with --from_archive _backfill/HASH.json in it",
        group=WHAT,
        where=where(BACKFILL),
        parse=values.file_url,
        metavar="FILE|gs://...|s3://...",
        template="GCS_WRITE_FILE",
    )
    force: bool = flag(
        False,
        "Repeat what is done already.",
        group=WHAT,
        where=where(BACKFILL),
        parse=values.boolean,
        template="BOOLEAN",
    )
    dry_run: bool = flag(
        False,
        "Say what would be moved, and move nothing.",
        beams_too=True,
        group=WHAT,
        where=where(BACKFILL),
        parse=values.boolean,
        template="",
    )
