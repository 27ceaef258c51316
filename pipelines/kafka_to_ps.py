"""Kafka -> Pub/Sub: `python -m pipelines.kafka_to_ps --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipelines import runtime
from pipelines.options import KAFKA_TO_PS


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return runtime.main(KAFKA_TO_PS, argv)


if __name__ == "__main__":
    sys.exit(main())
