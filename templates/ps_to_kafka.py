"""Pub/Sub -> Kafka, as a flex template's launcher starts it: see docs/dataflow.md."""

import sys

from pipelines.ps_to_kafka import main

if __name__ == "__main__":
    sys.exit(main())
