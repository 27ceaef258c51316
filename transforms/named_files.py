"""Files that a flag names: read once, where the command is given, on its disk or at gs://, s3://."""

from __future__ import annotations

import os
from pathlib import Path

READ_S = 5.0
"""Deadline of one file that is not on this machine."""

_account = ""


def act_as(accounts: str) -> None:
    """Has this process read gs:// as a service account, or as the last one of a chain with commas;
    empty: as who is logged in."""
    global _account
    _account = accounts


def is_remote(path: str) -> bool:
    """Whether a file is at `gs://` or `s3://`."""
    return path.startswith(("gs://", "s3://"))


def check(path: str) -> None:
    """Refuses a local file that cannot be read; contacts nothing.

    Raises:
      ValueError: says which.
    """
    if is_remote(path):
        return
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise ValueError(f"{path!r} is not a file that can be read")


def read(path: str) -> str:
    """The text of a file, without a byte order mark.

    Raises:
      ValueError: it cannot be read, or is not UTF-8; does not repeat the path of a local one.
    """
    try:
        data = _remote(path) if is_remote(path) else Path(path).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None


def _remote(path: str) -> bytes:
    from transforms import filesystem  # Beam takes a second to import
    from transforms.errors import UsageError

    try:
        url = filesystem.checked(path)
        if _account:
            filesystem.impersonate(_account)
        return filesystem.ask(UsageError, "read", url, lambda: filesystem.get(url), READ_S)
    except UsageError as error:
        raise ValueError(str(error).removeprefix(f"read {path}: ")) from error
