"""Prints messages of Kafka or Pub/Sub to the terminal: `python -m pipelines.console --help`.

No Beam pipeline. Kafka is read beside every group, a Pub/Sub topic through a temporary
subscription; only a named subscription is taken from, and only when that is asked for.
"""
