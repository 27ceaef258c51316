"""Hands a job to Dataflow, and waits for its end where it has one."""

from __future__ import annotations

import logging
import signal
from typing import Any

from apache_beam.internal import cloudpickle_pickler
from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, SetupOptions
from apache_beam.runners.runner import PipelineState

from pipelines import output
from pipelines.signals import handled
from transforms.errors import PreflightError, TransferError, one_line

_log = logging.getLogger(__name__)


def leave_out_the_launcher(beam_options: PipelineOptions) -> None:
    """Keeps out of a job what Beam puts into it of the launching machine.

    That is, by default: its `__main__`, of which workers need nothing; the list of its packages
    with the path of its Python; and the paths of source files, in functions that are sent as code.
    """
    beam_options.view_as(SetupOptions).save_main_session = False
    beam_options.view_as(DebugOptions).add_experiment("disable_logging_submission_environment")
    cloudpickle_pickler.DEFAULT_CONFIG.filepath_interceptor = cloudpickle.get_relative_path


def submit(pipeline: Any, bounded: bool) -> bool:
    """Submits a job, or stages a template; returns whether all is delivered.

    Args:
      bounded: the job ends by itself, and is waited for. A stream has no end to wait for, and a
        launcher of templates has to return.
    Raises:
      PreflightError: there is no job.
      TransferError: the job has failed, or nobody can say what became of it.
    """
    try:
        result = pipeline.run()
    except Exception as error:
        raise refused(error) from error
    if not getattr(result, "has_job", False):
        return False
    job_id = result.job_id()
    if not bounded:
        _log.info("Dataflow job %s is running; stop it with drain, never cancel", job_id)
        return False
    _log.info("Dataflow job %s is running; it ends by itself", job_id)
    with handled((signal.SIGINT, signal.SIGTERM), _leave):
        _wait(result, job_id)
    return True


def refused(error: Exception) -> PreflightError:
    """What Beam or Dataflow say of a job that they do not take, in one line."""
    return PreflightError(f"submit Dataflow job: {one_line(error)}")


def _wait(result: Any, job_id: str) -> None:
    try:
        result.wait_until_finish()
        state = result.state
    except Exception as error:
        state = getattr(getattr(error, "result", None), "state", None)
        if state is None:
            raise TransferError(
                f"watch Dataflow job {job_id}: {one_line(error)}; it goes on: when it has ended, "
                "run the same command again, which does what is left"
            ) from error
    if state != PipelineState.DONE:
        raise TransferError(
            f"run Dataflow job {job_id}: it has ended as {state}; its log says why, and the same "
            "command goes on where it was"
        )


def _leave(number: int, _frame: Any) -> None:
    """The job is Dataflow's; a second run of the same command finds what it has done."""
    name = signal.Signals(number).name
    output.write_now(f"{name}: the Dataflow job goes on; when it has ended, run the command again")
    raise SystemExit(128 + number)
