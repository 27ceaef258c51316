"""What replacing a running Dataflow job needs: that it runs, and reads in as many shards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines.facts import Found
from pipelines.options import Options, Runner
from pipelines.reaching import CALL_S
from transforms.errors import PreflightError, one_line
from transforms.reading import SHARDS_IN_NAME


def checks(options: Options) -> dict[str, Callable[[], Found]]:
    """A look at the job that `--update` replaces, if it is given."""
    if options.runner is not Runner.DATAFLOW:
        return {}
    beam_options = PipelineOptions(options.beam_args).view_as(GoogleCloudOptions)
    if not beam_options.update:
        return {}
    name = beam_options.job_name
    return {f"Dataflow job {name}": partial(_look, beam_options, name, options.shards)}


def _look(beam_options: GoogleCloudOptions, name: str, shards: int) -> Found:
    """Dataflow itself would refuse the update for a step that is missing, minutes later; and Beam
    looks for a job that does not run without end."""
    found = _steps(beam_options, name)
    if found is None:
        raise PreflightError(
            f"update Dataflow job {name}: no job of this name runs in {beam_options.region}; "
            "correct --job_name or --region, or leave --update out"
        )
    counts = {int(count) for step in found for count in re.findall(SHARDS_IN_NAME, step)}
    if counts and shards not in counts:
        before = max(counts)
        raise PreflightError(
            f"--shards={shards}: Dataflow job {name} runs with {before}; give --shards={before}, "
            "or drain it and start anew"
        )
    return {}


def _steps(beam_options: GoogleCloudOptions, name: str) -> list[str] | None:
    """The names of the steps of the job that runs under a name; None: there is none."""
    from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient

    where = {"project_id": beam_options.project, "location": beam_options.region}
    try:
        client = DataflowApplicationClient(beam_options)._jobs_client
        jobs = client.list_jobs(request={**where, "filter": "ACTIVE", "name": name}, timeout=CALL_S)
        job_id = next((job.id for job in jobs if job.name == name), None)
        if job_id is None:
            return None
        asked = {**where, "job_id": job_id, "view": "JOB_VIEW_ALL"}
        return list(_names(client.get_job(request=asked, timeout=CALL_S)))
    except Exception as error:
        raise PreflightError(f"look at Dataflow job {name}: {one_line(error)}") from error


def _names(job: Any) -> Iterator[str]:
    for step in job.steps:
        yield str(step.properties.get("user_name", ""))
    for transform in job.pipeline_description.original_pipeline_transform:
        yield transform.name
