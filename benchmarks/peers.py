"""The systems that the bridge is compared with."""

from __future__ import annotations

from benchmarks.systems.jobs import System

PEERS: tuple[System, ...] = ()
