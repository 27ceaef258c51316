"""Secret files: what has to lie in a file because a library wants a path.

They live in one folder of this process (mode 0700, each file 0600), which goes at exit. A process
that is killed leaves its folder behind; the next one takes it away. A lock on a file in the folder
tells the living from the dead, also between containers that share a folder for temporary files.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from pathlib import Path

from transforms.errors import UsageError

_PREFIX = "kafka-login-"
_LOCK = "lock"
_guard = threading.Lock()
_folder: Path | None = None
_locks: list[int] = []
"""Descriptors that are kept open as long as this process lives."""


def keep(content: bytes) -> str:
    """Writes a file, once however often it is asked for; returns its path.

    Raises:
      UsageError: there is no room for it, or no right to write.
    """
    with _guard:
        try:
            path = _own_folder() / hashlib.sha256(content).hexdigest()[:32]
            if not path.exists():
                unfinished = path.with_suffix(".new")
                descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                unfinished.rename(path)
        except OSError as error:
            raise UsageError(
                f"write a secret file in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to "
                "another folder"
            ) from error
        return str(path)


def _own_folder() -> Path:
    global _folder
    if _folder is None or not _folder.exists():
        _sweep()
        _folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        descriptor = os.open(_folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _locks.append(descriptor)
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    return _folder


def _sweep() -> None:
    """Takes away the folders of this user that nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
