"""The systems that the bridge is compared with."""

from __future__ import annotations

from benchmarks.systems.benthos import Benthos
from benchmarks.systems.connector import Connector
from benchmarks.systems.jobs import System

PEERS: tuple[System, ...] = (Connector(), Benthos())
