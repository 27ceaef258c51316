"""The audit without servers: its command line, its readers, what it says."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager

import pytest

from pipelines import range_values
from pipelines.audit import cli, options, preflight, show
from pipelines.audit.options import FLAGS
from pipelines.audit.progress import Meter
from pipelines.options import FLAGS as BRIDGE_FLAGS
from transforms.audit import letters
from transforms.audit.rows import Missing, Others, Row
from transforms.dead_letter import DeadLetter
from transforms.dead_letters.avro import to_avro
from transforms.errors import (
    OffsetGapError,
    PreflightError,
    SourceError,
    UnavailableError,
    UsageError,
)
from transforms.kafka import groupless
from transforms.kafka.client import Committed, KafkaConfig, TopicInfo
from transforms.pubsub import temporary
from transforms.pubsub.client import Pulled, SubscriptionInfo
from transforms.pubsub.temporary import Past
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

TOPIC = "projects/p/topics/alerts"
SUBSCRIPTION = "projects/p/subscriptions/alerts"
SERVERS = "--bootstrap_servers=broker:9092"
FROM_KAFKA = [SERVERS, "--kafka_topics=a,b", f"--pubsub_topic={TOPIC}"]
TO_KAFKA = [SERVERS, f"--subscription={SUBSCRIPTION}", "--kafka_topic=t"]
NOON_MS = 1_800_000_000_000


def parse(*argv: str, **environ: str) -> options.Options:
    return options.parse(argv, environ)


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ends",
    [
        ["--kafka_topics=a", f"--pubsub_topic={TOPIC}"],
        ["--kafka_topics=^a", "--archive=/a"],
        ["--kafka_topics=a", f"--pubsub_topic={TOPIC}", "--archive=gs://a/b"],
        ["--kafka_topics=a", "--kafka_topic=b"],
        [f"--subscription={SUBSCRIPTION}", "--kafka_topic=t"],
        [f"--pubsub_topic={TOPIC}", "--kafka_topic=t"],
        [f"--subscription={SUBSCRIPTION}", "--kafka_topic=t", "--archive=/a"],
        ["--archive=/a", "--kafka_topic=t"],
    ],
)
def test_two_sides_make_an_audit(ends):
    found = parse(*ends, KAFKA_BOOTSTRAP_SERVERS="broker:9092")
    assert found.from_kafka == ends[0].startswith("--kafka_topics")
    assert (found.idle_seconds, found.attributes, found.returns) == (10.0, "metadata", "drop")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([SERVERS], "--kafka_topics, --kafka_topic: missing"),
        ([SERVERS, "--kafka_topics=a"], "--pubsub_topic: missing"),
        ([SERVERS, "--kafka_topic=a"], "--subscription: missing"),
        ([SERVERS, f"--pubsub_topic={TOPIC}"], "--kafka_topics, --kafka_topic: missing"),
        ([*FROM_KAFKA, f"--subscription={SUBSCRIPTION}"], "--subscription: the source is"),
        ([*FROM_KAFKA, "--kafka_topic=c"], "--kafka_topic: the destination is"),
        ([SERVERS, "--kafka_topics=^a", "--kafka_topic=ab"], "--kafka_topic: ab is in"),
        ([SERVERS, "--kafka_topics=a_%Y%m%d"], "--kafka_topics: 'a_%Y%m%d' is of any"),
        ([*TO_KAFKA, f"--pubsub_topic={TOPIC}"], "--pubsub_topic: the source is"),
        (FROM_KAFKA[1:], "--bootstrap_servers: missing"),
        ([*FROM_KAFKA, "--attributes=none"], "--attributes: with none, messages carry nothing"),
        ([*TO_KAFKA, "--group_id=g"], "--group_id: means nothing without --kafka_topics"),
        ([*TO_KAFKA, "--offsets=FILE"], "--offsets: means nothing without --kafka_topics"),
        ([*FROM_KAFKA, "--offsets=FILE", "--from=2026-01-01T00:00:00Z"], "--offsets: says what"),
        (
            [*FROM_KAFKA, "--from=2026-01-01T00:00:00Z", "--to=2026-01-01T00:00:00Z"],
            "--to: is not later than --from",
        ),
        ([SERVERS, "--kafka_topics=b", "--archive=/a", "--offsets=FILE"], "--offsets: topic 'a'"),
        (
            [*FROM_KAFKA, "--archive=/a", "--snapshot=projects/p/snapshots/sss"],
            "--snapshot: no Pub/Sub topic is read",
        ),
        ([*FROM_KAFKA, "--archive=kafka://a"], "--archive: 'kafka://a' is no folder"),
        ([*FROM_KAFKA, "--runner=DirectRunner"], "unrecognized arguments: --runner"),
        ([*FROM_KAFKA, "--idle_seconds=0"], "--idle_seconds: '0' is not a number above 0"),
    ],
)
def test_what_is_no_audit_is_one_line_that_names_the_flag(argv, says, tmp_path, capsys):
    file = tmp_path / "offsets.json"
    file.write_text('{"a": {"0": "1-2"}}')
    argv = [arg.replace("FILE", str(file)) for arg in argv]
    with pytest.raises(UsageError) as raised:
        parse(*argv)
    assert str(raised.value).startswith(says)
    assert cli.main(argv) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "1", "{}", '{"a": 1}', '{"a": {"0": 5}}', '{"a": {"0": "x"}}'),
        *('{"a": {"-1": "1"}}', '{"a": {"0": "3-2"}}', '{"a b": {"0": "1"}}', "[" * 100_000),
        f'{{"a": {{"0": "{2**63}"}}}}',
        f'{{"a": {{"0": "{"9" * 5000}"}}}}',
    ],
)
def test_offsets_that_are_none_are_refused(content, tmp_path):
    file = tmp_path / "offsets.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"is not JSON of the form|names no offsets"):
        range_values.offset_ranges(str(file))


def test_offsets_are_read_as_missing_ones_are_written(tmp_path):
    file = tmp_path / "offsets.json"
    walks = {("a", 0): [(100, 199), (250, 250)], ("a", 1): [], ("b", 7): [(0, 0)]}
    missing = Missing({part: iter_of(spans) for part, spans in walks.items()})
    file.write_text(json.dumps(show.missing_file(missing)))
    assert range_values.offset_ranges(str(file)) == {
        ("a", 0): Ranges(((100, 199), (250, 250))),
        ("b", 7): Ranges(((0, 0),)),
    }


def iter_of(items):
    return lambda: iter(items)


def test_shared_flags_are_the_bridges_own():
    in_times_only = {"from", "to"}
    bridge = {f.name: f for f in BRIDGE_FLAGS if f.name not in in_times_only}
    for f in FLAGS:
        if f.name in bridge:
            assert (f.parse, f.metavar, f.env) == (
                bridge[f.name].parse,
                bridge[f.name].metavar,
                bridge[f.name].env,
            )


# -- preflight -------------------------------------------------------------------------------------


class FakeCluster:
    """Topics `a` (offsets 10 to 99) and `t` (0 to 49), one partition each."""

    def __init__(self):
        self.first = {("a", 0): 10, ("t", 0): 0}
        self.end = {("a", 0): 100, ("t", 0): 50}
        self.at_time = {("a", 0): 10, ("t", 0): 20}

    def cluster_id(self):
        return "cluster"

    def topics(self, topics):
        return {name: TopicInfo(name, 1, 1_000_000) for name, _ in self.first if name in topics}

    def partitions(self, topics):
        return [part for part in self.first if part[0] in topics]

    def beginning_offsets(self, parts):
        return {part: self.first[part] for part in parts}

    def end_offsets(self, parts):
        return {part: self.end[part] for part in parts}

    def offsets_for_time(self, parts, timestamp_ms):
        return {part: self.at_time[part] for part in parts}

    def committed(self, group_id):
        return {("a", 0): Committed(60)} if group_id == "g" else {}

    def close(self):
        pass


class FakePubsub:
    def __init__(self):
        self.retention = 3600
        self.made: list[str] = []
        self.deleted: list[str] = []
        self.refuses_seek = False
        self.needs: dict[str, tuple[str, ...]] = {}

    def subscription(self, name, *needs):
        self.needs[name] = needs
        return SubscriptionInfo(name, TOPIC, 10, "detached" in name, 'attributes.a = "b"')

    def retention_s(self, topic, *needs):
        self.needs[topic] = needs
        return self.retention

    def snapshot_topic(self, name, *needs):
        self.needs[name] = needs
        return "projects/p/topics/other" if "other" in name else TOPIC

    def create_subscription(self, name, topic, **more):
        self.made.append(name)
        self.more = more

    def seek(self, name, timestamp_ms=None, snapshot=None):
        if self.refuses_seek:
            raise PreflightError("seek: refused")
        self.sought = timestamp_ms, snapshot

    def delete_subscription(self, name):
        self.deleted.append(name)

    def close(self):
        pass


@pytest.fixture
def service(monkeypatch):
    fake = FakePubsub()
    monkeypatch.setattr(preflight.reaching, "open_kafka", lambda cluster: FakeCluster())
    monkeypatch.setattr(preflight.pubsub, "open_admin", lambda *_: fake)
    monkeypatch.setattr(temporary, "open_admin", lambda *_: fake)
    return fake


@pytest.mark.parametrize(
    ("flags", "read", "expired", "not_due"),
    [
        ([], "10-99", 0, 0),
        (["--group_id=g"], "10-59", 0, 40),
        (["--from=2026-01-01T00:00:00Z"], "10-99", 10, 0),
        (["--to=2026-01-01T00:00:00Z"], "", 0, 0),
        (["--offsets=FILE"], "10-12,70-80", 8, 0),
        (["--offsets=FILE", "--group_id=g"], "10-12", 8, 11),
    ],
)
def test_the_range_is_what_exists_and_is_due(service, tmp_path, flags, read, expired, not_due):
    file = tmp_path / "offsets.json"
    file.write_text('{"a": {"0": "2-12,70-80"}}')
    flags = [flag.replace("FILE", str(file)) for flag in flags]
    found = preflight.check(
        parse(SERVERS, "--kafka_topics=a", f"--pubsub_topic={TOPIC}", *flags), NOON_MS
    )
    asked = found.kafka.asked["a", 0]
    assert (str(asked.read), asked.expired, asked.not_due) == (read, expired, not_due)


def test_an_audit_asks_for_the_permissions_that_it_needs_and_no_more(service):
    snapshot, dead = "projects/p/snapshots/sss", "projects/p/topics/dead"
    flags = ["--kafka_topic=a", f"--subscription={SUBSCRIPTION}", f"--snapshot={snapshot}"]
    preflight.check(parse(SERVERS, *flags, f"--dead_letter=pubsub://{dead}"), NOON_MS)
    assert service.needs == {
        SUBSCRIPTION: (),
        TOPIC: ("pubsub.topics.attachSubscription",),
        snapshot: ("pubsub.snapshots.seek",),
        dead: ("pubsub.topics.attachSubscription",),
    }


def test_a_group_that_has_committed_nothing_proves_nothing(service):
    flags = ["--kafka_topics=a", f"--pubsub_topic={TOPIC}", "--group_id=typo"]
    with pytest.raises(PreflightError, match="group typo: it has committed none of these"):
        preflight.check(parse(SERVERS, *flags), NOON_MS)


@pytest.mark.parametrize(
    ("flags", "since_ms"),
    [
        ([], NOON_MS - 3_600_000),
        (["--from=2027-01-15T07:59:00Z"], NOON_MS - 60_000),
        (["--from=2020-01-15T07:59:00Z"], NOON_MS - 3_600_000),
        (["--snapshot=projects/p/snapshots/sss"], 0),
    ],
)
def test_the_past_begins_with_the_range_or_with_retention(service, flags, since_ms):
    facts = preflight.check(parse(*TO_KAFKA, *flags), NOON_MS)
    snapshot = flags[0].partition("=")[2] if since_ms == 0 else ""
    assert facts.past == Past(TOPIC, "projects/p", 'attributes.a = "b"', since_ms, snapshot)


def test_the_destinations_past_begins_an_hour_before_the_range(service):
    service.retention = 86_400
    facts = preflight.check(
        parse(
            SERVERS,
            "--kafka_topics=a",
            f"--pubsub_topic={TOPIC}",
            "--from=2027-01-15T07:59:00Z",
        ),
        NOON_MS,
    )
    assert facts.past is not None
    assert facts.past.since_ms == NOON_MS - 60_000 - 3_600_000


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], f"read the past of {TOPIC}: it keeps none; give --snapshot"),
        (["--snapshot=projects/p/snapshots/other"], "seek to projects/p/snapshots/other: it is of"),
    ],
)
def test_a_topic_without_a_past_is_refused(service, flags, says):
    service.retention = 0
    with pytest.raises(PreflightError) as raised:
        preflight.check(parse(*TO_KAFKA, *flags), NOON_MS)
    assert str(raised.value).startswith(says)
    assert service.made == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"a": {"1": "20"}}', "audit a/1: no such partition"),
        ('{"a": {"0": "20,100"}}', "audit a/0: offset 100 is not there, its end is 100"),
    ],
)
def test_offsets_that_are_not_there_are_refused(service, tmp_path, content, says):
    file = tmp_path / "offsets.json"
    file.write_text(content)
    flags = [SERVERS, "--kafka_topics=a", f"--pubsub_topic={TOPIC}", f"--offsets={file}"]
    with pytest.raises(PreflightError) as raised:
        preflight.check(parse(*flags), NOON_MS)
    assert str(raised.value).startswith(says)


# -- readers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("refuses_seek", [False, True])
def test_a_temporary_subscription_is_deleted_whatever_happens(service, refuses_seek):
    service.refuses_seek = refuses_seek
    names = []

    def use() -> None:
        with temporary.temporary_subscription(
            "bridge-audit-", Past(TOPIC, "projects/q", "filter", 5)
        ) as name:
            names.append(name)
            raise ZeroDivisionError

    with pytest.raises(PreflightError if refuses_seek else ZeroDivisionError):
        use()
    assert refuses_seek or names == service.made
    assert service.made[0].startswith("projects/q/subscriptions/bridge-audit-")
    assert service.more["expires_after_s"] == 86_400
    assert service.more["filter"] == "filter"
    assert service.deleted == service.made


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeSubscriber:
    """Answers by a script: a list of publish times, an error, or (None) silence."""

    def __init__(self, script, clock):
        self.script, self.clock = script, clock
        self.acked: list[str] = []
        self.asked = 0

    def pull(self, max_messages, timeout_s):
        step = self.script.pop(0) if self.script else None
        self.clock.now += timeout_s if step is None else 1.0
        if isinstance(step, Exception):
            raise step
        times = step or ()
        records = [PubsubRecord(b"", {}, "", "1", ms) for ms in times]
        return Pulled(records, [str(ms) for ms in times], [0] * len(records))

    def ask(self, timeout_s):
        self.asked += 1

    def acknowledge(self, ack_ids, timeout_s):
        self.acked += ack_ids

    def cancel(self):
        pass

    def close(self):
        pass


def pulled(monkeypatch, script, idle_s=10):
    clock = Clock()
    fake = FakeSubscriber(script, clock)
    monkeypatch.setattr(temporary, "Subscriber", lambda *_: fake)
    monkeypatch.setattr(temporary.time, "sleep", lambda seconds: None)
    found = temporary.read(SUBSCRIPTION, idle_s, lambda: False, clock, lambda: 100.0)
    return fake, clock, found


def test_reading_ends_when_nothing_old_comes_any_more(monkeypatch):
    """Published before reading began: up to 100,000 ms."""
    fake, clock, found = pulled(monkeypatch, [[1, 2], [], [100_000], *([[200_000]] * 9), None])
    assert [len(batch) for batch in found] == [2, 0, 1, *([1] * 9), 0]
    assert len(fake.acked) == 12
    assert fake.asked == 1
    assert clock.now == 13.0


def test_a_live_topic_does_not_keep_the_audit_from_ending(monkeypatch):
    _, _, found = pulled(monkeypatch, [[200_000]] * 1000)
    assert len(list(found)) < 20


def test_a_service_that_stays_away_ends_the_audit_one_that_comes_back_does_not(monkeypatch):
    away = UnavailableError("pull: away")
    _, _, found = pulled(monkeypatch, [[1], away, away, [2]])
    assert sum(map(len, found)) == 2
    _, _, found = pulled(monkeypatch, [[1], *([None] * 3), away, [2]], idle_s=200)
    assert sum(map(len, found)) == 2
    _, _, found = pulled(monkeypatch, [[1], *([away] * 100)])
    with pytest.raises(SourceError, match="away"):
        list(found)


class FakeConsumer:
    """Offsets 0 to 99 of two partitions; every tenth one is no record."""

    def __init__(self, stuck_at=None, error=None):
        self.at: dict = {}
        self.stuck_at, self.error = stuck_at, error
        self.seeks: list = []
        self.clock = Clock()

    def assign(self, positions):
        self.at = {part: self.at.get(part, positions[part]) for part in positions}

    def seek(self, positions):
        self.seeks.append(positions)
        self.at |= positions

    def poll(self, timeout_s, max_records):
        self.clock.now += timeout_s
        if self.error:
            raise self.error
        records = []
        for part, at in self.at.items():
            end = min(at + 7, 100_000 if self.stuck_at is None else self.stuck_at)
            self.at[part] = end
            records += [KafkaRecord(*part, n) for n in range(at, end) if n % 10]
        return records

    def positions(self):
        return dict(self.at)

    def close(self):
        pass


def kafka_read(monkeypatch, consumer, ranges):
    monkeypatch.setattr(groupless, "open_consumer", lambda cluster, config: consumer)
    batches = groupless.read(KafkaConfig("broker:9092"), ranges, consumer.clock)
    return [(r.partition, r.offset) for batch in batches for r in batch]


def test_ranges_are_read_to_their_end_and_nothing_else(monkeypatch):
    ranges = {
        ("t", 0): Ranges(((5, 12), (15, 15), (90, 90))),
        ("t", 1): Ranges(((3, 3), (50_001, 50_003))),
        ("t", 2): Ranges(),
    }
    consumer = FakeConsumer()
    found = kafka_read(monkeypatch, consumer, ranges)
    assert [n for part, n in found if part == 0] == [5, 6, 7, 8, 9, 11, 12, 15]
    assert [n for part, n in found if part == 1] == [3, 50_001, 50_002, 50_003]
    assert consumer.seeks == [{("t", 1): 50_001}]


@pytest.mark.parametrize(
    ("consumer", "says"),
    [
        (FakeConsumer(stuck_at=50), "read t/0: nothing comes for 60 s"),
        (FakeConsumer(error=UnavailableError("away")), "read t/0: nothing comes for 60 s"),
        (
            FakeConsumer(error=OffsetGapError("gone", "t", 0, 3, 9, 9)),
            "read t/0: offsets from 3 on have gone",
        ),
    ],
)
def test_what_cannot_be_read_to_its_end_proves_nothing(monkeypatch, consumer, says):
    with pytest.raises(SourceError) as raised:
        kafka_read(monkeypatch, consumer, {("t", 0): Ranges(((0, 99),))})
    assert str(raised.value).startswith(says)


def test_letters_in_parts_and_what_is_none(caplog):
    letter = DeadLetter(KafkaRecord("t", 0, 1), "kafka_to_ps", "map", "E", "why", 1, 1, "0")
    data, found = to_avro([letter]), letters.Letters("dead")
    label = {"dead_letter.id": "i", "dead_letter.parts": "2"}
    parts = [
        PubsubRecord(data[100:], label | {"dead_letter.part": "2"}),
        PubsubRecord(data[100:], label | {"dead_letter.part": "2"}),
        PubsubRecord(data[:100], label | {"dead_letter.part": "1"}),
    ]
    assert found.in_messages(parts) == [letter.original]
    assert found.in_records([KafkaRecord("dead", value=b"x"), KafkaRecord("dead")]) == []
    assert found.strange == 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("part", "of"),
    [("a", "2"), ("", "2"), ("0", "2"), ("3", "2"), ("1", ""), ("1", "a"), ("1", "\u0662")],
)
def test_what_cannot_be_a_part_is_counted_and_spoils_no_letter(part, of):
    letter = DeadLetter(KafkaRecord("t", 0, 1), "kafka_to_ps", "map", "E", "why", 1, 1, "0")
    data, found = to_avro([letter]), letters.Letters("dead")
    label = {"dead_letter.id": "i"}
    messages = [
        PubsubRecord(data[:100], label | {"dead_letter.part": "1", "dead_letter.parts": "2"}),
        PubsubRecord(b"x", label | {"dead_letter.part": part, "dead_letter.parts": of}),
        PubsubRecord(data[100:], label | {"dead_letter.part": "2", "dead_letter.parts": "2"}),
    ]
    assert found.in_messages(messages) == [letter.original]
    assert found.strange == 1


# -- what is said ----------------------------------------------------------------------------------


def result(missing: int, doubts=()) -> show.Result:
    spans = [(n * 2, n * 2) for n in range(missing)]
    rows = [
        Row("alerts/0", expected=1500, delivered=1500 - missing, missing=missing, gaps=7),
        Row("alerts/1", expected=10, delivered=10),
    ]
    walks = Missing({("alerts", 0): iter_of(spans), ("alerts", 1): iter_of([])})
    return show.Result("alerts", TOPIC, rows, walks, Others(3), doubts, 1.25)


def test_the_table_leaves_out_what_is_zero_everywhere_and_shows_the_first_ranges():
    out = io.StringIO()
    show.table(result(12), out)
    lines = out.getvalue().splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["source", "expected", "delivered", "missing", "gaps"],
        ["alerts/0", "1,500", "1,488", "12", "7"],
        ["alerts/1", "10", "10", "0", "0"],
        ["total", "1,510", "1,498", "12", "7"],
    ]
    assert lines[4:] == ["missing alerts/0: 0,2,4,6,8,10,12,14,16,18 and 2 more ranges"]


def test_the_last_line_says_what_it_comes_to_and_what_speaks_against_it():
    assert show.last_line(result(0, ("doubt",))) == (
        f"audit: alerts against {TOPIC}: nothing is missing; expected 1,510, delivered 1,510, "
        "gaps 7, others 3; 1.2 s"
    )
    assert "1 missing (but doubt)" in show.last_line(result(1, ("doubt",)))


def test_json_has_everything():
    found = show.content(result(12))
    assert found["partitions"]["alerts/0"]["missing_offsets"] == "0,2,4,6,8,10,12,14,16,18,20,22"
    assert (found["missing"], found["others"], found["partitions"]["alerts/1"]["missing"]) == (
        12,
        3,
        0,
    )


def test_missing_messages_come_with_times_and_a_span_around_them():
    missing = Missing(messages=iter_of([(7, NOON_MS), (9, NOON_MS - 1)]))
    assert show.missing_file(missing) == {
        "from": "2027-01-15T07:59:59.999Z",
        "to": "2027-01-15T08:00:00.001Z",
        "messages": {"7": "2027-01-15T08:00:00.000Z", "9": "2027-01-15T07:59:59.999Z"},
    }


def test_a_meter_says_what_is_read():
    clock = Clock()
    meter = Meter(clock)
    assert meter.line() == "audit checking"
    meter.begin("source")
    clock.now = 2.0
    meter.add(5000)
    meter.begin("destination")
    clock.now = 4.0
    meter.add(1000)
    assert meter.line() == (
        "audit reading destination  500 msg/s  source 5,000  destination 1,000  0:00:04"
    )


def test_an_audit_that_cannot_be_finished_says_so_and_prints_no_table(monkeypatch, capsys, service):
    def broken(*_):
        raise SourceError("read a/0: nothing comes")
        yield

    @contextmanager
    def subscription(*_):
        yield "s"

    monkeypatch.setattr(groupless, "read", broken)
    monkeypatch.setattr(temporary, "temporary_subscription", subscription)
    status = cli.main([SERVERS, "--kafka_topics=a", f"--pubsub_topic={TOPIC}"])
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert "read a/0: nothing comes; not finished: what was read (source 0) proves nothing" in err
