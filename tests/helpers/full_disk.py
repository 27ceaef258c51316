"""A folder on a disk that is full, for one process: a small tmpfs of its own mount namespace.

Where the system admits no such namespace, a limit on the size of its files stands in: the same
call fails, with "File too large" (EFBIG) instead of "No space left on device" (ENOSPC).
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

_LIFETIME_S = 600
_SMALL, _LARGE = "1m", "100m"
_LIMIT_BLOCKS = 100  # of 512 bytes, or of 1024 in some shells


class FullDisk:
    """A disk of 1 MB until `grow`.

    Args:
      folder: an empty folder, over which it is mounted.
    Attributes:
      how: the means, for people.
      cause: what the system says when it is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._limited = False
        self._holder: subprocess.Popen[str] | None = None
        mount = (
            f'mount -t tmpfs -o size={_SMALL} full "$0" && echo ready && exec sleep {_LIFETIME_S}'
        )
        with contextlib.suppress(FileNotFoundError):
            self._holder = subprocess.Popen(
                ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        if self._holder is not None and not self._said_ready():
            self.__exit__()
        if self._holder is not None:
            self.how, self.cause = "tmpfs of 1 MB", "No space left on device"
        else:
            self.how, self.cause = "file size limit", "File too large"
            self._limited = True

    def _said_ready(self) -> bool:
        assert self._holder is not None
        assert self._holder.stdout is not None
        return bool(self._holder.stdout.readline())

    def within(self, working_folder: Path) -> list[str]:
        """A command that runs another one where the disk is."""
        if self._holder is not None:
            return [*self._enter(), "sh", "-c", 'cd "$0" && exec "$@"', str(working_folder)]
        if self._limited:
            return ["sh", "-c", 'ulimit -f "$0" && exec "$@"', str(_LIMIT_BLOCKS)]
        return []

    def _enter(self) -> list[str]:
        assert self._holder is not None
        return ["nsenter", f"--target={self._holder.pid}", "--user", "--mount"]

    def grow(self) -> None:
        """Gives it room."""
        if self._holder is None:
            self._limited = False
            return
        remount = ["mount", "-o", f"remount,size={_LARGE}", str(self._folder)]
        subprocess.run([*self._enter(), *remount], check=True, timeout=10)

    @property
    def seen(self) -> Path:
        """The folder as other processes see it."""
        if self._holder is None:
            return self._folder
        return Path(f"/proc/{self._holder.pid}/root{self._folder}")

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait(10)
            assert self._holder.stdout is not None
            self._holder.stdout.close()
            self._holder = None
