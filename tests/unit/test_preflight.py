"""What preflight makes of what it finds; the servers are replaced by two small fakes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions

from pipelines import preflight, reaching
from pipelines.facts import Facts
from pipelines.options import KAFKA_TO_PS, PS_TO_KAFKA, Options, parse
from transforms.errors import PreflightError
from transforms.kafka.client import Committed, TopicInfo
from transforms.kafka.client_rules import select_topics
from transforms.pubsub import client as pubsub
from transforms.pubsub.client import SubscriptionInfo

NOW_MS = 1_700_000_000_000


@dataclass
class FakeCluster:
    """A Kafka admin: topic `t` with partition 0 holding 10..20, and 1 holding 0..5."""

    held: dict[tuple[str, int], tuple[int, int]] = field(
        default_factory=lambda: {("t", 0): (10, 20), ("t", 1): (0, 5)}
    )
    commits: dict[tuple[str, int], int] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    created: list[tuple[str, int, int]] = field(default_factory=list)
    dead: dict[str, TopicInfo] = field(default_factory=dict)

    def cluster_id(self) -> str:
        return "c"

    def topics(self, topics: Any) -> dict[str, TopicInfo]:
        names = select_topics(topics, sorted({topic for topic, _ in self.held}))
        found = {name: TopicInfo(name, 2, 7_000_000) for name in names}
        return found | {name: self.dead[name] for name in topics if name in self.dead}

    def partitions(self, topics: Any) -> list[tuple[str, int]]:
        names = select_topics(topics, [topic for topic, _ in self.held])
        return [partition for partition in self.held if partition[0] in names]

    def committed(self, group_id: str) -> dict[tuple[str, int], Committed]:
        return {part: Committed(offset) for part, offset in self.commits.items()}

    def beginning_offsets(self, partitions: Any) -> dict[tuple[str, int], int]:
        return {partition: self.held[partition][0] for partition in partitions}

    def end_offsets(self, partitions: Any) -> dict[tuple[str, int], int]:
        return {partition: self.held[partition][1] for partition in partitions}

    def offsets_for_time(self, partitions: Any, timestamp_ms: int) -> dict[tuple[str, int], int]:
        return dict.fromkeys(partitions, timestamp_ms)

    def may_join(self, group_id: str) -> bool:
        return True

    def group_assignor(self, group_id: str) -> str:
        return "roundrobin" if self.members else ""

    def group_members(self, group_id: str) -> list[str]:
        return self.members

    def commit(self, group_id: str, offsets: dict[tuple[str, int], int]) -> None:
        self.commits.update(offsets)

    def create_topic(self, name: str, partitions: int, replication: int) -> None:
        self.created.append((name, partitions, replication))
        self.held[name, 0] = (0, 0)

    def close(self) -> None:
        pass


@dataclass
class FakePubsub:
    """A Pub/Sub admin that knows every topic and one subscription."""

    detached: bool = False
    ordered: bool = False
    missing: bool = False
    seeks: list[tuple[int | None, str | None]] = field(default_factory=list)
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def topic(self, name: str, *needs: str) -> None:
        self.needs[name] = needs
        if self.missing:
            raise PreflightError(f"look at {name}: it does not exist; create it")

    def keeps_messages(self, topic: str, *needs: str) -> bool:
        self.needs[topic] = needs
        return "unread" not in topic

    def subscription(self, name: str, *needs: str) -> SubscriptionInfo:
        self.needs[name] = needs
        return SubscriptionInfo(
            name, "projects/p/topics/ttt", 30, self.detached, ordered=self.ordered
        )

    def seek(self, name: str, timestamp_ms: int | None = None, snapshot: str | None = None) -> None:
        self.seeks.append((timestamp_ms, snapshot))

    def close(self) -> None:
        pass


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    fake = FakeCluster()
    monkeypatch.setattr(reaching, "open_kafka", lambda options: fake)
    return fake


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakePubsub:
    fake = FakePubsub()
    monkeypatch.setattr(pubsub, "open_admin", lambda *_: fake)
    return fake


def kafka_to_ps(*argv: str) -> Options:
    ends = ["--bootstrap_servers=b:1", "--group_id=g", "--pubsub_topic=projects/p/topics/ttt"]
    return parse(KAFKA_TO_PS, [*ends, "--kafka_topics=t", *argv], {})


def ps_to_kafka(*argv: str) -> Options:
    ends = ["--bootstrap_servers=b:1", "--subscription=projects/p/subscriptions/sss"]
    return parse(PS_TO_KAFKA, [*ends, "--kafka_topic=t", *argv], {})


def check(options: Options) -> tuple[Facts, list[str]]:
    said: list[str] = []
    return preflight.check(options, said.append, lambda: NOW_MS / 1000), said


def offsets_file(folder: Path, **partitions: int) -> str:
    file = folder / "offsets.json"
    file.write_text(json.dumps({"t": {name[1:]: offset for name, offset in partitions.items()}}))
    return f"--start=offsets={file}"


@pytest.mark.parametrize(
    ("start", "committed", "resolved"),
    [
        ("earliest", {}, {}),
        ("latest", {}, {("t", 0): 20, ("t", 1): 5}),
        ("latest", {("t", 1): 3}, {("t", 0): 20}),
        ("timestamp=1970-01-01T00:00:01Z", {}, {("t", 0): 1000, ("t", 1): 1000}),
    ],
)
def test_start_becomes_offsets_of_the_partitions_without_a_commit(
    cluster: FakeCluster, service: FakePubsub, start: str, committed: Any, resolved: Any
) -> None:
    cluster.commits = committed
    facts, said = check(kafka_to_ps(f"--start={start}"))
    assert facts.start == resolved
    assert facts.partitions == (("t", 0), ("t", 1))
    assert said == []


@pytest.mark.parametrize(("offset", "good"), [(9, False), (10, True), (20, True), (21, False)])
def test_an_offset_of_the_file_must_be_there_unless_a_commit_makes_it_idle(
    cluster: FakeCluster, service: FakePubsub, tmp_path: Path, offset: int, good: bool
) -> None:
    options = kafka_to_ps(offsets_file(tmp_path, p0=offset))
    if good:
        assert check(options)[0].start == {("t", 0): offset}
    else:
        with pytest.raises(PreflightError, match=rf"start t/0: offset {offset} .* 10 to 20"):
            check(options)
    cluster.commits = {("t", 0): 15}
    assert check(options)[0].start == {}


def test_a_partition_of_the_file_must_exist(
    cluster: FakeCluster, service: FakePubsub, tmp_path: Path
) -> None:
    with pytest.raises(PreflightError, match=r"start t/7: no such partition"):
        check(kafka_to_ps(offsets_file(tmp_path, p7=0)))


@pytest.mark.parametrize(("committed", "good"), [(9, False), (10, True), (20, True), (21, False)])
def test_a_commit_whose_records_are_gone_is_an_error_and_never_a_gap(
    cluster: FakeCluster, service: FakePubsub, committed: int, good: bool
) -> None:
    cluster.commits = {("t", 0): committed}
    if good:
        check(kafka_to_ps())
    else:
        with pytest.raises(PreflightError, match=rf"continue t/0: offset {committed} .*--reset"):
            check(kafka_to_ps())
    assert check(kafka_to_ps("--reset_offsets"))[0].start == {}


def test_reset_offsets_commits_every_partition_and_says_so(
    cluster: FakeCluster, service: FakePubsub, tmp_path: Path
) -> None:
    cluster.commits = {("t", 0): 15, ("t", 1): 5}
    _, said = check(kafka_to_ps("--reset_offsets", offsets_file(tmp_path, p0=12)))
    assert cluster.commits == {("t", 0): 12, ("t", 1): 0}
    assert len(said) == 1
    assert "reset group g" in said[0]


@pytest.mark.parametrize("obstacle", ["members", "missing"])
def test_nothing_is_changed_unless_every_check_passes(
    cluster: FakeCluster, service: FakePubsub, obstacle: str
) -> None:
    cluster.commits = {("t", 0): 15}
    cluster.members = ["other at 10.0.0.7"] if obstacle == "members" else []
    service.missing = obstacle == "missing"
    with pytest.raises(PreflightError):
        check(kafka_to_ps("--reset_offsets"))
    assert cluster.commits == {("t", 0): 15}


def test_a_pattern_without_a_topic_is_said_and_waited_for(
    cluster: FakeCluster, service: FakePubsub
) -> None:
    facts, said = check(kafka_to_ps("--kafka_topics=^nightly_"))
    assert facts.partitions == ()
    assert "^nightly_" in said[0]


def test_topics_of_nights_are_waited_for_and_names_without_a_date_are_required(
    cluster: FakeCluster, service: FakePubsub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.kafka.selection.wall_clock", lambda: NOW_MS / 1000)
    options = kafka_to_ps("--kafka_topics=n_%Y%m%d,t", "--days_back=1", "--change_hour=22")
    assert check(options)[0].partitions == (("t", 0), ("t", 1))
    for topic in ("n_20231112", "n_20231113", "n_20231114", "n_20231115", "n_20231116"):
        cluster.held[topic, 0] = (0, 5)
    facts, said = check(options)
    assert facts.partitions == (("t", 0), ("t", 1), ("n_20231114", 0), ("n_20231115", 0))
    assert said == []
    with pytest.raises(PreflightError, match="read x: no such topic at b:1; create it"):
        check(kafka_to_ps("--kafka_topics=n_%Y%m%d,x"))


def test_the_destination_and_the_subscription_are_described(
    cluster: FakeCluster, service: FakePubsub
) -> None:
    facts, said = check(ps_to_kafka())
    assert (facts.topic.max_message_bytes, facts.ack_deadline_s) == (7_000_000, 30)
    assert said == []


DEAD = "projects/p/topics/dead"
DATAFLOW = (
    "--runner=DataflowRunner",
    "--project=p",
    "--sdk_container_image=i",
    f"--dead_letter=pubsub://{DEAD}",
)
CONSUME, PUBLISH = ("pubsub.subscriptions.consume",), ("pubsub.topics.publish",)


@pytest.mark.parametrize(
    ("options", "flags", "needs"),
    [
        (ps_to_kafka, (), {"projects/p/subscriptions/sss": CONSUME}),
        (kafka_to_ps, (), {"projects/p/topics/ttt": PUBLISH}),
        (
            kafka_to_ps,
            (f"--dead_letter=pubsub://{DEAD}",),
            {"projects/p/topics/ttt": PUBLISH, DEAD: PUBLISH},
        ),
        (ps_to_kafka, DATAFLOW, {"projects/p/subscriptions/sss": (), DEAD: ()}),
        (
            ps_to_kafka,
            (*DATAFLOW, "--seek=now"),
            {"projects/p/subscriptions/sss": CONSUME, DEAD: ()},
        ),
        (kafka_to_ps, DATAFLOW, {"projects/p/topics/ttt": (), DEAD: ()}),
    ],
)
def test_a_run_asks_for_the_permissions_that_this_account_needs_and_no_more(
    cluster: FakeCluster, service: FakePubsub, options: Any, flags: Any, needs: Any
) -> None:
    check(options(*flags))
    assert service.needs == needs


def test_a_missing_destination_is_created_only_if_asked(
    cluster: FakeCluster, service: FakePubsub
) -> None:
    with pytest.raises(PreflightError, match=r"write new: no such topic.*--create_topics"):
        check(ps_to_kafka("--kafka_topic=new"))
    assert cluster.created == []
    _, said = check(ps_to_kafka("--kafka_topic=new", "--create_topics=6:3"))
    assert cluster.created == [("new", 6, 3)]
    assert "create new" in said[0]


def test_a_detached_subscription_is_refused(cluster: FakeCluster, service: FakePubsub) -> None:
    service.detached = True
    with pytest.raises(PreflightError, match="detached"):
        check(ps_to_kafka("--seek=now"))
    assert service.seeks == []


@pytest.mark.parametrize(
    ("key", "ordered", "is_said"),
    [
        (["--key=ordering_key"], False, True),
        (["--key=ordering_key"], True, False),
        (["--key=attribute:a"], False, False),
        ([], False, False),
    ],
)
def test_who_wants_ordering_keys_as_keys_is_told_that_a_subscription_does_not_keep_their_order(
    cluster: FakeCluster, service: FakePubsub, key: list[str], ordered: bool, is_said: bool
) -> None:
    service.ordered = ordered
    facts, said = check(ps_to_kafka(*key))
    assert facts.ordered == ordered
    assert ["it has no message ordering" in line for line in said] == [True] * is_said


@pytest.mark.parametrize(
    ("seek", "done", "where"),
    [
        ("now", (NOW_MS, None), "now"),
        ("timestamp=2023-11-14T22:13:20Z", (NOW_MS, None), "2023-11-14T22:13:20.000Z"),
        ("snapshot=night", (None, "projects/p/snapshots/night"), "projects/p/snapshots/night"),
    ],
)
def test_seek_is_done_once_and_said_to_move_every_reader(
    cluster: FakeCluster, service: FakePubsub, seek: str, done: Any, where: str
) -> None:
    _, said = check(ps_to_kafka(f"--seek={seek}"))
    assert service.seeks == [done]
    assert f"moved to {where}, for every reader" in said[0]


def test_seek_into_the_future_would_drop_messages_and_is_refused(
    cluster: FakeCluster, service: FakePubsub
) -> None:
    with pytest.raises(PreflightError, match="ahead"):
        check(ps_to_kafka("--seek=timestamp=2023-11-14T22:13:20.001Z"))
    assert service.seeks == []


@pytest.mark.parametrize(
    ("options", "place", "says"),
    [
        (kafka_to_ps, "kafka://dead", r"no such topic.*--dead_letter"),
        (kafka_to_ps, "kafka://compacted", "it is compacted"),
        (kafka_to_ps, "kafka://small", r"every message of t, .*7000000 bytes.*7016384 needed"),
        (kafka_to_ps, "kafka://enough", None),
        (ps_to_kafka, "kafka://enough", r"subscriptions/sss.*10016384 needed, limit 7016384"),
        (ps_to_kafka, "pubsub://projects/p/topics/dead", None),
        (ps_to_kafka, "pubsub://projects/p/topics/unread", "no subscription"),
        (ps_to_kafka, "pubsub://projects/p/topics/ttt", "reads this topic"),
        (kafka_to_ps, "pubsub://projects/p/topics/dead", None),
    ],
)
def test_a_place_that_could_not_hold_every_dead_letter_is_refused(
    cluster: FakeCluster, service: FakePubsub, options: Any, place: str, says: str | None
) -> None:
    cluster.dead = {
        "compacted": TopicInfo("compacted", 1, 20_000_000, needs_keys=True),
        "small": TopicInfo("small", 1, 7_000_000),
        "enough": TopicInfo("enough", 1, 7_016_384),
    }
    if says is None:
        check(options(f"--dead_letter={place}"))
    else:
        with pytest.raises(PreflightError, match=says):
            check(options(f"--dead_letter={place}"))


def test_a_pubsub_topic_is_refused_for_records_that_pass_its_limit(
    cluster: FakeCluster, service: FakePubsub, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {"t": TopicInfo("t", 2, 11_534_336)}
    monkeypatch.setattr(cluster, "topics", lambda topics: large)
    with pytest.raises(PreflightError, match=r"topics/dead.*11534336.*limit 10000000; use kafka"):
        check(kafka_to_ps("--dead_letter=pubsub://projects/p/topics/dead"))


def test_files_are_written_by_the_account_that_is_acted_as(
    cluster: FakeCluster, service: FakePubsub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileSystems, "_pipeline_options", None)
    account = "bridge@p.iam.gserviceaccount.com"
    flags = [f"--impersonate_service_account={account}", f"--dead_letter={tmp_path}"]
    check(kafka_to_ps(*flags))
    options = FileSystems._pipeline_options.view_as(GoogleCloudOptions)
    assert options.impersonate_service_account == account


def test_a_folder_that_cannot_be_written_is_refused(
    cluster: FakeCluster, service: FakePubsub, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PreflightError, match=r"file/\.writable"):
        check(kafka_to_ps(f"--dead_letter={tmp_path}/file/dead"))
    check(kafka_to_ps(f"--dead_letter={tmp_path}/dead"))
    assert not (tmp_path / "dead").exists()
