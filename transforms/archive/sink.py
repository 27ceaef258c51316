"""`WriteToArchive`: keeps whole records in files, visible when they are complete."""

from __future__ import annotations

from functools import partial
from typing import Any

import apache_beam as beam

from transforms.archive.writer import ArchiveSinkConfig, ArchiveWriter
from transforms.sink import WriteFn


class WriteToArchive(beam.PTransform):
    """Writes Kafka records and Pub/Sub messages, as they were read, to files below a URL; see
    `layout` for their names.

    Parallelism: one writer per DoFn instance, with a file for each topic, partition and day; kept
      by the process over bundles and rounds. Threads compress and publish.
    Guarantee: a bundle ends only when each of its records lies in a file that is complete and
      visible (local ones are on the disk); else it fails, and its source delivers it again.
    On restart: files that were not complete are removed. What was written and not committed is
      written again: of Kafka records, what two files have goes from one of them (`leftovers`); a
      Pub/Sub message may be there twice, with the same id.
    """

    def __init__(self, config: ArchiveSinkConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, records: Any) -> Any:
        return records | "Write" >> beam.ParDo(
            WriteFn(
                self._config.bridge,
                ("archive", self._config.url),
                partial(ArchiveWriter, self._config),
            )
        )

    def display_data(self) -> dict[str, Any]:
        return {"url": self._config.url, "format": self._config.format}
