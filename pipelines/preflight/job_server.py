"""Where a portable runner hands its job to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from pipelines.facts import Found
from pipelines.options import Options, Runner
from pipelines.reaching import CALL_S
from transforms.errors import PreflightError


def checks(options: Options) -> dict[str, Callable[[], Found]]:
    """A connection to `--job_endpoint`, if it is given: Beam waits minutes for one, silently."""
    if options.runner is not Runner.PORTABLE:
        return {}
    endpoint = PipelineOptions(options.beam_args).view_as(PortableOptions).job_endpoint or ""
    host, colon, port = endpoint.rpartition(":")
    if not colon or not port.isdigit():
        return {}
    return {f"job server {endpoint}": partial(_connect, endpoint, host.strip("[]"), int(port))}


def _connect(endpoint: str, host: str, port: int) -> Found:
    try:
        socket.create_connection((host, port), CALL_S).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise PreflightError(
            f"reach job server {endpoint}: {why}; start it, or correct --job_endpoint"
        ) from error
    return {}
