"""What the machines of workers have, and this one's files they do not."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.flags import Runner
from transforms.errors import UsageError
from transforms.kafka import config


def refuse_local_files(runner: Runner, properties: Mapping[str, str]) -> None:
    """What a worker would read from a path must be where the worker is.

    Raises:
      UsageError: names the flag or the property, and the path.
    """
    if runner is not Runner.DATAFLOW:
        return
    for name, path in config.local_files(properties).items():
        flag = "--krb5_conf" if name == "java.security.krb5.conf" else f"--kafka_config={name}"
        raise UsageError(
            f"{flag}: {path} is a file of this machine, which Dataflow's workers read; give "
            f"secret:projects/P/secrets/S/versions/V, or file:{path} if their image has it"
        )
