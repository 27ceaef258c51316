"""A real Apache Kafka and Google's Pub/Sub emulator on this machine, without Docker.

`stack.EmbeddedStack` starts and stops both; `python -m pipelines.local` is its command line.
"""
