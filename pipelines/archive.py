"""Kafka or Pub/Sub -> files: `python -m pipelines.archive --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipelines import runtime
from pipelines.options import ARCHIVE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return runtime.main(ARCHIVE, argv)


if __name__ == "__main__":
    sys.exit(main())
