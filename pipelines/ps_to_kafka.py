"""Pub/Sub -> Kafka: `python -m pipelines.ps_to_kafka --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipelines import runtime
from pipelines.options import PS_TO_KAFKA


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return runtime.main(PS_TO_KAFKA, argv)


if __name__ == "__main__":
    sys.exit(main())
