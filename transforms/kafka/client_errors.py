"""What both Kafka clients say of the same trouble, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from transforms.errors import (
    DeliveryError,
    OffsetGapError,
    PreflightError,
    RefusedError,
    SourceError,
    UnavailableError,
)
from transforms.kafka.client import Partition
from transforms.records import KafkaRecord

_Watermarks = Callable[[Iterable[Partition]], Mapping[Partition, tuple[int, int]]]


def part_names(partitions: Iterable[Partition]) -> str:
    """`topic/0, topic/1`, and how many more."""
    names = [f"{topic}/{number}" for topic, number in partitions]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


# -- reading ---------------------------------------------------------------------------------------


def no_beginning(partitions: Iterable[Partition]) -> SourceError:
    """The listener did not say of each partition that it got where to begin."""
    return SourceError(f"begin {part_names(partitions)}: no offset for each of them")


def asked_in_vain(error: PreflightError) -> SourceError:
    """What an admin client did not get while something is read: `UnavailableError` where asking
    again may help."""
    cause = error.__cause__
    again = isinstance(cause, TimeoutError) or getattr(cause, "retriable", False)
    return (UnavailableError if again else SourceError)(str(error))


def not_assigned(partitions: Iterable[Partition]) -> SourceError:
    """Partitions were sought that the consumer does not own."""
    return SourceError(f"seek {part_names(partitions)}: not assigned")


def offset_gap(
    where: Partition, offset: int, watermarks: _Watermarks, cut_at: int | None = None
) -> OffsetGapError:
    """The next offset does not exist; asks for those that do, and can do without the answer.

    Args:
      cut_at: where the brokers say that the log was truncated.
    """
    gone = resume = offset
    if cut_at is not None and cut_at < offset:
        what = (
            f"the brokers took back offsets {cut_at} to {offset - 1}, read already: the log was cut"
        )
        resume = cut_at
    else:
        try:
            first, end = watermarks([where])[where]
        except SourceError:
            what = f"offset {offset} does not exist"
        else:
            resume = first
            if offset < first:
                what = (
                    f"offsets {offset} to {first - 1} no longer exist: retention or deletion took "
                    "them before they were read"
                )
                gone = first
            else:
                what = f"offset {offset} is past the end: the log was cut (it ends at {end} now)"
    return OffsetGapError(f"read {part_names([where])}: {what}", *where, offset, gone, resume)


def topic_deleted(
    where: Partition, offset: int, unread: int | None, made_anew_at: int | None = None
) -> OffsetGapError:
    """A topic was deleted before it was read to its end.

    Args:
      offset: its next one.
      unread: how many records were left; None if that is not known.
      made_anew_at: the first offset of the topic that has the same name now, if there is one.
    """
    end = offset + (unread or 0)
    held = f"what it held from offset {offset} " + (
        "on is gone, read or not" if unread is None else f"to {end - 1} is gone unread"
    )
    if unread == 0:
        held = f"it had been read to its end, {offset}"
    again = "" if made_anew_at is None else " and made again"
    return OffsetGapError(
        f"read {part_names([where])}: the topic was deleted{again}; {held}",
        *where,
        offset,
        end,
        end if made_anew_at is None else made_anew_at,
    )


# -- writing ---------------------------------------------------------------------------------------


def record_too_large(record: KafkaRecord, limit_bytes: int) -> RefusedError:
    """The record is larger than the destination topic admits."""
    return RefusedError(
        f"produce {record.name}: record is {record.payload_bytes} bytes, limit {limit_bytes} with "
        "its framing",
        "raise the topic's max.message.bytes",
    )


def unwritable_name(record: KafkaRecord) -> RefusedError:
    """A header's name has surrogates, for bytes that are not UTF-8: neither client writes those."""
    return RefusedError(
        f"produce {record.name}: a header's name is not UTF-8, which neither client can write",
        "rename it at its source",
    )


def zero_byte_in_name(record: KafkaRecord) -> RefusedError:
    """librdkafka would end a header's name there, without a word."""
    return RefusedError(
        f"produce {record.name}: a header's name has a zero byte, which librdkafka cannot write",
        "use --kafka_client=kafka-python",
    )


def buffer_full(record: KafkaRecord, timeout_s: float, cause: str = "") -> DeliveryError:
    """There was no room for a record; `cause` is what is known of it, with what separates it."""
    return DeliveryError(
        f"produce {record.name}: the buffer stayed full for {timeout_s:g} s{cause}"
    )


def unconfirmed(count: int, timeout_s: float, cause: str = "") -> DeliveryError:
    """A flush did not end in time; `cause` as above."""
    return DeliveryError(f"flush: {count} records not confirmed within {timeout_s:g} s{cause}")
