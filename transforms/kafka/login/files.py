"""Secret files: what has to lie in a file because a library wants a path.

They live in one folder of this process (mode 0700, each file 0600), which goes at exit. A process
that is killed leaves its folder behind; the next one takes it away.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

_PREFIX = "kafka-login-"
_lock = threading.Lock()
_folder: Path | None = None


def keep(content: bytes) -> str:
    """Writes a file, once however often it is asked for; returns its path."""
    with _lock:
        path = _own_folder() / hashlib.sha256(content).hexdigest()[:32]
        if not path.exists():
            unfinished = path.with_suffix(".new")
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            unfinished.rename(path)
        return str(path)


def _own_folder() -> Path:
    global _folder
    if _folder is None or not _folder.name.startswith(f"{_PREFIX}{os.getpid()}-"):
        _sweep()
        _folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    return _folder


def _sweep() -> None:
    """Takes away what processes of this user left behind that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        match = re.match(rf"{_PREFIX}([0-9]+)-", folder.name)
        with contextlib.suppress(OSError):
            if match and folder.stat().st_uid == os.getuid() and not _runs(int(match[1])):
                shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
