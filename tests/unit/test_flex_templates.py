"""The flex templates' metadata is what the flags say, and what Dataflow and its forms can read."""

from __future__ import annotations

import json
import re

import pytest
from deployed import LAUNCH, ROOT
from google.cloud.dataflow_v1beta3.types import TemplateMetadata
from google.protobuf import json_format

from pipelines import docs
from pipelines.flags import PIPELINES
from pipelines.options import FLAGS, Runner, parse
from transforms.errors import UsageError

DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=us-central1",
    "--sdk_container_image=registry.example.org/bridge",
]
SUBSCRIPTION = {"subscription": "projects/my-project/subscriptions/alerts"}
BROKERS = {"bootstrap_servers": "kafka:9092"}
FROM_KAFKA = {**BROKERS, "kafka_topics": "alerts", "group_id": "bridge"}
TO_PUBSUB = {"pubsub_topic": "projects/my-project/topics/alerts"}
ARCHIVE = {"archive": "gs://my-bucket/archive"}
LEAST = {
    "ps_to_kafka": {**SUBSCRIPTION, **BROKERS, "kafka_topic": "alerts"},
    "kafka_to_ps": {**FROM_KAFKA, **TO_PUBSUB},
    "archive": {**FROM_KAFKA, **ARCHIVE},
    "backfill": {**FROM_KAFKA, **TO_PUBSUB},
}
"""What each pipeline cannot do without."""

NO_PARAMETERS = {"runner", "dry_run"}
"""The launcher says the one; the other is no launch."""


def metadata(pipeline: str) -> dict:
    return json.loads((ROOT / "templates" / f"{pipeline}.json").read_text())


def parameters(pipeline: str) -> dict[str, dict]:
    return {each["name"]: each for each in metadata(pipeline)["parameters"]}


def launched(pipeline: str, **values: str):
    return parse(pipeline, [*DATAFLOW, *(f"--{name}={v}" for name, v in values.items())], {})


def matches(parameter: dict, value: str) -> bool:
    return all(re.fullmatch(regex, value) for regex in parameter["regexes"])


@pytest.fixture(params=PIPELINES)
def pipeline(request) -> str:
    return request.param


def test_the_files_are_what_the_flags_say() -> None:
    assert [path.name for path, old, new in docs.made() if old != new] == []


def test_a_file_that_is_out_of_step_is_named(tmp_path, monkeypatch, capsys) -> None:
    file = tmp_path / "archive.json"
    monkeypatch.setattr(docs, "PAGES", {})
    monkeypatch.setattr(docs, "TEMPLATES", {file: "archive"})
    assert docs.main(["--check"]) == 1
    assert capsys.readouterr().out == "archive.json: out of step with the flags; run `make docs`\n"
    assert (docs.main([]), docs.main(["--check"])) == (0, 0)


def test_the_parameters_are_the_flags_that_mean_something_on_dataflow(pipeline) -> None:
    flags = [f.name for f in FLAGS if Runner.DATAFLOW in f.where.get(pipeline, ())]
    assert list(parameters(pipeline)) == [name for name in flags if name not in NO_PARAMETERS]


def test_dataflow_knows_every_field(pipeline) -> None:
    known = json_format.ParseDict(metadata(pipeline), TemplateMetadata.pb()())
    assert known.streaming is (pipeline != "backfill")
    if known.streaming:  # a default is for templates that say both
        assert known.supports_at_least_once
        assert known.supports_exactly_once
        assert known.default_streaming_mode == "AT_LEAST_ONCE"
    for parameter in known.parameters:
        assert parameter.label
        assert parameter.help_text
        assert bool(parameter.group_name) is not bool(parameter.parent_name)


def test_a_field_that_dataflow_does_not_know_is_noticed() -> None:
    with pytest.raises(json_format.ParseError, match="paramKind"):
        json_format.ParseDict({"parameters": [{"paramKind": "TEXT"}]}, TemplateMetadata.pb()())


def test_a_parent_is_a_choice_that_has_the_values_which_show_its_children(pipeline) -> None:
    for each in parameters(pipeline).values():
        if "parentName" in each:
            parent = parameters(pipeline)[each["parentName"]]
            assert set(each["parentTriggerValues"]) < {o["value"] for o in parent["enumOptions"]}


# -- values ----------------------------------------------------------------------------------------


def test_required_is_what_no_launch_can_miss(pipeline) -> None:
    assert launched(pipeline, **LEAST[pipeline])
    required = {name for name, p in parameters(pipeline).items() if not p.get("isOptional")}
    assert required <= LEAST[pipeline].keys()
    for name in required:
        with pytest.raises(UsageError, match=f"--{name}"):
            launched(pipeline, **{n: v for n, v in LEAST[pipeline].items() if n != name})
    if pipeline in ("ps_to_kafka", "kafka_to_ps"):
        assert required == LEAST[pipeline].keys() - {"bootstrap_servers"}


@pytest.mark.parametrize(
    "given",
    [
        *LEAST.items(),
        ("ps_to_kafka", {**LEAST["ps_to_kafka"], **ARCHIVE}),
        ("kafka_to_ps", {**LEAST["kafka_to_ps"], "stop": "now"}),
        ("kafka_to_ps", {**LEAST["kafka_to_ps"], "attributes": "none"}),
        ("archive", {**SUBSCRIPTION, **ARCHIVE}),
        ("backfill", {"from_archive": "gs://b/archive", **BROKERS, "kafka_topic": "t"}),
    ],
    ids=str,
)
def test_a_form_that_gives_every_default_gives_what_leaving_them_out_gives(given) -> None:
    pipeline, values = given
    defaults = {
        name: each["defaultValue"]
        for name, each in parameters(pipeline).items()
        if "defaultValue" in each
    }
    assert launched(pipeline, **{**defaults, **values}) == launched(pipeline, **values)


GOOD = {
    "subscription": ["projects/p/subscriptions/alerts", "projects/a.com:p-1/subscriptions/a~b+%c"],
    "kafka_topic": ["alerts", "alerts-{attribute:survey}"],
    "bootstrap_servers": ["broker:9092", "a:1,[::1]:65535", "k_1.example.org:9092,10.0.0.1:1"],
    "kafka_topics": ["a,b.c-d_e", "ztf_%Y%m%d_programid1", "^ztf_[0-9]{8,8}"],
    "change_hour": ["0", "23"],
    "days_back": ["0", "366"],
    "group_id": ["bridge", "a group: 1"],
    "pubsub_topic": ["projects/p/topics/alerts", "projects/p/topics/{kafka.topic}-{attribute:x}"],
    "archive": ["gs://bucket/archive", "gs://bucket/a/b/"],
    "from_archive": ["gs://bucket/archive"],
    "create_subscription_from": ["projects/p/topics/alerts"],
    "create_topics": ["6:3"],
    "dead_letter": [
        "kafka://dead",
        "pubsub://projects/p/topics/dead",
        "gs://bucket/dead",
    ],
    "key": ["none", "ordering_key", "attribute:object id"],
    "file_bytes": ["256MB", "1000000", "1 GiB"],
    "file_seconds": ["60", "1.5"],
    "schema_registry": ["http://registry:8081", "https://registry.example.org/path/"],
    "schema_registry_login": [
        "secret:projects/p/secrets/s/versions/latest",
        "secret:projects/p/locations/l/secrets/s/versions/1",
    ],
    "start": ["earliest", "timestamp=2026-03-01T00:00:00Z"],
    "seek": ["now", "timestamp=2026-03-01t00:00:00.123456789+01:00", "snapshot=night"],
    "stop": ["now", "timestamp=2026-03-01 00:00:00-05:30"],
    "night": ["2026-03-01", "today", "yesterday", "-2"],
    "from": ["2026-03-01T00:00:00Z"],
    "to": ["2026-03-02T00:00:00Z"],
    "state": ["gs://bucket/state.json"],
    "pubsub_endpoint": ["us-central1-pubsub.googleapis.com", "10.0.0.1:443"],
    "impersonate_service_account": ["a@p.iam.gserviceaccount.com", "a@p.com,1234567890"],
    "kafka_config": [
        "security.protocol=SSL",
        "sasl.password=secret:projects/p/secrets/s/versions/1",
        '{"security.protocol": "SASL_SSL",\n "sasl.mechanism": "PLAIN"}',
    ],
    "krb5_conf": ["secret:projects/p/secrets/krb5/versions/1"],
    "shards": ["8"],
    "max_in_flight_bytes": ["100MB", "1GiB"],
    "commit_interval_s": ["0.5", "5", ".5", "5.", "+1e3", "0.01e-2"],
    "linger_ms": ["0", "5", "1e1", "0.0"],
    "delivery_timeout_s": ["36000"],
    "revoke_timeout_s": ["10"],
    "metadata_interval_s": ["30"],
    "max_lease_s": ["3600"],
    "idle_seconds": ["10"],
    "id_label": ["id"],
}
OF_FILES = {
    "start": ["offsets=gs://bucket/offsets.json"],
    "stop": ["offsets=gs://bucket/offsets.json"],
    "from": ["offsets=gs://bucket/offsets.json"],
    "to": ["offsets=gs://bucket/offsets.json"],
    "offsets": ["gs://bucket/missing.json"],
    "kafka_properties": ["gs://bucket/a.properties,gs://bucket/jaas.conf"],
}
"""Whose parsers look for the files."""

OUT_OF_RANGE = {
    "change_hour": ["24", "99", "-1"],
    "days_back": ["1000", "1.5"],
    "shards": ["0", "00"],
    "file_seconds": ["0", "0.0", "-1", "1e", ".", "+"],
    "stop": ["night_end", "offsets=/a/file"],
}

ANY_TEXT = {"group_id", "id_label"}
CHOICES = {"ENUM", "BOOLEAN"}
BY_NAME = {f.name: f for f in FLAGS}


def good_values(each: dict) -> list[str]:
    if each["paramType"] in CHOICES:
        return [o["value"] for o in each.get("enumOptions", [])] or ["true", "false", "True"]
    return GOOD.get(each["name"], [])


def test_a_form_takes_what_the_flags_take_and_nothing_out_of_range(pipeline) -> None:
    for name, each in parameters(pipeline).items():
        values = good_values(each)
        assert values or name in OF_FILES, f"{name}: no example"
        for value in values:
            BY_NAME[name].parse(value)
            assert matches(each, value), (name, value)
        for value in OF_FILES.get(name, []):
            assert matches(each, value), (name, value)
        for value in OUT_OF_RANGE.get(name, []):
            assert not matches(each, value), (name, value)
        assert "defaultValue" not in each or matches(each, each["defaultValue"])


def test_a_form_refuses_plain_nonsense(pipeline) -> None:
    nonsense = [
        "",
        " ",
        "no such thing!",
        "/a/path",
        "true false",
        "gs:/bucket",
        "projects/p",
        "1,5",
        "---",
        "e",
        "s3://bucket/a",
        "env:NAME",
        "file:/a/path",
    ]
    for name, each in parameters(pipeline).items():
        refused = [value for value in nonsense if not matches(each, value)]
        assert refused == (nonsense[:2] if name in ANY_TEXT else refused)
        taken = set(nonsense) - set(refused)
        if name not in ANY_TEXT:
            for value in taken:
                BY_NAME[name].parse(value)


@pytest.mark.parametrize(
    ("text", "brokers", "topics"),
    [
        ("a:1,[::1]:2;alerts", "a:1,[::1]:2", ("alerts",)),
        ("kafka:9092;^ztf_[0-9]{8};x", "kafka:9092", ("^ztf_[0-9]{8};x",)),
        (
            "projects/p/locations/l/clusters/c/topics/alerts",
            "bootstrap.c.l.managedkafka.p.cloud.goog:9092",
            ("alerts",),
        ),
    ],
)
def test_brokers_may_stand_before_topics_as_forms_have_it(text, brokers, topics) -> None:
    least = {**LEAST["kafka_to_ps"], "kafka_topics": text}
    del least["bootstrap_servers"]
    said = launched("kafka_to_ps", **least)
    assert (said.bootstrap_servers, said.kafka_topics) == (brokers, topics)
    assert matches(parameters("kafka_to_ps")["kafka_topics"], text)
    assert launched("kafka_to_ps", **least, bootstrap_servers=brokers) == said
    with pytest.raises(
        UsageError, match=r"--kafka_topics: names .* and --bootstrap_servers others"
    ):
        launched("kafka_to_ps", **least, bootstrap_servers="other:9092")


def test_a_form_says_what_it_needs_and_speaks_of_no_command_line(pipeline) -> None:
    said = metadata(pipeline)
    assert "bootstrap servers" in said["description"]
    for each in said["parameters"]:
        assert not re.search(r"--[a-z]|\.md\b|\brepeatable\b|exit status", each["helpText"]), each
    if pipeline != "ps_to_kafka":
        group = parameters(pipeline)["group_id"]["helpText"]
        assert ("backfill" in group) is (pipeline == "backfill")


def test_no_secret_is_taken_in_clear() -> None:
    for value in ("sasl.password=hunter2", '{"sasl.password": "hunter2"}'):
        with pytest.raises(UsageError, match=r"sasl\.password") as caught:
            launched("kafka_to_ps", **LEAST["kafka_to_ps"], kafka_config=value)
        assert "hunter2" not in str(caught.value)


def test_what_the_schedule_launches_is_a_launch_that_the_template_takes() -> None:
    said = LAUNCH["launchParameter"]["parameters"]
    known = parameters("backfill")
    assert all(matches(known[name], value) for name, value in said.items())
