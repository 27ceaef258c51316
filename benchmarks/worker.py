"""A thread that lasts as long as a `with`."""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import TypeVar

END_S = 30.0
"""How long its last call may take."""

_Any = TypeVar("_Any", bound="Worker")


class Worker:
    """A daemon thread that lasts as long as the `with`, and keeps the error that ended it."""

    def __init__(self, name: str) -> None:
        self.error: Exception | None = None
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def __enter__(self: _Any) -> _Any:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._thread.join(END_S)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def check(self) -> None:
        """Raises the error that ended it, if one did."""
        if self.error is not None:
            raise self.error

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.error = error

    @abstractmethod
    def _run(self) -> None:
        """The work, until `ended` is set."""
