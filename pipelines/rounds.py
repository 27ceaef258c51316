"""The in-process runner: a stream as a sequence of rounds, each a Beam pipeline that ends.

Beam's FnApiRunner keeps about 22 kB for every bundle until its pipeline ends. So a pipeline ends
after a while, and the next one continues where the session in `transforms.registry` stands: the
consumer, the prefetched messages and all leases stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.worker import statesampler

from pipelines import memory
from transforms.control import Control, Rounds

_log = logging.getLogger(__name__)

SAMPLING_PERIOD_MS = 5
"""Beam's state sampler sleeps up to its period at the end of each bundle: 200 ms by default."""

Build = Callable[[Any], Any]
"""Attaches the graph to a pipeline."""


def run(
    build: Build,
    control: Control,
    beam_args: Sequence[str],
    rounds: Rounds | None = None,
    finished: Callable[[], bool] = bool,
    between: Callable[[], object] = bool,
) -> None:
    """Runs rounds until `control` says stop, or all that there is has been read.

    Args:
      between: called when a round has ended and another one follows: nothing is in flight.
    Raises:
      Exception: what a bundle raised; Beam hands it on as text.
    """
    _shorten_sampling()
    memory.look_for_fewer_cycles()
    while True:
        control.begin_round(rounds or Rounds())
        options = PipelineOptions(list(beam_args))
        direct = options.view_as(DirectOptions)
        direct.direct_num_workers, direct.direct_running_mode = 1, "in_memory"
        pipeline = beam.Pipeline(runner=FnApiRunner(), options=options)
        build(pipeline)
        pipeline.run().wait_until_finish()
        if control.stopping or finished():
            return
        between()
        memory.trim()
        _log.debug("round ended, the next one begins")


def _shorten_sampling() -> None:
    """Sets the default period of Beam's state sampler, if Beam still has it where it was."""
    initialise = statesampler.StateSampler.__init__
    if initialise.__defaults__ == (statesampler.DEFAULT_SAMPLING_PERIOD_MS,):
        initialise.__defaults__ = (SAMPLING_PERIOD_MS,)
