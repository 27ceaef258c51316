"""Flags of the bridge in other commands: as they are declared there, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from pipelines import options
from pipelines.command_line import value_of
from pipelines.flags import EVERYWHERE, KAFKA_TO_PS, Flag, Runner

BRIDGE = {f.dest: f for f in options.FLAGS}
"""The flags of the bridge by name."""


ACT_AS = BRIDGE["impersonate_service_account"].help.partition(" On Dataflow")[0]
"""What it means to act as a service account, where there is no runner."""


def shared(name: str, **changes: Any) -> Any:
    """A flag of the bridge, as it is declared there, but for `changes`."""
    f = replace(BRIDGE[name], where=EVERYWHERE, side="", **changes)
    return field(repr=not f.secret, metadata={"flag": f})


def value_or_default(f: Flag, text: str | list[str] | None, environ: Mapping[str, str]) -> Any:
    """A flag's value from its text, from the environment, or its default.

    Raises:
      UsageError: names the flag or variable, and what would be right.
    """
    value = value_of(f, text, environ)
    return f.default_for(KAFKA_TO_PS, Runner.IN_PROCESS) if value is None else value
