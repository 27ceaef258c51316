"""The systems that the bridge is compared with."""

from __future__ import annotations

from benchmarks.cells import QUICK_CONNECTOR
from benchmarks.systems.benthos import Benthos
from benchmarks.systems.connector import QUICK_COMPILER, Connector
from benchmarks.systems.jobs import System

PEERS: tuple[System, ...] = (
    Connector(),
    Connector(QUICK_CONNECTOR, QUICK_COMPILER),
    Benthos(),
)
