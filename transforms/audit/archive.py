"""Reads records and messages from Avro containers in a folder and the folders in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from transforms import filesystem
from transforms.archive import files
from transforms.deadlines import PATIENCE_S
from transforms.errors import SourceError
from transforms.records import KafkaRecord, PubsubRecord

_log = logging.getLogger(__name__)


def read(folder: str) -> Iterator[list[KafkaRecord | PubsubRecord]]:
    """What `*.avro` files hold whose records have the fields of either; of others it warns.

    Args:
      folder: a local path, `gs://` or `s3://`, as `filesystem.checked` gives it.
    Raises:
      SourceError: a file cannot be read, or is damaged.
    """
    for path in _ask("list", folder, partial(filesystem.below, folder)):
        batches = files.read(path, _ask)
        if batches is None:
            _log.warning("read %s: neither Kafka records nor Pub/Sub messages; left out", path)
        else:
            yield from batches


def _ask(operation: str, path: str, call: Callable[[], Any]) -> Any:
    return filesystem.ask(SourceError, operation, path, call, PATIENCE_S)
