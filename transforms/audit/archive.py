"""Reads records and messages from Avro containers in a folder and the folders in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import fastavro

from transforms import filesystem
from transforms.audit.kafka import PATIENCE_S
from transforms.avro_rows import KAFKA_FIELDS, PUBSUB_FIELDS, to_kafka_record, to_pubsub_record
from transforms.errors import SourceError
from transforms.records import KafkaRecord, PubsubRecord

_log = logging.getLogger(__name__)

_BATCH = 500


def read(folder: str) -> Iterator[list[KafkaRecord | PubsubRecord]]:
    """What `*.avro` files hold whose records have the fields of either; of others it warns.

    Args:
      folder: a local path, `gs://` or `s3://`, as `filesystem.checked` gives it.
    Raises:
      SourceError: a file cannot be read, or is damaged.
    """
    for path in _ask("list", folder, partial(filesystem.below, folder)):
        file = _ask("read", path, partial(filesystem.open_read, path))
        try:
            reader = _ask("read", path, partial(fastavro.reader, file))
            record_of = _record_of(reader.writer_schema)
            if record_of is None:
                _log.warning("read %s: neither Kafka records nor Pub/Sub messages; left out", path)
                continue
            while rows := _ask("read", path, partial(_next, reader)):
                yield _records(rows, record_of, path)
        finally:
            file.close()


_RecordOf = Callable[[Any], KafkaRecord | PubsubRecord]


def _record_of(schema: Any) -> _RecordOf | None:
    """What makes records of rows of this schema, if it is one of ours."""
    fields = {f["name"] for f in schema.get("fields", ())} if isinstance(schema, dict) else set()
    if fields >= KAFKA_FIELDS:
        return to_kafka_record
    return to_pubsub_record if fields >= PUBSUB_FIELDS else None


def _records(rows: list[Any], record_of: _RecordOf, path: str) -> list[KafkaRecord | PubsubRecord]:
    try:
        return [record_of(row) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(
            f"read {path}: a field has another type than ours of that name "
            f"({type(error).__name__}); take it out of the folder"
        ) from error


def _next(reader: Any) -> list[Any]:
    return list(islice(reader, _BATCH))


def _ask(operation: str, path: str, call: Callable[[], Any]) -> Any:
    return filesystem.ask(SourceError, operation, path, call, PATIENCE_S)
