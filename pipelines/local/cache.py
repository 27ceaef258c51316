"""Where downloads are kept, and how they get there: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from pipelines.local.status import Say
from transforms.errors import PreflightError

DOWNLOAD_TIMEOUT_S = 30.0  # without a byte
_LOCK_TIMEOUT_S = 900.0
_LOCK_POLL_S = 0.1
_TRIES = 3
_CHUNK_BYTES = 1 << 20

P = ParamSpec("P")
T = TypeVar("T")


class DownloadError(Exception):
    """A download is broken or refused; worth another try."""


def cache_folder() -> Path:
    """This project's folder in the user's cache directory; it need not be there yet.

    Source: https://specifications.freedesktop.org/basedir-spec (an empty or relative
    XDG_CACHE_HOME counts as not set).
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        base = Path(named)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "pubsub-kafka-bridge"


@contextlib.contextmanager
def locked(folder: Path, say: Say, timeout_s: float = _LOCK_TIMEOUT_S) -> Iterator[Path]:
    """Makes `folder`, lets one process at a time in, and yields an empty folder inside it.

    The inner folder is for unfinished downloads, on the same file system so that a move is atomic.
    What a killed process left there is removed.

    Raises:
      PreflightError: the folder cannot be written, or is locked for longer than `timeout_s`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("wb")
    except OSError as error:
        raise PreflightError(
            f"write {folder}: {error.strerror}; set XDG_CACHE_HOME to a folder that can be written"
        ) from error
    unfinished = folder / ".unfinished"
    with lock:
        if not _locks(lock):
            say(f"waiting for another process that downloads into {folder}")
            deadline_s = time.monotonic() + timeout_s
            while not _locks(lock):
                if time.monotonic() > deadline_s:
                    raise PreflightError(
                        f"lock {folder}: another process has downloaded into it for "
                        f"{timeout_s:g} s; wait for it or end it"
                    )
                time.sleep(_LOCK_POLL_S)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            yield unfinished
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _locks(file: IO[bytes]) -> bool:
    """Takes the lock unless somebody else has it; it goes with the file's closing."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def download_again(download: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls `download` again after a `DownloadError`, three times in all, then lets it through."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(DownloadError):
            return download(*args, **kwargs)
    return download(*args, **kwargs)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def check(path: Path, sha256: str) -> None:
    """Raises DownloadError unless the file has this SHA-256."""
    got = sha256_of(path)
    if got != sha256:
        raise DownloadError(
            f"{path.name} has SHA-256 {got[:12]}..., expected {sha256[:12]}...; "
            "it was cut short or changed on its way"
        )
