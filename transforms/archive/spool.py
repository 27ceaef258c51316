"""Where files are written to until they are complete: a local folder for each writer.

    ROOT/lock                    held while a folder is made or removed
    ROOT/0123456789ab/lock       held by the writer for as long as it lives
    ROOT/0123456789ab/NAME       a file that is not complete

A lock ends with its process, however that ends. So a folder whose lock is free is what a killed
process has left, and the next writer removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from transforms import filesystem
from transforms.archive.layout import SPOOL

_LOCK = "lock"


def root_for(archive: str) -> str:
    """Where an archive's files are spooled: in a hidden folder of its own if it is a local one, so
    that a complete file need only be renamed; else among the temporary files (TMPDIR).

    Raises:
      OSError: there is no such place.
    """
    if filesystem.is_local(archive):
        return filesystem.join(archive, SPOOL)
    root = os.path.join(tempfile.gettempdir(), f"pubsub-kafka-archive-{os.getuid()}")
    os.makedirs(root, mode=0o700, exist_ok=True)
    if os.stat(root).st_uid != os.getuid():
        raise PermissionError(f"{root} belongs to another user; set TMPDIR")
    return root


class Spool:
    """One writer's folder.

    Args:
      root: made when it is missing.
    Raises:
      OSError: it cannot be made or written to.
    """

    def __init__(self, root: str) -> None:
        os.makedirs(root, exist_ok=True)
        with _locked(os.path.join(root, _LOCK)):
            _remove_leftovers(root)
            self._folder = os.path.join(root, uuid.uuid4().hex[:12])
            os.mkdir(self._folder)
            self._lock: BinaryIO | None = _try_lock(os.path.join(self._folder, _LOCK))

    def path(self, name: str) -> str:
        """The path of a file that is not complete."""
        return os.path.join(self._folder, name)

    def file(self, name: str) -> SpoolFile:
        """A file that is not complete, yet to be written."""
        return SpoolFile(self.path(name))

    def close(self) -> None:
        """Removes the folder, and what is in it; idempotent."""
        if self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._lock.close()
            self._lock = None


class SpoolFile:
    """A file to be written, by one thread."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._size = 0
        self._descriptor = -1

    def write(self, data: bytes) -> None:
        """Adds data, all or nothing.

        Raises:
          OSError: it could not; the same may be tried again.
        """
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        at, rest = self._size, memoryview(data)
        while rest:
            written = os.pwrite(self._descriptor, rest, at)
            at, rest = at + written, rest[written:]
        self._size = at

    def park(self) -> None:
        """Keeps it from being open until it is written again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Removes it, if it is there."""
        self.park()
        with suppress(FileNotFoundError):
            os.remove(self.path)


def _remove_leftovers(root: str) -> None:
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False) and (lock := _try_lock(f"{entry.path}/{_LOCK}")):
            shutil.rmtree(entry.path, ignore_errors=True)
            lock.close()


def _try_lock(path: str) -> BinaryIO | None:
    """The file, locked; None if another process holds it, or another user owns it."""
    try:
        file = open(path, "ab")  # noqa: SIM115
    except PermissionError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
