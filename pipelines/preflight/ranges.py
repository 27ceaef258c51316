"""Which offsets a finite run reads of each partition."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pipelines.range_values import StopAt
from pipelines.wanted import Wanted
from transforms.errors import PreflightError
from transforms.kafka.client import Admin, Offsets, Partition
from transforms.ranges import Ranges

PerPartition = Mapping[Partition, Ranges]


def to_stop(
    stop: StopAt, admin: Admin, partitions: Sequence[Partition], now_ms: int
) -> PerPartition:
    """All offsets below `--stop`; partitions that hold none are left out.

    Raises:
      PreflightError: it lies ahead, or its file names what is not there.
    """
    if stop.kind == "timestamp":
        assert stop.timestamp_ms is not None
        _refuse_ahead("--stop", stop.timestamp_ms, now_ms)
        end: Offsets = admin.offsets_for_time(partitions, stop.timestamp_ms)
    elif stop.kind == "offsets":
        end = stop.offsets or {}
        what_to_do = "correct the file of --stop"
        refuse_strangers("stop", end, partitions, what_to_do)
        refuse_outside(admin, "stop", end, what_to_do)
    else:
        end = admin.end_offsets(partitions)
    return {part: Ranges(((0, at - 1),)) for part, at in end.items() if at > 0}


def of_backfill(
    wanted: Wanted, admin: Admin, partitions: Sequence[Partition], now_ms: int
) -> PerPartition:
    """The offsets that a backfill is about; partitions that hold none are left out. A time begins
    and ends at the first record that has it or a later one, as the brokers find it.

    Raises:
      PreflightError: a file names what is not there.
    """
    what_to_do = "correct the file of --offsets, --from or --to"
    for offsets in (wanted.offsets, wanted.from_offsets or {}, wanted.to_offsets or {}):
        refuse_strangers("backfill", offsets, partitions, what_to_do)
    first, end = admin.beginning_offsets(partitions), admin.end_offsets(partitions)
    begin, stop = dict(first), dict(end)
    if wanted.from_ms is not None:
        begin = admin.offsets_for_time(partitions, wanted.from_ms)
    if wanted.to_ms is not None and wanted.to_ms <= now_ms:
        found_at = admin.offsets_for_time(partitions, wanted.to_ms)
        stop = {part: min(at, end[part]) for part, at in found_at.items()}
    begin.update(wanted.from_offsets or {})
    stop.update(wanted.to_offsets or {})
    found = {}
    for part in partitions:
        if wanted.offsets:
            found[part] = wanted.offsets.get(part, Ranges())
        elif _named(part, wanted.from_offsets) and _named(part, wanted.to_offsets):
            found[part] = Ranges().with_spans(_span(begin[part], stop[part]))
        beyond = found.get(part, Ranges()).spans[-1:]
        if beyond and beyond[0][1] >= end[part]:
            raise PreflightError(
                f"backfill {part[0]}/{part[1]}: offset {beyond[0][1]} is not there, the partition "
                f"holds {first[part]} to {end[part]}; {what_to_do}"
            )
    return {part: ranges for part, ranges in found.items() if ranges.spans}


def _named(partition: Partition, offsets: Offsets | None) -> bool:
    return offsets is None or partition in offsets


def _span(begin: int, stop: int) -> list[tuple[int, int]]:
    return [(begin, stop - 1)] if stop > begin else []


def _refuse_ahead(flag: str, timestamp_ms: int, now_ms: int) -> None:
    if timestamp_ms > now_ms:
        raise PreflightError(
            f"{flag}: the time lies ahead, and what there will be until then is not there yet; use "
            "now, or an earlier time"
        )


def refuse_strangers(
    operation: str,
    named: Collection[Partition],
    existing: Collection[Partition],
    what_to_do: str,
) -> None:
    """Refuses partitions of a file that do not exist.

    Raises:
      PreflightError: names the first.
    """
    for topic, number in named:
        if (topic, number) not in existing:
            raise PreflightError(f"{operation} {topic}/{number}: no such partition; {what_to_do}")


def refuse_outside(admin: Admin, operation: str, offsets: Offsets, what_to_do: str) -> None:
    """Refuses offsets that are not there, or not any more.

    Raises:
      PreflightError: names the first, and what the partition holds.
    """
    first, end = admin.beginning_offsets(offsets), admin.end_offsets(offsets)
    wrong = [
        f"{operation} {topic}/{number}: offset {offset} is not there, "
        f"the partition holds {first[topic, number]} to {end[topic, number]}"
        + (
            f"; {offset} to {first[topic, number] - 1} are gone unread"
            if offset < first[topic, number]
            else ""
        )
        for (topic, number), offset in sorted(offsets.items())
        if not first[topic, number] <= offset <= end[topic, number]
    ]
    if wrong:
        more = f" ({len(wrong) - 1} more partitions too)" if len(wrong) > 1 else ""
        raise PreflightError(f"{wrong[0]}{more}; {what_to_do}")
