"""A file that asks a bridge to stop, where no signal reaches the processes that move messages."""

from __future__ import annotations

import logging
import threading

from transforms import filesystem
from transforms.control import Control
from transforms.errors import PreflightError, TransferError

_log = logging.getLogger(__name__)

REASON = "--stop_file"
"""Why a bridge has stopped that has found the file."""

POLL_S = 2.0
_MOST_S = 300.0
_CALL_S = 10.0
_CONTENT = b"stop\n"


class StopFile:
    """Looks for the file, until it is there or `close`; then `control` is asked to stop.

    A filesystem that does not answer is warned of once, and asked again, ever more rarely.

    Args:
      url: a path, or a URL that Beam's filesystems know, that all processes of the job see.
    """

    def __init__(self, url: str, control: Control, poll_s: float = POLL_S) -> None:
        self._url = url
        self._control = control
        self._poll_s = poll_s
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="stop file", daemon=True).start()

    def close(self) -> None:
        """Looks no more."""
        self._closed.set()

    def _watch(self) -> None:
        pause_s = self._poll_s
        while not self._closed.wait(pause_s):
            try:
                if is_there(self._url):
                    if not self._control.stop_reason:
                        _log.info("--stop_file %s is there: draining", self._url)
                    self._control.stop(REASON)
                    return
                pause_s = self._poll_s
            except TransferError as error:
                if pause_s == self._poll_s:
                    _log.warning("%s; a stop is not noticed meanwhile", error)
                pause_s = min(2 * pause_s, _MOST_S)


def is_there(url: str) -> bool:
    """Whether there is the file.

    Raises:
      TransferError: nobody can tell.
    """
    return filesystem.ask(TransferError, "look for", url, lambda: filesystem.exists(url), _CALL_S)


def put(url: str) -> None:
    """Makes the file: all bridges that look for it stop.

    Raises:
      TransferError: it cannot be made.
    """
    filesystem.ask(TransferError, "write", url, lambda: filesystem.put(url, _CONTENT), _CALL_S)


def clear(url: str) -> None:
    """Removes the file that an earlier stop has left, and makes sure that there can be one.

    Raises:
      PreflightError: it cannot be written or removed, or is somebody's file of another kind.
    """

    def call() -> bool:
        if filesystem.exists(url) and filesystem.get(url).strip() not in (b"", _CONTENT.strip()):
            return False
        filesystem.put(url, b"")
        filesystem.delete(url)
        return True

    if not filesystem.ask(PreflightError, "write --stop_file", url, call, _CALL_S):
        raise PreflightError(
            f"write --stop_file {url}: there is a file with something else in it; name one that "
            "may be removed"
        )
