"""Runs a bridge's command whose nights go by the time in a file:

python with_clock.py FILE PYTHON -m pipelines.kafka_to_ps FLAGS...
"""

from __future__ import annotations

import runpy
import sys
from datetime import datetime, timezone
from pathlib import Path


class FileClock:
    """Seconds since the epoch, as a file says, which another process sets."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def set(self, when: str) -> None:
        """`when`: a time of UTC."""
        moved = self._file.with_suffix(".new")
        moved.write_text(str(datetime.fromisoformat(when).replace(tzinfo=timezone.utc).timestamp()))
        moved.replace(self._file)

    def __call__(self) -> float:
        return float(self._file.read_text())

    @property
    def command(self) -> list[str]:
        """What has a command go by this clock (`within` of `ends.Bridge`)."""
        return [sys.executable, __file__, str(self._file)]


def main(file: str, _python: str, _m: str, module: str, *flags: str) -> None:
    sys.path[0] = str(Path.cwd())
    from transforms.kafka import selection

    selection.wall_clock = FileClock(Path(file))
    sys.argv = [module, *flags]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
