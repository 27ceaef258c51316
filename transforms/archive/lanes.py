"""Threads that compress blocks and spool them; each file's in their order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from transforms.archive.publishing import Publisher
from transforms.archive.spool import SpoolFile
from transforms.errors import DeliveryError

_MOST_OPEN = 64
"""Files of a lane that are kept open between two blocks: each call gives other threads their turn,
which takes longer than the call."""


class Lane:
    """One thread.

    Args:
      publisher: tries again what fails.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._insist = publisher.insist
        self._pool = ThreadPoolExecutor(1, "compress")
        self._open: dict[SpoolFile, None] = {}
        self._failed: dict[SpoolFile, Exception] = {}

    def add(self, file: SpoolFile, block: Callable[[], bytes]) -> Future[None]:
        """Spools a block in its turn.

        Raises:
          DeliveryError: by the answer: it could not be written.
        """
        return self._pool.submit(self._add, file, block)

    def finish(self, file: SpoolFile) -> Future[None]:
        """Done when all that was added is spooled.

        Raises:
          Exception: by the answer: the first one of what was added.
        """
        return self._pool.submit(self._finish, file)

    def close(self) -> None:
        """Gives up what is not spooled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _add(self, file: SpoolFile, block: Callable[[], bytes]) -> None:
        try:
            self._write(file, block())
        except Exception as error:
            self._failed.setdefault(file, error)
            raise

    def _write(self, file: SpoolFile, data: bytes) -> None:
        self._open.pop(file, None)
        if len(self._open) >= _MOST_OPEN:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.park()
        self._open[file] = None
        self._insist(lambda _: _write(file, data))

    def _finish(self, file: SpoolFile) -> None:
        self._open.pop(file, None)
        file.park()
        if (error := self._failed.pop(file, None)) is not None:
            raise error


def _write(file: SpoolFile, data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise DeliveryError(
            f"write {file.path}: {error.strerror}; check the path, its rights and the space"
        ) from error
