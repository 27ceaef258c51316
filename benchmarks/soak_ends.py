"""What watches a soak: how far commits are behind, and what the system says of a process."""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import closing
from pathlib import Path

from benchmarks.soak_figures import Ages, Sample
from benchmarks.worker import Worker
from transforms.errors import PreflightError
from transforms.kafka.client import KafkaConfig, offsets_of
from transforms.kafka.clients import open_admin

_CALL_S = 30.0
_LAG_PERIOD_S = 0.5


class CommitLag(Worker):
    """Watches how long the oldest record without a commit has waited.

    Attributes:
      lags_s: one for each look.
      written, committed: records in the topic, and how many of them the group has committed.
    """

    def __init__(self, config: KafkaConfig, topic: str, group_id: str) -> None:
        super().__init__("commit lag")
        self.lags_s: list[float] = []
        self.written = self.committed = 0
        self._config, self._topic, self._group_id = config, topic, group_id

    def _run(self) -> None:
        with closing(open_admin(self._config, _CALL_S)) as admin:
            partitions = admin.partitions([self._topic])
            ages = Ages(partitions, time.monotonic())
            while not self.ended.wait(_LAG_PERIOD_S):
                asked_s = time.monotonic()
                try:
                    ends = admin.end_offsets(partitions)
                    committed = offsets_of(admin.committed(self._group_id))
                except PreflightError:  # a new group has no coordinator for a moment
                    continue
                self.lags_s.append(ages.look(asked_s, ends, committed, time.monotonic()))
                self.written = sum(ends.values())
                self.committed = sum(committed.get(part, 0) for part in ends)


# -- what Linux says of a process ------------------------------------------------------------------

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def sample(process_id: int, at_s: float) -> Sample | None:
    """What a process has now; None where it has ended."""
    folder = Path(f"/proc/{process_id}")
    with contextlib.suppress(OSError, KeyError):
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines() if line
        )
        # after the name in parentheses: fields 12 and 13 are the ticks in user and system mode
        ticks = (folder / "stat").read_text().rpartition(") ")[2].split()[11:13]
        return Sample(
            at_s,
            int(status["VmRSS"].split()[0]) * 1024,
            len(list((folder / "fd").iterdir())),
            int(status["Threads"]),
            sum(map(int, ticks)) / _TICKS_A_SECOND,
        )
    return None


def memory_available_bytes() -> int:
    """What Linux can give to a new process without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
