"""Offsets kept in a file, in place of a group's commits: on local disks, at `gs://`, at `s3://`.

{"version": 1, "of": "my-bridge-backfill-174799c84847",
 "offsets": {"alerts": {"0": {"offset": 1042, "metadata": "topic_id=..."}}}}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from transforms import filesystem
from transforms.errors import BridgeError, CommitError, SourceError
from transforms.kafka.client import Committed, Offsets, Partition

_VERSION = 1


class OffsetFile:
    """Implements `OffsetStore`. Belongs to one reader at a time.

    Args:
      url: the file; made, with its folder, at the first commit.
      owner: the group in whose place it is; a file of another one is refused.
      timeout_s: deadline of one call to the filesystem.
    """

    def __init__(self, url: str, owner: str, timeout_s: float) -> None:
        self._path = filesystem.checked(url)
        self._owner = owner
        self._timeout_s = timeout_s
        self._known: dict[Partition, Committed] | None = None

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, Committed]:
        """What is remembered of these partitions.

        Raises:
          SourceError: the file cannot be read, or holds something else.
        """
        known = self.all()
        return {part: known[part] for part in partitions if part in known}

    def all(self) -> dict[Partition, Committed]:
        """Everything that is remembered; raises as `committed`."""
        if self._known is None:
            there = self._ask(SourceError, "find", lambda: filesystem.exists(self._path))
            data = (
                self._ask(SourceError, "read", lambda: filesystem.get(self._path)) if there else b""
            )
            try:
                self._known = _from_json(data, self._owner) if data else {}
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise SourceError(
                    f"read {self._path}: not what version {_VERSION} remembers of {self._owner}; "
                    "choose another file for --state"
                ) from error
        return self._known

    def commit(self, offsets: Offsets, metadata: Mapping[Partition, str] = {}) -> None:
        """Remembers offsets, each with a text.

        Raises:
          CommitError: the file cannot be written; it is as it was.
        """
        new = {p: Committed(at, metadata.get(p, "")) for p, at in offsets.items()}
        known = {**self.all(), **new}
        data = _to_json(known, self._owner)
        self._ask(CommitError, "write", lambda: filesystem.put(self._path, data))
        self._known = known

    def _ask(self, failure: type[BridgeError], operation: str, call: Any) -> Any:
        return filesystem.ask(failure, operation, self._path, call, self._timeout_s)


def _to_json(known: Mapping[Partition, Committed], owner: str) -> bytes:
    offsets: dict[str, dict[str, Any]] = {}
    for (topic, number), committed in sorted(known.items()):
        offsets.setdefault(topic, {})[str(number)] = committed._asdict()
    return json.dumps({"version": _VERSION, "of": owner, "offsets": offsets}, indent=1).encode()


def _from_json(data: bytes, owner: str) -> dict[Partition, Committed]:
    content = json.loads(data)
    if (content["version"], content["of"]) != (_VERSION, owner):
        raise ValueError("another version, or of another run")
    return {
        (topic, int(number)): Committed(int(found["offset"]), str(found["metadata"]))
        for topic, partitions in content["offsets"].items()
        for number, found in partitions.items()
    }
