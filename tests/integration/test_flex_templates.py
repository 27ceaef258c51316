"""The flex templates' entry modules, started as Dataflow's launcher starts them; and delivering.

What stands around a launcher here, and what is missing, says `tests/helpers/launcher.py`.
"""

from __future__ import annotations

import io
import json

import fastavro
import pytest
from google.cloud.dataflow_v1beta3.types import Job, JobType
from launcher import BUCKET, IMAGE, PROJECT, launcher

from pipelines.flags import PIPELINES
from transforms.records import KafkaRecord, PubsubRecord

VALUES = {b"%d" % n for n in range(100)}


@pytest.fixture(scope="module")
def launches(stack, tmp_path_factory):
    with launcher(stack.pubsub_emulator_host, tmp_path_factory.mktemp("launcher")) as running:
        yield running


@pytest.fixture(params=PIPELINES)
def pipeline(request) -> str:
    return request.param


class Ends:
    """A topic here and a topic there, and the parameters of each template between them."""

    def __init__(self, stack, kafka, pubsub, name: str) -> None:
        self._kafka, self._pubsub, self._name = kafka, pubsub, name
        # Beam takes no project of four letters, as the other tests have it.
        self.topic = f"projects/{PROJECT}/topics/{name}"
        self.subscription = f"projects/{PROJECT}/subscriptions/{name}"
        pubsub.admin.create_topic(self.topic)
        pubsub.admin.create_subscription(self.subscription, self.topic)
        kafka.create(name, 2)
        brokers = {"bootstrap_servers": stack.bootstrap_servers}
        from_kafka = {**brokers, "kafka_topics": name, "group_id": name}
        self.parameters = {
            "ps_to_kafka": {"subscription": self.subscription, **brokers, "kafka_topic": name},
            "kafka_to_ps": {**from_kafka, "pubsub_topic": self.topic},
            "archive": {**from_kafka, "archive": f"gs://{BUCKET}/{name}"},
            "backfill": {**from_kafka, "pubsub_topic": self.topic},
        }

    def fill(self, pipeline: str) -> None:
        if pipeline == "ps_to_kafka":
            self._pubsub.send(self.topic, [PubsubRecord(value) for value in VALUES])
        else:
            self._kafka.send(KafkaRecord(self._name, value=value) for value in VALUES)

    def arrived(self, pipeline: str, files: dict[str, bytes]) -> list[bytes]:
        if pipeline == "ps_to_kafka":
            return [record.value for record in self._kafka.receive(self._name, len(VALUES))]
        if pipeline == "archive":
            kept = [data for name, data in files.items() if name.startswith(f"{self._name}/")]
            return [row["value"] for data in kept for row in fastavro.reader(io.BytesIO(data))]
        return [message.data for message in self._pubsub.receive(self.subscription, len(VALUES))]


@pytest.fixture
def ends(stack, kafka, pubsub, unique):
    return Ends(stack, kafka, pubsub, unique)


def test_a_launcher_gets_a_job_with_its_image_and_does_not_wait(pipeline, launches, ends) -> None:
    ends.fill(pipeline)
    done, file = launches.stage(pipeline, **ends.parameters[pipeline])
    assert done.returncode == 0, done.stderr
    job = Job.from_json(file.read_text())
    batch = pipeline == "backfill"
    assert job.type_ == (JobType.JOB_TYPE_BATCH if batch else JobType.JOB_TYPE_STREAMING)
    [pool] = job.environment.worker_pools
    assert [each.container_image for each in pool.sdk_harness_container_images] == [IMAGE]
    prefix = f"staging/{job.name}."
    staged = {n.rpartition("/")[2] for n in launches.files if n.startswith(prefix)}
    assert "pipeline.pb" in staged
    assert "pickled_main_session" not in staged


@pytest.mark.parametrize(
    ("missing", "says"),
    [("subscription", "subscriptions/no-such-thing"), ("kafka_topic", "no-such-thing")],
)
def test_a_launcher_checks_both_ends_before_there_is_a_job(missing, says, launches, ends) -> None:
    nowhere = f"projects/{PROJECT}/subscriptions/no-such-thing"
    wrong = {missing: nowhere if missing == "subscription" else "no-such-thing"}
    done, file = launches.stage("ps_to_kafka", **{**ends.parameters["ps_to_kafka"], **wrong})
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not file.exists()


BOUNDS = {
    "ps_to_kafka": ["--max_messages=100"],
    "kafka_to_ps": ["--stop=now"],
    "archive": ["--stop=now"],
    "backfill": [],
}


def test_an_entry_module_delivers_a_hundred_messages(pipeline, launches, ends, tmp_path) -> None:
    ends.fill(pipeline)
    report = tmp_path / "report.json"
    here = ["--runner=DirectRunner", f"--report={report}", *BOUNDS[pipeline]]
    done = launches.run(pipeline, ends.parameters[pipeline], *here)
    assert done.returncode == 0, done.stderr
    assert json.loads(report.read_text())["delivered"] == 100
    arrived = ends.arrived(pipeline, launches.files)
    assert (len(arrived), set(arrived)) == (100, VALUES)
