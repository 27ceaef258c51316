"""Which source reads Pub/Sub where: the graph for each runner, built without a network."""

from __future__ import annotations

import pickle

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.portability.api import beam_runner_api_pb2

from pipelines import graph
from pipelines.options import parse
from pipelines.preflight import Facts
from pipelines.runtime import bridge_config, pipeline_options
from transforms.ranges import Ranges

DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=a-project",
    "--region=us-central1",
    "--temp_location=gs://a-bucket/temp",
    "--staging_location=gs://a-bucket/staging",
    "--dry_run=True",
]
PS_TO_KAFKA = [
    "--subscription=projects/a-project/subscriptions/alerts",
    "--bootstrap_servers=kafka:9092",
    "--kafka_topic=alerts",
]
KAFKA_TO_PS = [
    "--bootstrap_servers=kafka:9092",
    "--kafka_topics=alerts",
    "--group_id=bridge",
    "--pubsub_topic=projects/a-project/topics/alerts",
]
NATIVE_READ = "beam:transform:pubsub_read:v1"


def graph_of(name, flags):
    """The pipeline's proto."""
    options = parse(name, flags, {})
    pipeline = beam.Pipeline(options=pipeline_options(options))
    graph.build(pipeline, options, Facts(), bridge_config(options))
    return pipeline.to_runner_api()


@pytest.mark.parametrize(
    ("runner", "native"), [(DATAFLOW, True), (["--runner=PrismRunner"], False), ([], False)]
)
def test_pubsub_is_read_natively_on_dataflow_and_nowhere_else(runner, native):
    proto = graph_of("ps_to_kafka", [*runner, *PS_TO_KAFKA])
    reads = [t for t in proto.components.transforms.values() if t.spec.urn == NATIVE_READ]
    assert len(reads) == native
    names = {t.unique_name for t in proto.components.transforms.values()}
    assert ("ReadFromPubSub/Pull" in names) is not native
    assert {"ToKafka/Map", "WriteToKafka/Write"} <= names


@pytest.mark.parametrize("runner", [DATAFLOW, ["--runner=PrismRunner"], []])
def test_nothing_shuffles_between_source_and_sink(runner):
    for name, flags in (("ps_to_kafka", PS_TO_KAFKA), ("kafka_to_ps", KAFKA_TO_PS)):
        dead_letter = "--dead_letter=gs://a-bucket/dead"
        proto = graph_of(name, [*runner, *flags, dead_letter])
        urns = {t.spec.urn for t in proto.components.transforms.values()}
        assert not urns & {"beam:transform:group_by_key:v1", "beam:transform:reshuffle:v1"}


@pytest.mark.parametrize("runner", [DATAFLOW, ["--runner=PrismRunner"], []])
def test_a_bounded_run_is_a_finite_source_in_a_batch_pipeline(runner):
    argv = [*runner, *KAFKA_TO_PS, "--stop=now"]
    facts = Facts(ranges={("alerts", 0): Ranges(((0, 9),))})
    options = parse("kafka_to_ps", argv, {})
    beam_options = pipeline_options(options)
    pipeline = beam.Pipeline(options=beam_options)
    graph.build(pipeline, options, facts, bridge_config(options))
    kinds = {c.is_bounded for c in pipeline.to_runner_api().components.pcollections.values()}
    assert kinds == {beam_runner_api_pb2.IsBounded.BOUNDED}
    assert not beam_options.view_as(StandardOptions).streaming


@pytest.mark.parametrize(("runner", "acts"), [(DATAFLOW, False), (["--runner=PrismRunner"], True)])
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
    graph_of("kafka_to_ps", [*runner, *KAFKA_TO_PS, *flags])
    [config] = configs
    for travels in (config.service, config.bridge.open_dead_letters):
        data = pickle.dumps(travels)
        assert (account.encode() in data) is acts
        assert b"eu.example.org:443" in data


def test_no_secret_stands_in_the_graph(monkeypatch):
    monkeypatch.setenv("OPENSESAME", "opensesame")
    proto = graph_of(
        "kafka_to_ps",
        [*DATAFLOW, *KAFKA_TO_PS, "--kafka_config=ssl.key.password=env:OPENSESAME"],
    )
    assert b"opensesame" not in proto.SerializeToString()
    assert b"env:OPENSESAME" not in b"".join(
        data.payload for t in proto.components.transforms.values() for data in t.display_data
    )
