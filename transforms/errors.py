"""The errors of the bridge, as a tree.

    BridgeError
    ├── UsageError           a flag is wrong or missing                              exit 2
    ├── PreflightError       a service or resource is not as needed, nothing read    exit 2
    │   └── HiddenTopicError     a topic is not there, or this user may not know of it
    └── TransferError        the transfer could not go on                            exit 1
        ├── PoisonError      this one message can never be delivered
        │   ├── UnmappableError   it does not fit the other side's limits
        │   └── RefusedError      the other side refused it as invalid
        ├── DeliveryError    a write was not confirmed in time, or not allowed
        │   └── TopicError        the topic to write to is not there, or may not be written to
        ├── CommitError      a commit or ack failed; the messages come again
        │   └── AckError          and of which messages
        └── SourceError      reading failed
            ├── UnavailableError  a service does not answer now; asking again may help
            └── OffsetGapError    offsets that should be read no longer exist

Texts follow `<operation> <resource>: <what is wrong: got, against limit>; <what to do>` and hold
no payload and no secret. Every class survives pickling, since Beam carries errors between threads
and processes.
"""

from __future__ import annotations

from collections.abc import Sequence


class BridgeError(Exception):
    """Root of all errors that the bridge raises on purpose; `str()` is one line for people."""

    exit_status = 1


class UsageError(BridgeError):
    """A flag is wrong or missing; raised before anything is contacted."""

    exit_status = 2


class PreflightError(BridgeError):
    """A service, topic or subscription is not as needed; raised before anything is read."""

    exit_status = 2


class HiddenTopicError(PreflightError):
    """A topic is not there, or this user may not know of it: brokers do not say which."""


class TransferError(BridgeError):
    """The transfer could not go on; what was not confirmed is neither committed nor acked."""


class PoisonError(TransferError):
    """One message that can never be delivered, however often it is tried.

    Attributes:
      what: `<operation> <resource>: <what is wrong: got, against limit>`.
      remedy: what to do, other than to set `--dead_letter`.
    """

    def __init__(self, what: str, remedy: str = "correct it at its source") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}; set --dead_letter, or {self.remedy}"

    @property
    def in_letter(self) -> str:
        """The text for one who has a dead letter of it already."""
        return f"{self.what}; {self.remedy}"


class UnmappableError(PoisonError):
    """The message cannot be expressed within the other side's limits."""


class RefusedError(PoisonError):
    """The other side refused the message as invalid."""


class DeliveryError(TransferError):
    """A write was not confirmed within its deadline, or is not allowed."""


class TopicError(DeliveryError):
    """The topic to write to is not there, or may not be written to."""


class CommitError(TransferError):
    """A commit or an ack failed: what it covered will be read again."""


class AckError(CommitError):
    """Some messages could not be acknowledged, or their leases not be changed.

    Attributes:
      ack_ids: theirs.
    """

    def __init__(self, what: str, ack_ids: Sequence[str] = ()) -> None:
        super().__init__(what, ack_ids)
        self.what = what
        self.ack_ids = ack_ids

    def __str__(self) -> str:
        return self.what


class SourceError(TransferError):
    """The source could not be read."""


class UnavailableError(SourceError):
    """A service does not answer now, or cannot; asking again may help."""


class OffsetGapError(SourceError):
    """Offsets that should be read next no longer exist (retention, truncation, recreation).

    Attributes:
      topic, partition: where.
      first, end: the offsets that are gone, `end` not included; equal where it is not known which.
      resume: the first offset that can be read on from without missing what still exists.
    """

    def __init__(
        self, what: str, topic: str, partition: int, first: int, end: int, resume: int
    ) -> None:
        super().__init__(what, topic, partition, first, end, resume)
        self.what = what
        self.topic, self.partition = topic, partition
        self.first, self.end, self.resume = first, end, resume

    def __str__(self) -> str:
        return (
            f"{self.what}; go on from {self.resume} with --on_offset_gap=continue, or choose where "
            "with --start and --reset_offsets"
        )


def one_line(said: object) -> str:
    """What somebody else says, short enough for an error of ours; an error without words says its
    name."""
    text = " ".join(str(said).split())[:300]
    return text or (type(said).__name__ if isinstance(said, BaseException) else "")
