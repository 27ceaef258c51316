"""The command line is a contract: what is accepted, what it becomes, how the rest is refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import flag_values
from pipelines.flag_values import KeySource, SeekTo, StartAt, TopicLayout
from pipelines.options import FLAGS, KAFKA_TO_PS, PS_TO_KAFKA, Options, Pipeline, Runner, parse
from transforms.dead_letters.places import Place
from transforms.errors import UsageError
from transforms.kafka.config import opened
from transforms.pubsub.service import Service

ENDS: dict[Pipeline, list[str]] = {
    PS_TO_KAFKA: [
        "--subscription=projects/my-project/subscriptions/alerts",
        "--bootstrap_servers=broker:9092",
        "--kafka_topic=alerts",
    ],
    KAFKA_TO_PS: [
        "--bootstrap_servers=broker:9092",
        "--kafka_topics=ztf,lsst",
        "--group_id=bridge",
        "--pubsub_topic=projects/my-project/topics/alerts",
    ],
}
DATAFLOW = [
    "--runner=DataflowRunner",
    "--region=us-central1",
    "--sdk_container_image=an-image",
    "--project=my-project",
]


def options(pipeline: Pipeline, *argv: str, **environ: str) -> Options:
    return parse(pipeline, [*ENDS[pipeline], *argv], environ)


def error(pipeline: Pipeline, *argv: str, **environ: str) -> str:
    with pytest.raises(UsageError) as caught:
        options(pipeline, *argv, **environ)
    return str(caught.value)


# -- values ------------------------------------------------------------------------------------

PS, KP = PS_TO_KAFKA, KAFKA_TO_PS


@pytest.mark.parametrize(
    ("pipeline", "argument", "field", "value"),
    [
        (KP, "--kafka_topics=^ztf_[0-9]{8,8}_programid1", "kafka_topics", None),
        (KP, "--kafka_topics=a,b.c-d_e", "kafka_topics", ("a", "b.c-d_e")),
        (KP, "--kafka_topics=a_%Y%m%d,b", "kafka_topics", ("a_%Y%m%d", "b")),
        (KP, "--bootstrap_servers=a:1,[::1]:65535", "bootstrap_servers", "a:1,[::1]:65535"),
        (KP, "--start=latest", "start", StartAt("latest")),
        (KP, "--start=timestamp=1970-01-01T00:00:01Z", "start", StartAt("timestamp", 1000)),
        (KP, "--reset_offsets", "reset_offsets", True),
        (KP, "--reset_offsets=false", "reset_offsets", False),
        (KP, "--attributes=none", "attributes", "none"),
        (KP, "--ordering_key=partition", "ordering_key", "partition"),
        (KP, "--instance_id=bridge-1", "instance_id", "bridge-1"),
        (PS, "--key=none", "key", KeySource("none")),
        (PS, "--key=attribute:object id", "key", KeySource("attribute", "object id")),
        (PS, "--partition=source", "partition", "source"),
        (PS, "--create_topics=6:3", "create_topics", TopicLayout(6, 3)),
        (PS, "--seek=now", "seek", SeekTo("now")),
        (
            PS,
            "--seek=snapshot=night",
            "seek",
            SeekTo("snapshot", snapshot="projects/my-project/snapshots/night"),
        ),
        (
            PS,
            "--seek=snapshot=projects/other/snapshots/night",
            "seek",
            SeekTo("snapshot", snapshot="projects/other/snapshots/night"),
        ),
        (PS, "--max_messages=1000", "max_messages", 1000),
        (PS, "--idle_seconds=0.5", "idle_seconds", 0.5),
        (PS, "--linger_ms=0", "linger_ms", 0.0),
        (PS, "--max_in_flight_bytes=100MB", "max_in_flight_bytes", 100_000_000),
        (PS, "--max_in_flight_bytes=1GiB", "max_in_flight_bytes", 2**30),
        (PS, "--no_progress", "progress", False),
        (PS, "--progress", "progress", True),
        (PS, "--runner=direct", "runner", Runner.IN_PROCESS),
        (PS, "--runner=PrismRunner", "runner", Runner.PRISM),
        (PS, "--runner=flink", "runner", Runner.PORTABLE),
        (PS, "--kafka_client=kafka-python", "client", "kafka-python"),
    ],
)
def test_a_value_becomes(pipeline: Pipeline, argument: str, field: str, value: Any) -> None:
    expected = (argument.partition("=")[2],) if value is None else value
    assert getattr(options(pipeline, argument), field) == expected


@pytest.mark.parametrize(
    ("pipeline", "argument", "says"),
    [
        *((PS, f"--max_messages={bad}", "above 0") for bad in ("0", "-1", "1.5", "x", "", "1e3")),
        *((PS, f"--max_rate={bad}", "above 0") for bad in ("0", "-1", "nan", "inf", "1e999", "x")),
        (PS, "--linger_ms=-1", "at least 0"),
        (PS, "--delivery_timeout_s=36001", "at most 36000"),
        (PS, "--max_lease_s=9.9", "at least 10"),
        (PS, "--max_in_flight_bytes=999999", "at least 1000000"),
        (PS, "--max_in_flight_bytes=1XB", "100MB"),
        (PS, "--subscription=alerts", "projects/PROJECT/subscriptions/NAME"),
        (PS, "--subscription=projects/p/topics/alerts", "projects/PROJECT/subscriptions/NAME"),
        (PS, "--subscription=projects/p/subscriptions/ab", "3-255"),
        (PS, "--subscription=projects/p/subscriptions/goog1", "goog"),
        (PS, "--subscription=", "projects/PROJECT/subscriptions/NAME"),
        (PS, "--kafka_topic=..", "not a Kafka topic name"),
        (PS, "--kafka_topic=" + "a" * 250, "1-249"),
        (PS, "--bootstrap_servers=broker", "HOST:PORT"),
        (PS, "--bootstrap_servers=broker:0", "HOST:PORT"),
        (PS, "--bootstrap_servers=a:1,", "HOST:PORT"),
        (PS, "--bootstrap_servers=http://a:1", "HOST:PORT"),
        (PS, "--key=attribute:", "attribute:NAME"),
        (PS, "--key=attribute:" + "é" * 129, "258 bytes, limit 256"),
        (PS, "--create_topics=3", "PARTITIONS:REPLICATION"),
        (PS, "--create_topics=0:1", "PARTITIONS:REPLICATION"),
        (PS, "--seek=timestamp=2026-03-01T00:00:00", "zone"),
        (PS, "--seek=timestamp=2026-02-30T00:00:00Z", "not a time that exists"),
        (PS, "--seek=timestamp=1969-12-31T23:59:59Z", "before 1970"),
        (PS, "--seek=yesterday", "now, timestamp=RFC3339, snapshot=NAME"),
        (PS, "--attributes=whole", "is not one of none, metadata, lossless"),
        (PS, "--dead_letter=", "empty"),
        (PS, "--dead_letter=http://x/y", "kafka://, pubsub://"),
        (PS, "--dead_letter=kafka://a/b", "not a Kafka topic name"),
        (PS, "--dead_letter=pubsub://alerts", "projects/PROJECT/topics/NAME"),
        (PS, "--dead_letter=pubsub://projects/p/subscriptions/sss", "projects/PROJECT/topics/NAME"),
        (PS, "--dead_letter=gs://", "names no folder"),
        (PS, "--dead_letter=kafka:dead", "write kafka://..."),
        (PS, "--dead_letter=kafka:/dead", "write kafka://..."),
        (PS, "--dead_letter=file://dead", "file:///PATH"),
        (PS, "--dead_letter=dead*", "choose a folder without"),
        (PS, "--returns=keep", "drop, pass"),
        (PS, "--pull=push", "unary, streaming"),
        (PS, "--runner=SparkleRunner", "DirectRunner"),
        (PS, "--kafka_config=secret-without-key", "KEY=VALUE"),
        (PS, "--kafka_config=no.such.property=1", "no.such.property"),
        (PS, "--kafka_properties=/no/such/file", "/no/such/file"),
        (PS, "--report=/no/such/folder/report.json", "/no/such/folder"),
        (PS, "--report=/", "folder"),
        (KP, "--kafka_topics=^(", "regular expression"),
        (KP, "--kafka_topics=a,^b", "stands alone"),
        (KP, "--kafka_topics=a,a", "twice"),
        (KP, "--kafka_topics=a,", "not a Kafka topic name"),
        (KP, "--kafka_topics=a,b_%Y%m", "'b_%Y%m' names several nights alike"),
        (KP, "--kafka_topics=a_%Y%m%d_%H", "'%H' is no part of a night's date"),
        (KP, "--kafka_topics=a/%Y%m%d", "not a Kafka topic name"),
        (KP, "--change_hour=24", "from 0 to 23"),
        (KP, "--days_back=-1", "from 0 to 366"),
        (KP, "--stop=dawn", "offsets=FILE, night_end"),
        (KP, "--group_id=", "empty"),
        (KP, "--start=offsets=/no/such/file", "/no/such/file"),
        (KP, "--start=first", "earliest, latest, timestamp=RFC3339, offsets=FILE"),
        (KP, "--reset_offsets=maybe", "true nor false"),
    ],
)
def test_a_bad_value_is_named_with_its_flag(pipeline: Pipeline, argument: str, says: str) -> None:
    message = error(pipeline, argument)
    assert argument.partition("=")[0] in message
    assert says in message
    assert "\n" not in message


def test_a_refused_property_is_not_repeated_since_it_may_be_a_secret() -> None:
    assert "hunter2" not in error(PS, "--kafka_config=hunter2")


@given(
    st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(2200, 1, 1)),
    st.integers(min_value=-23 * 60 - 59, max_value=23 * 60 + 59),
)
def test_a_timestamp_is_the_same_instant_in_every_zone(when: datetime, zone_minutes: int) -> None:
    aware = when.replace(tzinfo=timezone(timedelta(minutes=zone_minutes)))
    expected = (aware - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)
    assert flag_values.timestamp_ms(aware.isoformat()) == expected


@pytest.mark.parametrize(
    ("content", "good"),
    [
        ({"ztf": {"0": 5, "12": 0}}, True),
        ({}, False),
        ([], False),
        ({"ztf": {}}, False),
        ({"ztf": {"-1": 5}}, False),
        ({"ztf": {"0": -1}}, False),
        ({"ztf": {"0": True}}, False),
        ({"ztf": {"0": "5"}}, False),
        ({"": {"0": 5}}, False),
        ({"other": {"0": 5}}, False),
    ],
)
def test_an_offsets_file_is_checked(tmp_path: Path, content: Any, good: bool) -> None:
    file = tmp_path / "offsets.json"
    file.write_text(json.dumps(content))
    argument = f"--start=offsets={file}"
    if good:
        offsets = {("ztf", 0): 5, ("ztf", 12): 0}
        assert options(KP, argument).start == StartAt("offsets", offsets=offsets)
    else:
        assert "--start" in error(KP, argument)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("kafka://alerts-dead", Place("kafka", "alerts-dead")),
        ("pubsub://projects/p/topics/dead", Place("pubsub", "projects/p/topics/dead")),
        ("/var/dead", Place("files", "/var/dead")),
        ("dead", Place("files", "dead")),
        ("file:///var/dead", Place("files", "/var/dead")),
        ("gs://bucket/dead", Place("files", "gs://bucket/dead")),
        ("s3://bucket/dead", Place("files", "s3://bucket/dead")),
    ],
)
def test_a_place_for_dead_letters_is_a_topic_or_a_folder(text: str, place: Place) -> None:
    assert options(PS, f"--dead_letter={text}").dead_letter == place


@pytest.mark.parametrize(
    ("pipeline", "arguments", "says"),
    [
        (PS, ["--dead_letter=kafka://{kafka_topic}"], "a topic of their own"),
        (KP, ["--dead_letter=kafka://{kafka_topics[0]}"], "a topic of their own"),
        (KP, ["--kafka_topics=^al", "--dead_letter=kafka://alerts-dead"], "a topic of their own"),
        (KP, ["--dead_letter=pubsub://{pubsub_topic}"], "a topic of their own"),
        (KP, ["--runner=FlinkRunner", "--dead_letter=/var/dead"], "each worker's own"),
        (PS, ["--returns=drop", "--attributes=none"], "--attributes=metadata or lossless"),
    ],
)
def test_a_place_for_dead_letters_and_loop_safety_must_be_possible(
    pipeline: Pipeline, arguments: list[str], says: str
) -> None:
    given = vars(options(pipeline))
    assert says in error(pipeline, *(argument.format(**given) for argument in arguments))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--change_hour=22"], "--change_hour: means nothing without a date in --kafka_topics"),
        (["--days_back=3"], "--days_back: means nothing without a date in --kafka_topics"),
        (["--stop=night_end"], "--stop=night_end: means nothing without a date in --kafka_topics"),
        (["--kafka_topics=^a_%Y%m%d", "--days_back=3"], "--days_back: means nothing without"),
        (
            ["--kafka_topics=a_%Y%m%d", "--stop=night_end", "--shards=2", "--runner=PrismRunner"],
            "use --shards=1",
        ),
        (
            ["--kafka_topics=a_%Y%m%d", "--dead_letter=kafka://a_20240229"],
            "a topic of their own",
        ),
    ],
)
def test_flags_about_nights_need_topics_of_nights(arguments: list[str], says: str) -> None:
    assert says in error(KP, *arguments)


def test_without_attributes_nothing_is_marked() -> None:
    assert not options(PS, "--attributes=none").drops_returns
    assert not options(PS, "--returns=pass").drops_returns
    assert options(PS).drops_returns


# -- which flags, where ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pipeline", "argument", "says"),
    [
        (PS, "--max_mesages=5", "did you mean --max_messages"),
        (PS, "--max-messages=5", "did you mean --max_messages"),
        (PS, "--num_worker=5", "did you mean --num_workers"),
        (PS, "--max_m=5", "unknown flag"),
        (PS, "--stop=now", "belongs to kafka_to_ps, archive alone"),
        (PS, "--dead_leter=kafka://dead", "unknown flag"),
        (PS, "-v", "unknown flag"),
        (PS, "alerts", "not a flag"),
        (PS, "--start=latest", "kafka_to_ps, archive alone"),
        (KP, "--seek=now", "ps_to_kafka, archive alone"),
        (PS, "--max_messages", "expected one argument"),
        (PS, "--num_workers=many", "--num_workers: invalid int value"),
    ],
)
def test_an_unknown_flag_is_an_error(pipeline: Pipeline, argument: str, says: str) -> None:
    message = error(pipeline, argument)
    assert says in message
    assert argument.partition("=")[0] in message


def test_beams_flags_pass_through_and_our_bootstrap_servers_do_not() -> None:
    beam_args = ["--num_workers", "3", "--experiments=x", "--streaming"]
    assert options(PS, *beam_args).beam_args == ["--runner=DirectRunner", *beam_args]


def test_only_known_names_hide_a_flag_of_beam() -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    beams = set(PipelineOptions([]).get_all_options())
    hidden = {"runner", "bootstrap_servers", "impersonate_service_account", "dry_run"}
    assert {f.name for f in FLAGS} & beams == hidden


LOCAL_ONLY = {
    "--max_messages=5",
    "--max_seconds=5",
    "--idle_seconds=5",
    "--max_rate=5",
    "--report=report.json",
    "--progress",
    "--no_progress",
}


@pytest.mark.parametrize(
    ("pipeline", "runner", "refused"),
    [
        (PS, "FlinkRunner", LOCAL_ONLY),
        (KP, "FlinkRunner", {*LOCAL_ONLY, "--instance_id=a"}),
        (KP, "DataflowRunner", {*LOCAL_ONLY, "--instance_id=a"}),
        (
            PS,
            "DataflowRunner",
            {
                *LOCAL_ONLY,
                "--pull=unary",
                "--shards=1",
                "--commit_interval_s=2",
                "--max_lease_s=60",
            },
        ),
    ],
)
def test_a_flag_that_means_nothing_on_the_runner_is_refused(
    pipeline: Pipeline, runner: str, refused: set[str]
) -> None:
    for argument in refused:
        message = error(pipeline, f"--runner={runner}", argument)
        assert f"means nothing with --runner={runner}" in message
        options(pipeline, argument, *(["--assignment=group"] if "instance" in argument else []))


def test_dataflow_takes_what_means_something_there() -> None:
    on_dataflow = options(KP, *DATAFLOW, "--commit_interval_s=30", "--shards=64")
    assert (on_dataflow.assignment, on_dataflow.shards) == ("shards", 64)
    assert on_dataflow.commit_interval_s == 30


def test_what_dataflow_misses_is_said_before_anything_starts() -> None:
    assert error(KP, *DATAFLOW[:-1]).startswith("--project: missing")
    said = error(KP, *(f for f in DATAFLOW if "image" not in f))
    assert said.startswith("--sdk_container_image: missing")
    assert "--setup_file=./setup.py" in said
    assert error(KP, *DATAFLOW, "--update").startswith("--update: needs --job_name")
    assert error(KP, *DATAFLOW, "--save_main_session").startswith("--save_main_session: ")
    assert "PUBSUB_EMULATOR_HOST" in error(KP, *DATAFLOW, PUBSUB_EMULATOR_HOST="localhost:8085")


@pytest.mark.parametrize(
    ("pipeline", "argv", "says"),
    [
        (KP, ["--shards=2"], "--shards"),
        (PS, ["--pull=streaming", "--max_messages=5"], "--max_messages"),
        (KP, ["--runner=PrismRunner", "--max_messages=5", "--shards=2"], "--max_messages"),
        (KP, ["--runner=PrismRunner", "--instance_id=a", "--shards=2"], "--instance_id"),
        (KP, ["--instance_id=a", "--assignment=shards"], "--instance_id"),
        (KP, ["--revoke_timeout_s=5", "--assignment=shards"], "--revoke_timeout_s"),
        (PS, ["--commit_interval_s=60", "--max_lease_s=60"], "--commit_interval_s"),
    ],
)
def test_flags_that_exclude_each_other_are_refused(
    pipeline: Pipeline, argv: list[str], says: str
) -> None:
    assert error(pipeline, *argv).startswith(f"{says}: ")


@pytest.mark.parametrize(
    ("pipeline", "argv", "field", "value"),
    [
        (PS, [], "commit_interval_s", 1.0),
        (KP, [], "commit_interval_s", 5.0),
        (KP, [], "assignment", "group"),
        (KP, ["--runner=PrismRunner"], "assignment", "group"),
        (KP, ["--runner=FlinkRunner"], "assignment", "shards"),
        (KP, [], "shards", 1),
        (KP, [], "attributes", "metadata"),
        (KP, [], "start", StartAt("earliest")),
        (PS, [], "key", KeySource("auto")),
        (PS, [], "max_in_flight_bytes", 200_000_000),
        (PS, [], "progress", None),
    ],
)
def test_the_defaults_are_those_of_the_contract(
    pipeline: Pipeline, argv: list[str], field: str, value: Any
) -> None:
    assert getattr(options(pipeline, *argv), field) == value


# -- both sides, one side, none ----------------------------------------------------------------


@pytest.mark.parametrize("pipeline", [PS, KP])
def test_one_missing_end_is_named(pipeline: Pipeline) -> None:
    for missing in ENDS[pipeline]:
        argv = [argument for argument in ENDS[pipeline] if argument != missing]
        with pytest.raises(UsageError) as caught:
            parse(pipeline, argv, {})
        assert str(caught.value).startswith(missing.partition("=")[0] + ": missing")


@pytest.mark.parametrize("pipeline", [PS, KP])
def test_neither_side_is_a_demo_that_never_touches_the_environments_cluster(
    pipeline: Pipeline,
) -> None:
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "prod:9092", "PUBSUB_EMULATOR_HOST": "prod:8085"}
    demo = parse(pipeline, [], environ)
    assert (demo.demo, demo.bootstrap_servers, demo.pubsub_emulator_host) == (True, "", "")


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        ([], {"BRIDGE_DEMO": "off"}),
        (["--runner=PrismRunner"], {}),
        (["--runner=FlinkRunner"], {}),
    ],
)
def test_where_a_demo_is_not_possible_neither_side_is_an_error(
    argv: list[str], environ: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="--subscription, --bootstrap_servers, --kafka_topic"):
        parse(PS, argv, environ)


def test_the_environment_stands_in_for_a_flag_and_yields_to_it() -> None:
    argv = [a for a in ENDS[PS] if "bootstrap" not in a]
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "env:9092", "PUBSUB_EMULATOR_HOST": "localhost:8085"}
    from_environ = parse(PS, argv, environ)
    assert from_environ.bootstrap_servers == "env:9092"
    assert from_environ.pubsub_emulator_host == "localhost:8085"
    assert parse(PS, ENDS[PS], environ).bootstrap_servers == "broker:9092"
    with pytest.raises(UsageError, match=r"^KAFKA_BOOTSTRAP_SERVERS: .*HOST:PORT"):
        parse(PS, argv, {"KAFKA_BOOTSTRAP_SERVERS": "env"})


# -- Pub/Sub: where, and as whom ---------------------------------------------------------------

ACCOUNT = "bridge@my-project.iam.gserviceaccount.com"


@pytest.mark.parametrize("pipeline", [PS, KP])
@pytest.mark.parametrize(
    ("argv", "service"),
    [
        ([], Service()),
        (
            ["--pubsub_endpoint=us-east1-pubsub.googleapis.com"],
            "us-east1-pubsub.googleapis.com:443",
        ),
        (["--pubsub_endpoint=[::1]:8443"], "[::1]:8443"),
        ([f"--impersonate_service_account={ACCOUNT}"], Service("", ACCOUNT)),
        ([f"--impersonate_service_account=1234,{ACCOUNT}"], Service("", f"1234,{ACCOUNT}")),
    ],
)
def test_flags_say_where_pubsub_is_and_who_calls_it(
    pipeline: Pipeline, argv: list[str], service: Service | str
) -> None:
    expected = service if isinstance(service, Service) else Service(service)
    assert options(pipeline, *argv).pubsub == expected
    assert options(pipeline, *argv).workers_pubsub == expected


@pytest.mark.parametrize(
    "argument",
    [
        "--pubsub_endpoint=https://pubsub.googleapis.com",
        "--pubsub_endpoint=pubsub.googleapis.com:0",
        "--pubsub_endpoint=a:1,b:2",
        "--pubsub_endpoint=",
        "--impersonate_service_account=bridge",
        f"--impersonate_service_account={ACCOUNT}, {ACCOUNT}",
        "--impersonate_service_account=a/b@c",
    ],
)
def test_what_is_no_address_or_account_is_refused(argument: str) -> None:
    assert error(PS, argument).startswith(argument.partition("=")[0] + ": ")


@pytest.mark.parametrize(
    "argument",
    ["--pubsub_endpoint=localhost:8443", f"--impersonate_service_account={ACCOUNT}"],
)
def test_an_emulator_has_one_address_and_no_accounts(argument: str) -> None:
    said = error(PS, argument, PUBSUB_EMULATOR_HOST="localhost:8085")
    assert argument.partition("=")[0] in said
    assert "PUBSUB_EMULATOR_HOST=localhost:8085" in said
    with pytest.raises(UsageError, match=r"means nothing in a demo"):
        parse(PS, [argument], {})


def test_beam_acts_as_the_same_account_and_workers_on_dataflow_as_themselves() -> None:
    argument = f"--impersonate_service_account={ACCOUNT}"
    assert argument in options(PS, argument).beam_args
    on_dataflow = options(KP, *DATAFLOW, argument, "--pubsub_endpoint=eu:443")
    assert argument in on_dataflow.beam_args
    assert on_dataflow.pubsub == Service("eu:443", ACCOUNT)
    assert on_dataflow.workers_pubsub == Service("eu:443")


def test_where_dataflow_itself_reads_it_takes_no_endpoint() -> None:
    said = error(PS, *DATAFLOW, "--pubsub_endpoint=eu-pubsub.example.org")
    assert said.startswith("--pubsub_endpoint: means nothing with --runner=DataflowRunner")


# -- properties, secrets, help -----------------------------------------------------------------


def test_properties_come_from_the_file_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("security.protocol=SSL\nclient.id=from-file\n")
    parsed = options(
        PS,
        f"--kafka_properties={file}",
        "--kafka_config=client.id=first",
        "--kafka_config",
        "client.id=from-flag",
    )
    assert parsed.kafka.properties == {"security.protocol": "SSL", "client.id": "from-flag"}


def test_options_travel_and_do_not_show_secrets(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=alice\n")
    file.write_text(file.read_text() + "sasl.password=hunter2\n")
    parsed = options(PS, f"--kafka_properties={file}", "--s3_secret_access_key=hunter2")
    assert opened(parsed.kafka.properties, "producer")["sasl.password"] == "hunter2"
    assert b"hunter2" not in pickle.dumps(parsed.kafka)
    assert "hunter2" not in repr(parsed)
    assert pickle.loads(pickle.dumps(parsed)) == parsed


def test_a_secret_of_a_file_is_not_sent_to_other_machines(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("sasl.password=hunter2")
    flags = [f"--kafka_properties={file}", "--runner=FlinkRunner"]
    message = error(KP, *ENDS[KP], *flags)
    assert "sasl.password: would stand in the job" in message
    assert "hunter2" not in message
    file.write_text("sasl.password=env:PASSWORD")
    assert options(KP, *flags).properties == {"sasl.password": "env:PASSWORD"}


def test_a_file_gives_the_flags_that_are_not_given(tmp_path: Path) -> None:
    file = tmp_path / "consumer.properties"
    file.write_text("bootstrap.servers=file:9092\ngroup.id=from-file\nauto.offset.reset=latest")
    flag = f"--kafka_properties={file}"
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "env:9092"}
    ends = ["--kafka_topics=t", "--pubsub_topic=projects/p/topics/alerts"]
    parsed = parse(KP, [*ends, flag], environ)
    assert (parsed.bootstrap_servers, parsed.group_id) == ("file:9092", "from-file")
    assert parsed.start.kind == "latest"
    given = ["--bootstrap_servers=flag:9092", "--group_id=flag", "--start=earliest"]
    parsed = parse(KP, [*ends, flag, *given], environ)
    assert (parsed.bootstrap_servers, parsed.group_id) == ("flag:9092", "flag")
    assert parsed.start.kind == "earliest"
    file.write_text("bootstrap.servers=nowhere")
    with pytest.raises(UsageError, match=r"'bootstrap.servers': 'nowhere' is not HOST:PORT"):
        parse(KP, [*ends, "--group_id=g", flag], environ)
    file.write_text("auto.offset.reset=none")
    assert "'auto.offset.reset': 'none' is not earliest or latest" in error(KP, *ENDS[KP], flag)


@pytest.mark.parametrize("pipeline", [PS, KP])
def test_help_shows_every_flag_and_exits_0(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(pipeline, ["--help"], {})
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for f in FLAGS:
        assert (f"  --{f.name} " in text) == (pipeline in f.where)
    assert "Apache Beam" in text


def test_every_flag_has_one_declaration_with_a_help_and_a_field() -> None:
    assert len({f.name for f in FLAGS}) == len(FLAGS)
    assert {f.dest for f in FLAGS} <= {f.name for f in fields(Options)}
    for f in FLAGS:
        assert f.help.endswith("."), f.name
        assert f.where, f.name
