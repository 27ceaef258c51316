"""What is in an archive's files: Avro containers, or JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from transforms.archive.files import Ask
from transforms.records import KafkaRecord, PubsubRecord

FormatName = Literal["avro", "json"]
Codec = Literal["zstandard", "deflate", "none"]


class Encoded(NamedTuple):
    """Records as bytes.

    Attributes:
      payload_bytes: as the records count them.
    """

    data: bytes
    records: int
    payload_bytes: int


class Format(Protocol):
    """Writes files of one kind; may be used by several threads."""

    extension: str

    def header(self, of: type[KafkaRecord] | type[PubsubRecord]) -> bytes:
        """What a file of records of this class begins with."""

    def encode(self, records: Sequence[Any]) -> Encoded:
        """Records of one class, Kafka's of one topic and partition and each with its offset."""

    def block(self, encoded: Encoded) -> bytes:
        """What is written of them; takes its time without the interpreter's lock."""

    def rows(self, path: str, ask: Ask) -> Iterator[tuple[int, Any]]:
        """What one of its files of Kafka records holds, with offsets; rows are hashable.

        Raises:
          BridgeError: it cannot be read.
        """

    def again(self, rows: Sequence[Any]) -> Encoded:
        """Rows that were read, as they were."""
