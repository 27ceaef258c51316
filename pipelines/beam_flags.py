"""Checks the arguments that are Beam's own: what no Beam option class knows is an unknown flag.

Beam by itself only warns of an unknown flag. It also has a `--bootstrap_servers`, for a runner that
the bridge does not use; ours are taken out before, so that it never sees it.
"""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from transforms.errors import UsageError

_OF_FLINK = (
    "checkpointing_interval",
    "checkpointing_mode",
    "checkpoint_timeout_millis",
    "min_pause_between_checkpoints",
    "externalized_checkpoints_enabled",
    "number_of_execution_retries",
    "execution_retry_delay",
    "savepoint_path",
    "state_backend",
    "state_backend_storage_path",
)
"""Flags that only the job server of Flink declares, when it is asked."""


def check(rest: Sequence[str], runner_name: str, ours: Sequence[str]) -> None:
    """Refuses what Beam does not know. (What else a runner misses, Beam says when it is built;
    its own validation asks the network.)

    Args:
      rest: the arguments that are not ours.
      ours: the names of our flags, for a suggestion.
    Raises:
      UsageError: names the flag, and the one that may have been meant.
    """
    if not rest and runner_name != "DataflowRunner":
        return
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    class BeamParser(_BeamArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise UsageError(message.removeprefix("argument "))

    parser = BeamParser(allow_abbrev=False, add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    if runner_name in ("FlinkRunner", "PortableRunner"):
        for name in _OF_FLINK:
            parser.add_argument(f"--{name}")
    known_values, unknown = parser.parse_known_args(list(rest))
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        _refuse(unknown, [f"--{name}" for name in ours] + known)
    if runner_name == "DataflowRunner":
        _check_dataflow(known_values)


def _check_dataflow(known: Namespace) -> None:
    if known.project is None:
        raise UsageError("--project: missing; DataflowRunner needs to know where the job runs")
    if known.update and not (known.job_name and known.region):
        raise UsageError("--update: needs --job_name and --region of the job that is replaced")
    if known.save_main_session:
        raise UsageError(
            "--save_main_session: workers need nothing of the launcher's; leave it out"
        )
    if not (known.setup_file or known.extra_packages or known.sdk_container_image):
        raise UsageError(
            "--sdk_container_image: missing; workers need this package: give an image that has it "
            "(templates/Dockerfile), or --setup_file=./setup.py in a checkout"
        )


def _refuse(unknown: Sequence[str], known: Sequence[str]) -> NoReturn:
    flags = [argument.partition("=")[0] for argument in unknown if argument.startswith("-")]
    if not flags:
        raise UsageError(f"{unknown[0]}: not a flag; flags are written --NAME=VALUE")
    name = "--" + flags[0].lstrip("-").replace("-", "_")
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    hint = f"did you mean {close[0]}?" if close else "see --help"
    raise UsageError(f"{flags[0]}: unknown flag; {hint}")
