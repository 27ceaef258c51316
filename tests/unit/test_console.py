"""The console without servers: its command line, what is seen of a message, in which order."""

from __future__ import annotations

import base64
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.console import cli, options, preflight, reading, show
from pipelines.console.payload import MOST_TEXT, in_one_line, lines_of, time_of
from pipelines.options import FLAGS as BRIDGE_FLAGS
from transforms.decode import Decoder
from transforms.errors import UnavailableError, UsageError
from transforms.kafka import groupless
from transforms.pubsub.temporary import Past
from transforms.records import KafkaRecord, PubsubRecord, TimestampType

KAFKA = ["--bootstrap_servers=broker:9092", "--kafka_topics=alerts"]
TOPIC = "--pubsub_topic=projects/p/topics/alerts"
SUBSCRIPTION = "--subscription=projects/p/subscriptions/alerts"
REGISTRY = "--schema_registry=http://registry:8081"
RECORD = KafkaRecord(
    "alerts",
    3,
    12_345,
    1_795_336_534_908,
    TimestampType.CREATE_TIME,
    b"ZTF21abc",
    b"hello\nworld",
    (("survey", b"ztf"), ("n", None), ("raw", b"\0\xff")),
)
MESSAGE = PubsubRecord(b"hello", {"survey": "ztf"}, "key", "77", 1_795_336_534_908)


def parse(*argv: str, **environ: str) -> options.Options:
    return options.parse(argv, environ)


# -- the command line


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "--kafka_topics: missing; say what to print"),
        ([*KAFKA, TOPIC], "--pubsub_topic: --kafka_topics is printed already"),
        (["--kafka_topics=a"], "--bootstrap_servers: missing"),
        ([SUBSCRIPTION], "taken from its other readers; say --take.*--pubsub_topic"),
        ([*KAFKA, "--take"], "--take: nothing is taken without --subscription"),
        ([SUBSCRIPTION, "--take", "--start=earliest"], "would move the subscription"),
        ([*KAFKA, "--follow", "--idle_seconds=1"], "--idle_seconds: --follow goes on"),
        ([*KAFKA, REGISTRY], "--schema_registry: means nothing without --decode"),
        ([*KAFKA, "--cutouts"], "--cutouts: means nothing without --decode"),
        ([*KAFKA, "--decode", "--cutouts=some"], "--cutouts: 'some' is not one of omit, show"),
        (
            [*KAFKA, "--decode", "--schema_registry_login=env:X"],
            "--schema_registry_login: means nothing without --schema_registry",
        ),
        (
            [*KAFKA, "--decode", REGISTRY, "--schema_registry_login=alice:hunter2"],
            "expected env:NAME",
        ),
        ([*KAFKA, "--decode", "--schema_registry=registry:8081"], r"it is not http\(s\)://HOST"),
        ([*KAFKA, "--days_back=1"], "--days_back: means nothing without a date in --kafka_topics"),
        ([*KAFKA, "--limit=0"], "--limit: '0' is not a whole number above 0"),
        ([*KAFKA, "--from=earliest"], "unrecognized arguments"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_contacted(argv, words) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        parse(*argv)
    assert "hunter2" not in str(refused.value)


def test_offsets_are_of_the_topics_and_of_kafka(tmp_path) -> None:
    path = tmp_path / "offsets.json"
    path.write_text('{"others": {"0": 5}}')
    with pytest.raises(UsageError, match="topic 'others' of the file is not in --kafka_topics"):
        parse(*KAFKA, f"--start=offsets={path}")
    with pytest.raises(UsageError, match="Pub/Sub has no offsets"):
        parse(TOPIC, f"--start=offsets={path}")


def test_ten_are_shown_unless_it_follows() -> None:
    assert parse(*KAFKA).limit == 10
    assert parse(*KAFKA, "--follow").limit is None
    assert parse(*KAFKA, "--follow", "--limit=3").limit == 3


@pytest.mark.parametrize(
    ("flags", "largest"),
    [
        ([], 256),
        (["--cutouts"], 256),
        (["--cutouts=show"], None),
        (["--json"], None),
        (["--json", "--cutouts"], 256),
    ],
)
def test_cutouts_are_left_out_for_people_and_whole_for_programs(flags, largest) -> None:
    assert parse(*KAFKA, "--decode", *flags).largest_bytes == largest


def test_shared_flags_are_those_of_the_bridge() -> None:
    bridge = {f.name: f for f in BRIDGE_FLAGS}
    for f in options.FLAGS:
        if f.name in bridge:
            assert (f.parse, f.metavar) == (bridge[f.name].parse, bridge[f.name].metavar)


# -- where a Pub/Sub topic begins

NOW_MS, HOUR_MS = 1_800_000_000_000, 3_600_000


class Admin:
    def __init__(self, retention_s: int) -> None:
        self.retains_s = retention_s

    def retention_s(self, topic: str, *needs: str) -> int:
        return self.retains_s

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("flags", "retention_s", "since_ms"),
    [
        ([], 3600, NOW_MS - HOUR_MS),
        (["--start=earliest"], 3600, NOW_MS - HOUR_MS),
        (["--start=timestamp=2026-01-01T00:00:00Z"], 3600, NOW_MS - HOUR_MS),
        (["--start=timestamp=2027-01-15T07:59:00Z"], 3600, NOW_MS - 60_000),
        (["--start=latest"], 3600, None),
        (["--follow"], 3600, None),
        (["--follow", "--start=earliest"], 3600, NOW_MS - HOUR_MS),
        ([], 0, None),
    ],
)
def test_a_topics_past_is_what_it_retains(monkeypatch, flags, retention_s, since_ms) -> None:
    monkeypatch.setattr(preflight.pubsub, "open_admin", lambda *_: Admin(retention_s))
    facts = preflight.check(parse(TOPIC, *flags), NOW_MS)
    assert facts.past == Past("projects/p/topics/alerts", "projects/p", since_ms=since_ms)
    says = "".join(cli._beginning(parse(TOPIC, *flags), facts))
    assert ("it keeps no past" in says) == (not retention_s)
    assert ("until Ctrl-C" in says) == ("--follow" in flags)


# -- in which order


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9))))
def test_whatever_the_times_a_partition_stays_in_its_order(made) -> None:
    records = [KafkaRecord("t", p, n, ms) for n, (p, ms) in enumerate(made)]
    found = list(reading.by_time(sorted(records, key=lambda r: r.partition)))
    assert sorted(found) == sorted(records)
    for number in range(3):
        offsets = [r.offset for r in found if r.partition == number]
        assert offsets == sorted(offsets)


def test_records_of_three_partitions_are_by_time() -> None:
    records = [KafkaRecord("t", n % 3, n // 3, 1000 + n) for n in range(30)]
    assert list(reading.by_time(sorted(records, key=lambda r: r.partition))) == records


# -- what is seen


def seen(record, decoder: Decoder | None = None, terminal_width: int | None = None) -> list[str]:
    class File(io.StringIO):
        def isatty(self) -> bool:
            return terminal_width is not None

    file = File()
    show.Screen(decoder, file).show(record)
    return file.getvalue().split("\n")


def test_a_record_is_seen_whole() -> None:
    assert seen(RECORD) == [
        "alerts/3@12345  2026-11-22T08:35:34.908Z  11 B",
        "  key: ZTF21abc",
        "  header survey: ztf",
        "  header n: null",
        "  header raw: binary, 2 B: 00 ff",
        "  hello",
        "  world",
        "",
        "",
    ]


def test_a_message_is_seen_whole() -> None:
    assert seen(MESSAGE) == [
        "message 77  2026-11-22T08:35:34.908Z  5 B",
        "  ordering key: key",
        "  attribute survey: ztf",
        "  hello",
        "",
        "",
    ]


@pytest.mark.parametrize("columns", [80, 200])
def test_a_terminals_lines_fit(monkeypatch, columns) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    record = RECORD._replace(value=json.dumps({"text": "word " * 100}).encode())
    lines = seen(record, Decoder(), columns)
    assert any("\x1b[" in line for line in lines)
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines) <= columns


HOSTILE = "a\x1b[2J\u202eb\x9b\r\nc\x00"


@given(st.text() | st.just(HOSTILE), st.binary() | st.just(HOSTILE.encode()), st.booleans())
def test_nothing_that_is_shown_moves_a_cursor(text, raw, decoded) -> None:
    decoder = Decoder() if decoded else None
    payload = json.dumps({text: text}).encode() if decoded else raw
    record = KafkaRecord(
        "t",
        0,
        0,
        0,
        TimestampType.NONE,
        raw,
        payload,
        ((text, raw), ("x", text.encode("utf-8", "replace"))),
    )
    message = PubsubRecord(payload, {text: text}, text, "1", 0)
    for shown in (record, message):
        assert all(line.isprintable() for line in seen(shown, decoder))


@pytest.mark.parametrize(
    ("payload", "lines"),
    [
        (None, ["null"]),
        (b"", ["empty"]),
        (b"a\tb\r\nc", ["a   b", "c"]),
        (b"\0\1", ["binary, 2 B: 00 01"]),
        (bytes(40), [f"binary, 40 B: {' '.join(['00'] * 32)} ..."]),
        (b"x" * (MOST_TEXT + 5), ["x" * MOST_TEXT, "... (5 more characters)"]),
        (b"Obj\x01" + bytes(70_000), ["Avro container, 70,004 B; HINT"]),
        (
            b"\0\0\0\0\x07a",
            ["binary, 6 B: 00 00 00 00 07 61, perhaps Confluent's wire format with schema 7; HINT"],
        ),
    ],
)
def test_a_payload_is_its_text_or_what_else_it_is(payload, lines) -> None:
    assert lines_of(payload, "; HINT") == lines


def test_a_long_value_is_cut_and_a_time_beyond_calendars_is_a_number() -> None:
    assert in_one_line(b"x" * 305) == "x" * 300 + "... (5 more)"
    assert time_of(2**62) == f"{2**62} ms"
    assert time_of(None) == "no time"
    assert time_of(-1) == "1969-12-31T23:59:59.999Z"


def test_what_is_decoded_is_indented_json_and_else_says_why() -> None:
    found = seen(RECORD._replace(value=b'{"a": 1}', key=None, headers=()), Decoder())
    assert found[1:-2] == ["  {", '    "a": 1', "  }"]
    [_, why, rest, *_] = seen(KafkaRecord("t", value=b"\xff"), Decoder())
    assert why == "  not decoded: it is neither Avro nor JSON"
    assert rest == "  binary, 1 B: ff"
    assert seen(KafkaRecord("t", value=b"text"), Decoder())[1] == "  text"


def test_a_registry_that_is_away_leaves_a_record_undecoded() -> None:
    class Away(Decoder):
        def decode(self, payload: bytes) -> object:
            raise UnavailableError("get schemas/ids/1: no answer")

    assert seen(KafkaRecord("t", value=b"\0x"), Away())[1] == (
        "  not decoded: get schemas/ids/1: no answer"
    )
    content = json.loads(show.to_json(KafkaRecord("t", value=b"\0x"), Away()))
    assert content["not_decoded"] == "get schemas/ids/1: no answer"


def test_json_has_all_of_a_record() -> None:
    content = json.loads(show.to_json(RECORD, None))
    assert content == {
        "topic": "alerts",
        "partition": 3,
        "offset": 12_345,
        "timestamp_ms": 1_795_336_534_908,
        "timestamp": "2026-11-22T08:35:34.908Z",
        "timestamp_type": "CREATE_TIME",
        "key_base64": base64.b64encode(b"ZTF21abc").decode(),
        "headers": [
            {"name": "survey", "value_base64": "enRm"},
            {"name": "n", "value_base64": None},
            {"name": "raw", "value_base64": "AP8="},
        ],
        "value_base64": base64.b64encode(b"hello\nworld").decode(),
    }


def test_json_has_all_of_a_message_and_what_it_says() -> None:
    content = json.loads(show.to_json(MESSAGE._replace(data=b"[1]"), Decoder()))
    assert content == {
        "message_id": "77",
        "publish_time_ms": 1_795_336_534_908,
        "publish_time": "2026-11-22T08:35:34.908Z",
        "ordering_key": "key",
        "attributes": {"survey": "ztf"},
        "data_base64": base64.b64encode(b"[1]").decode(),
        "decoded": [1],
    }


# -- following


class Following:
    """A consumer whose every poll takes a second, by a script of records and errors."""

    def __init__(self, *script) -> None:
        self.script = list(script)
        self.now_s = 0.0
        self.assigned: list[dict] = []
        self.sought: dict = {}
        self.known = [("t", 0)]

    def assign(self, positions) -> None:
        self.assigned.append(dict(positions))

    def poll(self, _timeout_s, _records):
        self.now_s += 1.0
        step = self.script.pop(0) if self.script else []
        if isinstance(step, Exception):
            raise step
        return step

    def partitions(self, _topics):
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    def seek(self, positions) -> None:
        self.sought = positions

    def close(self) -> None:
        pass


def follow(monkeypatch, consumer: Following):
    monkeypatch.setattr(groupless, "open_consumer", lambda *_: consumer)
    clock = lambda: consumer.now_s  # noqa: E731
    return groupless.follow(None, lambda: ["t"], {("t", 0): 5}, clock)


def test_a_partition_that_is_new_is_followed_from_its_first_record(monkeypatch) -> None:
    consumer = Following()
    batches = follow(monkeypatch, consumer)
    next(batches)
    consumer.known = [("t", 0), ("t", 1)]
    while len(consumer.assigned) < 2 and consumer.now_s < 60:
        next(batches)
    assert consumer.assigned == [{("t", 0): 5}, {("t", 0): 5, ("t", 1): 0}]


def test_offsets_that_are_gone_are_said_and_passed_over(monkeypatch, caplog) -> None:
    record = KafkaRecord("t", 0, 9)
    gap = groupless.OffsetGapError("read t/0: offsets 5 to 8 no longer exist", "t", 0, 5, 9, 9)
    batches = follow(monkeypatch, consumer := Following(gap, [record]))
    assert [next(batches), next(batches)] == [[], [record]]
    assert consumer.sought == {("t", 0): 9}
    assert "offsets 5 to 8 no longer exist; going on at 9" in caplog.text


def test_brokers_that_stay_away_end_it_and_those_that_come_back_do_not(monkeypatch) -> None:
    away = UnavailableError("read: away")
    script = [*[away] * 30, [KafkaRecord("t", 0, 5)], *[away] * 100]
    batches = follow(monkeypatch, Following(*script))
    assert sum(len(next(batches)) for _ in range(60)) == 1
    with pytest.raises(groupless.SourceError, match="away"):
        list(batches)
