"""Jobs for Dataflow, built without a network: the graph alone, or all that would be sent.

    python tests/helpers/dataflow_jobs.py      # `make graphs`: writes tests/data/graphs/*.txt

Stubbed: Beam asks Cloud Storage about the buckets of an option (not here), uploads what is staged
(kept here instead), and posts the job (answered here). All else is Beam's own.
"""

from __future__ import annotations

import base64
import bz2
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.portability.api import beam_runner_api_pb2 as beam_api
from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
from apache_beam.runners.pipeline_context import PipelineContext

from pipelines import graph
from pipelines.facts import Facts
from pipelines.options import parse
from pipelines.runtime import bridge_config, pipeline_options
from transforms.ranges import Ranges

GRAPHS = Path(__file__).resolve().parents[1] / "data" / "graphs"

IMAGE = "us-docker.pkg.dev/a-project/bridge/bridge:1"
DATAFLOW = (
    "--runner=DataflowRunner",
    "--project=a-project",
    "--region=us-central1",
    "--temp_location=gs://a-bucket/temp",
    "--staging_location=gs://a-bucket/staging",
    f"--sdk_container_image={IMAGE}",
)

_SUBSCRIPTION = "--subscription=projects/a-project/subscriptions/alerts"
_SERVERS = "--bootstrap_servers=kafka:9092"
_READ_TOPICS = (_SERVERS, "--kafka_topics=alerts", "--group_id=bridge")
_TO_PUBSUB = "--pubsub_topic=projects/a-project/topics/alerts"
_TO_KAFKA = (_SERVERS, "--kafka_topic=alerts")
_ARCHIVE = "gs://a-bucket/archive"

FLAGS: dict[str, tuple[str, ...]] = {
    "ps_to_kafka": (_SUBSCRIPTION, *_TO_KAFKA),
    "kafka_to_ps": (*_READ_TOPICS, _TO_PUBSUB),
    "kafka_to_ps, archive": (*_READ_TOPICS, _TO_PUBSUB, f"--archive={_ARCHIVE}"),
    "archive of Kafka": (*_READ_TOPICS, f"--archive={_ARCHIVE}"),
    "archive of PubSub": (_SUBSCRIPTION, f"--archive={_ARCHIVE}"),
    "backfill from Kafka": (*_READ_TOPICS, _TO_PUBSUB),
    "backfill from PubSub": (_SUBSCRIPTION, *_TO_KAFKA, "--group_id=bridge"),
    "backfill from an archive": (f"--from_archive={_ARCHIVE}", *_TO_KAFKA),
}
"""A command line for each route, without those of the runner; the pipeline is its first word."""

_FACTS = {
    "backfill from Kafka": Facts(ranges={("alerts", 0): Ranges(((0, 9),))}),
    "backfill from PubSub": Facts(now_ms=1_700_000_000_000),
}


class Sent(NamedTuple):
    """What a launcher would send.

    Attributes:
      job: the job's own message.
      pipeline: the pipeline that it names.
      files: what is staged, by name.
    """

    job: Any
    pipeline: Any
    files: dict[str, bytes]

    def texts(self) -> Iterator[bytes]:
        """All of it, and within it what is pickled and compressed."""
        for data in (type(self.job).serialize(self.job), *self.files.values()):
            yield from _unpacked(data)


def attached(route: str, *flags: str, facts: Facts | None = None) -> beam.Pipeline:
    """The pipeline of a command line, which has not run."""
    name = route.partition(",")[0].partition(" ")[0]
    options = parse(name, [*flags, *FLAGS[route]], {})  # type: ignore[arg-type]
    with _no_questions_about_buckets():
        pipeline = beam.Pipeline(options=pipeline_options(options))
    given = facts or _FACTS.get(route, Facts())
    graph.build(pipeline, options, given, bridge_config(options))
    return pipeline


@lru_cache
def proto(route: str, *flags: str) -> Any:
    """The graph of a command line."""
    return attached(route, *flags).to_runner_api()


@lru_cache
def sent(route: str, *flags: str) -> Sent:
    """What a launcher would send for a command line."""
    files: dict[str, bytes] = {}
    jobs = []

    def stage(_client: Any, _folder: str, name: str, data: Any, **_more: Any) -> None:
        files[name] = Path(data).read_bytes() if isinstance(data, str) else data.read()

    def post(_client: Any, job: Any) -> Any:
        jobs.append(job)
        return job.proto

    pipeline = attached(route, *DATAFLOW, "--no_auth", *flags)
    with ExitStack() as stack:
        stack.enter_context(_no_questions_about_buckets())
        for name, stub in (("stage_file_with_retry", stage), ("submit_job_description", post)):
            stack.enter_context(mock.patch.object(DataflowApplicationClient, name, stub))
        pipeline.run()
    [job] = jobs
    return Sent(job.proto, job.proto_pipeline, files)


def _no_questions_about_buckets() -> Any:
    return mock.patch.object(GoogleCloudOptions, "_warn_if_soft_delete_policy_enabled")


def _unpacked(data: bytes) -> Iterator[bytes]:
    yield data
    for packed in re.findall(rb"[A-Za-z0-9+/]{24,}={0,2}", data):
        for decompress in (bz2.decompress, zlib.decompress):
            try:
                yield from _unpacked(decompress(base64.b64decode(packed)))
            except (ValueError, OSError, zlib.error):
                continue  # text that only looks packed


# -- the graphs that are kept ----------------------------------------------------------------------


def described(route: str) -> str:
    """What has to stay for a running job to be replaced: by name each step, its kind, the coders of
    its outputs and of what it keeps."""
    found = proto(route, *DATAFLOW)
    coders = PipelineContext(found.components).coders
    lines = []
    for step in sorted(found.components.transforms.values(), key=_name):
        if not step.spec.urn:
            continue  # the pipeline itself
        lines += ["", step.unique_name, f"  {step.spec.urn}"]
        if step.spec.urn == "beam:transform:pardo:v1":
            restriction = beam_api.ParDoPayload.FromString(step.spec.payload).restriction_coder_id
            if restriction:
                lines.append(f"  restriction: {_coder(coders.get_by_id(restriction))}")
        for output in step.outputs.values():
            pcollection = found.components.pcollections[output]
            kind = beam_api.IsBounded.Enum.Name(pcollection.is_bounded).lower()
            lines.append(f"  {kind}: {_coder(coders.get_by_id(pcollection.coder_id))}")
    return "\n".join(lines[1:]) + "\n"


def _name(step: Any) -> str:
    return str(step.unique_name)


def _coder(coder: Any) -> str:
    parts = ", ".join(map(_coder, coder._get_component_coders()))
    return f"{type(coder).__module__}.{type(coder).__name__}" + (f"({parts})" if parts else "")


def path_of(route: str) -> Path:
    """Where its graph is kept."""
    return GRAPHS / f"{re.sub('[^a-z]+', '_', route.lower())}.txt"


if __name__ == "__main__":
    GRAPHS.mkdir(exist_ok=True)
    for each in FLAGS:
        path_of(each).write_text(described(each), encoding="utf-8")
