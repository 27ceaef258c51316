"""Kafka or Pub/Sub -> files, as a flex template's launcher starts it: see docs/dataflow.md."""

import sys

from pipelines.archive import main

if __name__ == "__main__":
    sys.exit(main())
