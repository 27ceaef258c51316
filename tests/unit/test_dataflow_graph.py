"""What Dataflow is sent, for every pipeline, built without a network; and what reads where."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import sys
import tarfile
import tempfile
from pathlib import Path

import apache_beam as beam
import dataflow_jobs as jobs
import pytest
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.portability.api import beam_runner_api_pb2

from pipelines import graph
from transforms.errors import UsageError

NATIVE_READ = "beam:transform:pubsub_read:v1"
PRISM = ("--runner=PrismRunner", "--job_endpoint=localhost:1")
RUNNERS = [jobs.DATAFLOW, PRISM, ()]
LIVE = [route for route in jobs.FLAGS if not route.startswith("backfill")]
SHUFFLES = {"beam:transform:group_by_key:v1", "beam:transform:reshuffle:v1"}


def steps(proto):
    """By name."""
    return {step.unique_name: step for step in proto.components.transforms.values()}


def native_reads(proto):
    return [step for step in steps(proto).values() if step.spec.urn == NATIVE_READ]


# -- the source ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runner", "native"), [(runner, runner == jobs.DATAFLOW) for runner in RUNNERS]
)
def test_pubsub_is_read_natively_on_dataflow_and_nowhere_else(runner, native):
    proto = jobs.proto("ps_to_kafka", *runner)
    assert len(native_reads(proto)) == native
    assert ("ReadFromPubSub/Pull in 1 shard" in steps(proto)) is not native


@pytest.mark.parametrize("route", ["ps_to_kafka", "archive of PubSub"])
def test_an_id_label_reaches_the_native_read_and_means_nothing_elsewhere(route):
    [read] = native_reads(jobs.proto(route, *jobs.DATAFLOW, "--id_label=alert_id"))
    payload = beam_runner_api_pb2.PubSubReadPayload.FromString(read.spec.payload)
    assert payload.id_attribute == "alert_id"
    assert payload.subscription == "projects/a-project/subscriptions/alerts"
    with pytest.raises(UsageError, match="--id_label: means nothing with --runner=DirectRunner"):
        jobs.attached(route, "--id_label=alert_id")


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("route", jobs.FLAGS)
def test_nothing_shuffles_between_source_and_sink(route, runner):
    letters = [] if "archive of" in route else ["--dead_letter=gs://a-bucket/dead"]
    proto = jobs.proto(route, *runner, *letters)
    assert not {step.spec.urn for step in steps(proto).values()} & SHUFFLES


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("route", [r for r in jobs.FLAGS if r.startswith("backfill")])
def test_a_backfill_is_a_finite_source_of_our_own_in_a_batch_pipeline(route, runner):
    pipeline = jobs.attached(route, *runner)
    proto = pipeline.to_runner_api()
    kinds = {c.is_bounded for c in proto.components.pcollections.values()}
    assert kinds == {beam_runner_api_pb2.IsBounded.BOUNDED}
    assert not native_reads(proto)
    assert not pipeline._options.view_as(StandardOptions).streaming


def test_a_backfill_on_dataflow_waits_for_what_a_worker_that_was_replaced_had_leased(monkeypatch):
    configs = []
    monkeypatch.setattr(
        graph, "ReadFromPubSub", lambda config, *_: configs.append(config) or beam.Create([])
    )
    flag = "--idle_seconds=3"
    jobs.attached("backfill from PubSub", *jobs.DATAFLOW, flag)
    [config] = configs
    assert config.publish_times.empty_after_s == 1.5 * config.ack_deadline_s


# -- what may not change while a job runs ----------------------------------------------------------


@pytest.mark.parametrize("route", jobs.FLAGS)
def test_names_kinds_and_coders_of_steps_are_those_that_are_kept(route):
    kept = jobs.path_of(route).read_text(encoding="utf-8")
    assert jobs.described(route) == kept, (
        "a running job could not be replaced by this one; if that is meant, `make graphs`, and say "
        "in CHANGELOG.md that jobs have to be drained and started anew"
    )


@pytest.mark.parametrize("route", [r for r in jobs.FLAGS if "Kafka" in r or r == "kafka_to_ps"])
def test_another_number_of_shards_is_another_step_so_that_an_update_is_refused(route):
    before, after = (steps(jobs.proto(route, *jobs.DATAFLOW, f"--shards={n}")) for n in (8, 16))
    assert before.keys() - after.keys() == {"ReadFromKafka/Poll in 8 shards"}
    assert after.keys() - before.keys() == {"ReadFromKafka/Poll in 16 shards"}


@pytest.mark.parametrize("route", LIVE)
def test_no_other_flag_renames_a_step(route):
    plain = jobs.proto(route, *jobs.DATAFLOW)
    flags = ["--metadata_interval_s=60", "--max_in_flight_bytes=50MB", "--max_num_workers=9"]
    more = jobs.proto(route, *jobs.DATAFLOW, *flags, "--kafka_client=kafka-python")
    assert steps(plain).keys() == steps(more).keys()


# -- what is sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("route", jobs.FLAGS)
def test_the_job_names_the_image_and_its_mode(route):
    job, pipeline, files = jobs.sent(route)
    images = {
        beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image
        for environment in pipeline.components.environments.values()
    }
    assert images == {jobs.IMAGE}
    [pool] = job.environment.worker_pools
    assert pool.worker_harness_container_image == jobs.IMAGE
    assert job.type_.name == ("JOB_TYPE_STREAMING" if route in LIVE else "JOB_TYPE_BATCH")
    assert list(files) == ["pipeline.pb"], "no pickled main session, no list of local packages"


def test_at_least_once_mode_is_passed_on():
    mode = "streaming_mode_at_least_once"
    job = jobs.sent("kafka_to_ps", f"--dataflow_service_options={mode}").job
    assert mode in job.environment.service_options


def test_with_a_setup_file_this_package_is_staged_and_names_what_it_requires():
    root = Path(__file__).resolve().parents[2]
    files = jobs.sent("kafka_to_ps", f"--setup_file={root / 'setup.py'}").files
    assert set(files) == {"pipeline.pb", "workflow.tar.gz"}
    with tarfile.open(fileobj=io.BytesIO(files["workflow.tar.gz"])) as staged:
        names = {name.partition("/")[2]: name for name in staged.getnames()}
        assert {"transforms/kafka/source.py", "pipelines/graph.py"} <= names.keys()
        about = staged.extractfile(names["PKG-INFO"]).read().decode()
    assert {"apache-beam", "kafka-python"} <= set(re.findall(r"Requires-Dist: ([a-z-]+)", about))


@pytest.mark.parametrize("route", jobs.FLAGS)
def test_no_local_path_stands_in_a_job_nor_in_what_is_pickled_in_it(route, tmp_path):
    properties = tmp_path / "client.properties"
    properties.write_text("client.id=from-a-file\n")
    offsets = tmp_path / "offsets.json"
    offsets.write_text(json.dumps({"alerts": {"0": 5}}))
    flags = [f"--kafka_properties={properties}"]
    if route in LIVE and "Kafka" in route:
        flags.append(f"--start=offsets={offsets}")
    if route == "backfill from Kafka":
        flags.append(f"--from=offsets={offsets}")
    sent = jobs.sent(route, *flags)
    local = {os.getcwd(), str(Path.home()), tempfile.gettempdir(), sys.prefix, str(tmp_path)}
    found = [path for text in sent.texts() for path in local if path.encode() in text]
    assert not found
    uses_kafka = route != "archive of PubSub"
    assert any(b"from-a-file" in text for text in sent.texts()) is uses_kafka, "contents travel"


@pytest.mark.parametrize(("runner", "acts"), [(jobs.DATAFLOW, False), (PRISM, True)])
def test_workers_act_as_the_account_of_the_flag_but_on_dataflow_as_themselves(
    runner, acts, monkeypatch
):
    account, configs = "bridge@a-project.iam.gserviceaccount.com", []
    monkeypatch.setattr(
        graph, "WriteToPubSub", lambda config: configs.append(config) or beam.Map(str)
    )
    flags = [
        f"--impersonate_service_account={account}",
        "--pubsub_endpoint=eu.example.org",
        "--dead_letter=pubsub://projects/a-project/topics/dead",
    ]
    jobs.attached("kafka_to_ps", *runner, *flags)
    [config] = configs
    for travels in (config.service, config.bridge.open_dead_letters):
        data = pickle.dumps(travels)
        assert (account.encode() in data) is acts
        assert b"eu.example.org:443" in data


def test_no_secret_stands_in_the_graph(monkeypatch):
    monkeypatch.setenv("OPENSESAME", "opensesame")
    sent = jobs.sent("kafka_to_ps", "--kafka_config=ssl.key.password=env:OPENSESAME")
    assert not any(b"opensesame" in text for text in sent.texts())
    assert any(b"env:OPENSESAME" in text for text in sent.texts())
    assert b"env:OPENSESAME" not in b"".join(
        data.payload for step in steps(sent.pipeline).values() for data in step.display_data
    )
