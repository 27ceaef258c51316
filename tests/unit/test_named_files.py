"""Files that flags name: on this disk, or in a bucket, as a launcher needs them."""

from __future__ import annotations

import json

import file_stores
import pytest
from pubsub_front import TokenServer

from pipelines.options import KAFKA_TO_PS, parse
from transforms import filesystem
from transforms.errors import UsageError
from transforms.ranges import Ranges

ENDS = [
    "--bootstrap_servers=kafka:9092",
    "--kafka_topics=alerts",
    "--group_id=bridge",
    "--pubsub_topic=projects/my-project/topics/alerts",
]
DATAFLOW = [
    "--runner=DataflowRunner",
    "--region=us-central1",
    "--project=my-project",
    "--sdk_container_image=registry.example.org/bridge",
]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The URL of a bucket, in a Google Cloud Storage of the tests' own, for a key of their own."""
    with file_stores.gcs() as proxy, TokenServer() as tokens, pytest.MonkeyPatch.context() as patch:
        key = tokens.key_file(tmp_path_factory.mktemp("key"))
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        file_stores.gcs_bucket(proxy, "launch-files")
        yield "gs://launch-files"


def put(url: str, text: str) -> str:
    filesystem.put(url, text.encode())
    return url


def test_what_a_launch_reads_may_be_in_a_bucket(bucket) -> None:
    first = put(f"{bucket}/first.properties", "security.protocol=SSL\nclient.id=first\n")
    second = put(f"{bucket}/second.properties", "client.id=second\n")
    offsets = put(f"{bucket}/offsets.json", json.dumps({"alerts": {"0": 5}}))
    missing = put(f"{bucket}/missing.json", json.dumps({"alerts": {"0": "5-9"}}))
    files = f"--kafka_properties={first},{second}"
    live = parse(KAFKA_TO_PS, [*DATAFLOW, *ENDS, files, f"--start=offsets={offsets}"], {})
    assert live.properties == {"security.protocol": "SSL", "client.id": "second"}
    assert live.start.offsets == {("alerts", 0): 5}
    backfill = parse("backfill", [*DATAFLOW, *ENDS, f"--offsets={missing}"], {})
    assert backfill.offsets == {("alerts", 0): Ranges(((5, 9),))}


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--kafka_properties={}", "read --kafka_properties gs://launch-files/none"),
        ("--start=offsets={}", "--start: 'gs://launch-files/none'"),
    ],
)
def test_a_file_that_no_bucket_has_is_named_in_one_line(bucket, flag, says) -> None:
    with pytest.raises(UsageError) as caught:
        parse(KAFKA_TO_PS, [*ENDS, flag.format(f"{bucket}/none")], {})
    assert str(caught.value).startswith(says)
    assert "check bucket, credentials and network" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_properties_stand_in_one_value() -> None:
    flag = (
        '--kafka_config={"security.protocol": "SSL", "enable.ssl.certificate.verification": true}'
    )
    found = parse(KAFKA_TO_PS, [*ENDS, flag, "--kafka_config=client.id=bridge"], {}).properties
    assert found["security.protocol"] == "SSL"
    assert found["client.id"] == "bridge"


@pytest.mark.parametrize(
    "bad",
    ['{"sasl.password": "hunter2"', '{"sasl.password": ["hunter2"]}', '{"": "hunter2"}', "{}x"],
)
def test_what_is_no_object_of_properties_is_refused_without_showing_it(bad) -> None:
    with pytest.raises(UsageError, match="--kafka_config") as caught:
        parse(KAFKA_TO_PS, [*ENDS, f"--kafka_config={bad}"], {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "flag", ["--krb5_conf={}", "--kafka_config=sasl.kerberos.keytab={}"], ids=["conf", "keytab"]
)
def test_a_file_that_workers_would_need_is_refused_by_name_on_dataflow(flag, tmp_path) -> None:
    path = tmp_path / "file"
    path.write_text("[libdefaults]\n")
    argv = [*ENDS, flag.format(path)]
    assert parse(KAFKA_TO_PS, argv, {})
    with pytest.raises(UsageError, match=f"{path} is a file of this machine"):
        parse(KAFKA_TO_PS, [*DATAFLOW, *argv], {})
    assert parse(KAFKA_TO_PS, [*DATAFLOW, *ENDS, flag.format(f"file:{path}")], {})
