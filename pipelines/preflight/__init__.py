"""Checks both sides within seconds, before anything is read; and does what is done once, first.

Clients retry an unreachable service for minutes without a word, so every call here has its own
deadline, and all of them together have one. What changes something (`--create_topics`,
`--reset_offsets`, `--seek`) is done only after every check has passed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from pipelines.checks import quiet_clients
from pipelines.options import KAFKA_TO_PS, Options
from pipelines.preflight import kafka_to_ps, ps_to_kafka
from pipelines.preflight.common import Facts, Say

__all__ = ["Facts", "check"]

_say: Say = logging.getLogger(__name__).info


def check(options: Options, say: Say = _say, clock: Callable[[], float] = time.time) -> Facts:
    """Checks both sides, then does what the flags want done once.

    Args:
      say: told, in one line each, what was changed and what looks odd.
      clock: seconds since the epoch, for `--seek`.
    Raises:
      PreflightError: one line for each thing that is not as needed.
    """
    with quiet_clients(options.debug):
        if options.pipeline == KAFKA_TO_PS:
            return kafka_to_ps.check(options, say)
        return ps_to_kafka.check(options, say, int(clock() * 1000))
