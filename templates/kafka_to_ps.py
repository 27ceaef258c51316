"""Kafka -> Pub/Sub, as a flex template's launcher starts it: see docs/dataflow.md."""

import sys

from pipelines.kafka_to_ps import main

if __name__ == "__main__":
    sys.exit(main())
