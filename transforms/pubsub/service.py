"""How Pub/Sub is reached, as sources, sinks and checks are told. Imports no SDK."""

from __future__ import annotations

from typing import NamedTuple


class Service(NamedTuple):
    """Which Pub/Sub, and as whom; picklable. PUBSUB_EMULATOR_HOST wins over both.

    Attributes:
      endpoint: `HOST:PORT`, TLS; empty for the service's global name.
      impersonate: a service account to act as, or with commas between them a chain, of which each
        may act as the next one; empty for the account that is logged in.
    """

    endpoint: str = ""
    impersonate: str = ""


DEFAULT = Service()
"""Google's global endpoint (or the emulator), as the account that is logged in."""
