"""Dead letters in files: Avro containers in one folder, local or at `gs://` or `s3://`.

    <url>/dead-letters-20260131T235959.999Z-0123456789ab.avro     one for each write
    <url>/redriven.json                                           what is done, rewritten as a whole
        {"version": 1, "done": {"<file name>": "0-99,105"}}       numbers of letters, from 0

Everything goes through Beam's filesystems, which know no deadlines: each call gets one here. A file
appears under its name only when it is complete: an object store shows an object when it is closed,
a local file is written under a hidden name that does not end in `.avro`, and renamed.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import cast

from transforms import filesystem
from transforms.dead_letter import DeadLetter, Found
from transforms.dead_letters.avro import from_avro, to_avro
from transforms.errors import (
    CommitError,
    DeliveryError,
    PreflightError,
    SourceError,
)
from transforms.ranges import Ranges

STATE_NAME = "redriven.json"
_STATE_VERSION = 1


class FileDeadLetters:
    """Writes each batch to a new file; their names sort in the order of this sink's writes.

    Implements `DeadLetterSink`.

    Args:
      url: a folder, made when it is missing: a local path, `file://`, `gs://` or `s3://`.
      clock: seconds since the epoch.
    Raises:
      UsageError: the URL is none that can be used, or needs a package that is not installed.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._folder = filesystem.checked(url)
        self._clock = clock
        self._last_ms = 0

    def write(self, letters: Sequence[DeadLetter], timeout_s: float) -> None:
        if letters:
            path = filesystem.join(self._folder, self._new_name())
            data = to_avro(letters, "deflate")
            filesystem.ask(
                DeliveryError, "write", path, lambda: filesystem.put(path, data), timeout_s
            )

    def _new_name(self) -> str:
        self._last_ms = max(int(self._clock() * 1000), self._last_ms + 1)
        seconds, ms = divmod(self._last_ms, 1000)
        when = datetime.fromtimestamp(seconds, timezone.utc)
        return f"dead-letters-{when:%Y%m%dT%H%M%S}.{ms:03}Z-{uuid.uuid4().hex[:12]}.avro"

    def close(self) -> None:
        """Nothing is open between two writes."""


class FileDeadLetterSource:
    """Reads the files of a folder in the order of their names, one at a time.

    Implements `DeadLetterSource`. The state belongs to one source at a time.

    Args:
      url: the folder, as above; every `*.avro` in it holds dead letters.
      state_url: the file that remembers what is done; `redriven.json` in the folder by default.
      timeout_s: deadline of one call to the filesystem: a listing, one file read or written.
    Raises:
      UsageError: as above.
    """

    def __init__(self, url: str, state_url: str | None = None, timeout_s: float = 60.0) -> None:
        self._folder = filesystem.checked(url)
        self._state = filesystem.checked(state_url or filesystem.join(self._folder, STATE_NAME))
        self._timeout_s = timeout_s
        self._done: dict[str, Ranges] = {}
        self._ask = partial(filesystem.ask, SourceError, timeout_s=timeout_s)

    def read(self) -> Iterator[list[Found]]:
        names = self._ask("list", self._folder, lambda: filesystem.names(self._folder))
        self._done = self._read_state()
        for name in names:
            if found := self._undone(name):
                yield found

    def _undone(self, name: str) -> list[Found]:
        path = filesystem.join(self._folder, name)
        try:
            letters = from_avro(self._ask("read", path, lambda: filesystem.get(path)))
        except ValueError as error:
            raise SourceError(
                f"read {path}: no dead letters: {error}; move it to another folder"
            ) from error
        done = self._done.get(name, Ranges())
        return [
            Found((name, index), f"{name}[{index}]", letter)
            for index, letter in enumerate(letters)
            if index not in done
        ]

    def _read_state(self) -> dict[str, Ranges]:
        path = self._state
        there = self._ask("find", path, lambda: filesystem.exists(path))
        if not there:
            return {}
        try:
            return _from_json(self._ask("read", path, lambda: filesystem.get(path)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SourceError(
                f"read {path}: not what a redrive of version {_STATE_VERSION} has "
                "remembered; choose another file for the state"
            ) from error

    def check(self, found: Sequence[Found]) -> None:
        """The state has room for all."""

    def done(self, found: Sequence[Found]) -> None:
        indexes: dict[str, list[int]] = {}
        for item in found:
            name, index = cast("tuple[str, int]", item.token)
            indexes.setdefault(name, []).append(index)
        done = dict(self._done)
        for name, numbers in indexes.items():
            done[name] = done.get(name, Ranges()).with_numbers(numbers)
        data = _to_json(done)
        filesystem.ask(
            CommitError,
            "write",
            self._state,
            lambda: filesystem.put(self._state, data),
            self._timeout_s,
        )
        self._done = done

    def close(self) -> None:
        """Nothing is open between two calls."""


def check(url: str, timeout_s: float) -> None:
    """Writes a hidden file into a folder, or where it would be made, and deletes it.

    Raises:
      PreflightError: it cannot hold dead letters.
      UsageError: as above.
    """
    path = filesystem.join(filesystem.nearest(filesystem.checked(url)), ".writable")
    filesystem.ask(
        PreflightError,
        "write",
        path,
        lambda: filesystem.put(path, b"A check. Delete it.\n"),
        timeout_s,
    )
    with contextlib.suppress(PreflightError):  # a writer need not be allowed to delete
        filesystem.ask(
            PreflightError,
            "delete",
            path,
            lambda: filesystem.delete(path),
            timeout_s,
        )


# -- state -----------------------------------------------------------------------------------------


def _to_json(done: Mapping[str, Ranges]) -> bytes:
    texts = {name: str(ranges) for name, ranges in sorted(done.items())}
    return json.dumps({"version": _STATE_VERSION, "done": texts}, indent=1).encode()


def _from_json(data: bytes) -> dict[str, Ranges]:
    state = json.loads(data)
    if state["version"] != _STATE_VERSION:
        raise ValueError("another version")
    return {name: Ranges.from_text(text) for name, text in state["done"].items()}
