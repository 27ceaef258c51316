"""Reconciles what one side held with what the other has: `python -m pipelines.audit --help`.

A plain loop, no Beam pipeline: the source is read whole, then the destination and the dead letters
against it. Nothing is committed, and no live subscription is pulled from.
"""
