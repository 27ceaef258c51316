"""Sends dead letters again: `python -m pipelines.redrive --help`.

A plain loop, no Beam pipeline: a batch is read, sent and confirmed, and then remembered as done.
Killed in between, it is sent once more; nothing is lost.
"""
