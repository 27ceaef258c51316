"""`python -m pipelines.preflight`: its command line, what it reads, adds up and shows."""

from __future__ import annotations

import _thread
import io
import json
import signal
import time
from contextlib import closing

import pytest
from rich.console import Console

from pipelines import graph
from pipelines.facts import Facts
from pipelines.options import KAFKA_TO_PS, PS_TO_KAFKA, parse
from pipelines.preflight import (
    __main__,
    sample,
    sample_found,
    sample_kafka,
    sample_pubsub,
    sample_show,
)
from pipelines.preflight.sample import BusyKey, Largest, Row, Tally
from pipelines.preflight.sample_show import Result
from transforms import limits
from transforms.errors import SourceError, UnavailableError, UsageError
from transforms.explain import Fate
from transforms.kafka.client import TopicInfo
from transforms.pubsub.client import Pulled
from transforms.records import KafkaRecord, PubsubRecord

FROM_KAFKA = [
    "--bootstrap_servers=b:1",
    "--kafka_topics=t",
    "--group_id=g",
    "--pubsub_topic=projects/p/topics/ttt",
]
FROM_PUBSUB = [
    "--bootstrap_servers=b:1",
    "--subscription=projects/p/subscriptions/sss",
    "--kafka_topic=t",
]


def record(offset: int, size: int = 1, timestamp_ms: int | None = 0) -> KafkaRecord:
    return KafkaRecord("t", 0, offset, timestamp_ms, value=bytes(size))


# -- adding up -------------------------------------------------------------------------------------


def test_a_message_counts_once_under_its_kind_and_in_a_row_for_each_reason():
    tally = Tally(100)
    for offset, fate in enumerate(
        [
            Fate("fits"),
            Fate("spills", ("key: it is null", "value: it is null")),
            Fate("fits"),
            Fate("dead letter", ("too large",)),
            Fate("spills", ("value: it is null",)),
            Fate("return", ("been there",)),
        ]
    ):
        tally.add(record(offset), fate)
    assert tally.rows() == [
        Row("dead letter", "too large", 1, "t/0@3"),
        Row("return", "been there", 1, "t/0@5"),
        Row("spills", "value: it is null", 2, "t/0@1"),
        Row("spills", "key: it is null", 1, "t/0@1"),
        Row("fits", "", 2, "t/0@0"),
    ]
    assert tally.sampled == 6
    assert tally.kinds == {"fits": 2, "spills": 2, "dead letter": 1, "return": 1}


def test_the_largest_are_told_by_payload_and_as_mapped():
    tally = Tally(100)
    for offset, size in enumerate([5, 90, 7]):
        mapped = PubsubRecord(bytes(size), {"a": "b"}) if size < 50 else None
        fate = Fate("fits", (), mapped) if mapped else Fate("dead letter", ("too large",))
        tally.add(record(offset, size), fate)
    assert tally.payload == Largest("t/0@1", 90)
    assert tally.mapped == Largest("t/0@2", 9)


def keyed(tally: Tally, offset: int, key: str, size: int, second: int) -> None:
    """Adds a record whose message has exactly this size."""
    mapped = PubsubRecord(bytes(size - len(key)), {}, key)
    tally.add(record(offset, 1, 1000 * second + offset), Fate("fits", (), mapped))


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_an_ordering_key_is_busy_when_one_second_passes_the_limit(over):
    tally, limit = Tally(0), limits.PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S
    keyed(tally, 0, "secret", limit - 100, 5)
    keyed(tally, 1, "secret", 100 + over, 5)
    keyed(tally, 2, "secret", limit - 200, 6)
    keyed(tally, 3, "secret", 100, 8)
    assert tally.key_count() == 1
    busy = tally.busy_keys()
    assert bool(busy) is (over > 0)
    for key in busy:
        assert key.key.startswith("sha256:2bb80d537b1d")
        assert key[1:] == (4, limit + over, (2 * limit + over - 100) // 4, "t/0@0")


def test_a_key_of_a_partition_is_named_and_the_busiest_20_come_first():
    tally = Tally(0)
    for number in range(30):
        keyed(tally, number, f"k{number}", 2_000_000 + number, 1)
    keyed(tally, 30, "t/0", 3_000_000, 1)
    tally.add(record(31, timestamp_ms=None), Fate("fits", (), PubsubRecord(b"d", {}, "no time")))
    tally.add(record(32), Fate("fits", (), PubsubRecord(b"d")))
    busy = tally.busy_keys()
    assert tally.key_count() == 31
    assert busy[0] == BusyKey("t/0", 1, 3_000_000, 3_000_000, "t/0@30")
    assert [key.busiest_bytes_per_s for key in busy[1:]] == [
        2_000_000 + number for number in range(29, 10, -1)
    ]


class Caught(Exception):
    """Carries what a bridge would map with."""


def caught(_bridge, policy, destination, _restores):
    raise Caught(policy, destination)


@pytest.mark.parametrize("flags", [[], ["--attributes=lossless"], ["--returns=pass"]])
def test_the_mapping_is_the_one_of_the_bridge(monkeypatch, flags):
    """Policy and destination of both, caught where each hands them on."""
    facts = Facts(
        topic=TopicInfo("t", 3, 5_000), cluster_id="c", pubsub_topic="projects/p/topics/x"
    )
    found = []
    monkeypatch.setattr(sample.explain, "of_record", lambda _, *rest: found.append(rest))
    monkeypatch.setattr(
        sample.explain, "of_message", lambda _, *rest: found.append(rest) or Fate("fits")
    )
    monkeypatch.setattr(sample.Tally, "add", lambda *_: None)
    monkeypatch.setattr(graph, "ToPubsub", caught)
    monkeypatch.setattr(graph, "ToKafka", caught)

    options = parse(KAFKA_TO_PS, [*FROM_KAFKA, "--ordering_key=key", *flags], {})
    sample.tally_of_records(options, facts)[1](record(0))
    with pytest.raises(Caught) as raised:
        graph.build(AnyPipeline(), options, facts, None)
    assert raised.value.args == found[0]

    options = parse(PS_TO_KAFKA, [*FROM_PUBSUB, "--key=attribute:k", *flags], {})
    sample.tally_of_messages(options, facts, lambda: 5.0)[1](PubsubRecord())
    with pytest.raises(Caught) as raised:
        graph.build(AnyPipeline(), options, facts, None)
    assert raised.value.args == found[1][:2]
    assert found[1][2] == (facts.topic, options.client, 5_000)


class AnyPipeline:
    def __or__(self, _transform):
        return self


# -- reading Kafka ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "available", "shares"),
    [
        (9, [5, 5, 5], [3, 3, 3]),
        (10, [5, 5, 5], [3, 3, 4]),
        (10, [1, 9, 20], [1, 4, 5]),
        (100, [5, 5], [5, 5]),
        (2, [5, 6, 7], [0, 1, 1]),
        (1, [3], [1]),
    ],
)
def test_the_sample_is_spread_over_the_partitions(count, available, shares):
    partitions = {("t", number): n for number, n in enumerate(available)}
    assert list(sample_kafka.spread(count, partitions).values()) == shares


class Log:
    """A cluster whose partitions hold records at some offsets only, its admin and its consumer.

    Every poll takes a second, and gives at most three records. Beyond `readable` nothing comes.
    """

    def __init__(self, ends: dict[int, int], offsets: dict[int, list[int]], readable=10**9) -> None:
        self.now_s = 0.0
        self.delivered = 0
        self._ends = {("t", number): end for number, end in ends.items()}
        self._offsets = {("t", number): found for number, found in offsets.items()}
        self._readable = readable
        self._at: dict[tuple[str, int], int] = {}

    def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions):
        return {partition: self._ends[partition] for partition in partitions}

    def assign(self, positions):
        self._at = {p: self._at.get(p, at) for p, at in positions.items()}

    def poll(self, _timeout_s, _max_records):
        self.now_s += 1.0
        for partition, at in self._at.items():
            held = [o for o in self._offsets[partition] if at <= o < self._readable][:3]
            past_the_last = min(self._ends[partition], self._readable)
            self._at[partition] = held[-1] + 1 if held else max(at, past_the_last)
            if held:
                self.delivered += len(held)
                return [KafkaRecord(*partition, offset, 0, value=b"v") for offset in held]
        return []

    def positions(self):
        return dict(self._at)

    def close(self):
        pass


def newest(monkeypatch, log: Log, count: int) -> tuple[list[str], list[str]]:
    monkeypatch.setattr(sample_kafka.reaching, "open_kafka", lambda _: log)
    monkeypatch.setattr(sample_kafka, "open_consumer", lambda *_: log)
    options = parse(KAFKA_TO_PS, FROM_KAFKA, {})
    notes: list[str] = []
    facts = Facts(partitions=tuple(log._ends))
    clock = lambda: log.now_s  # noqa: E731
    parts = facts.partitions
    records = sample_kafka.newest(options.kafka, parts, count, notes.append, clock)
    return [record.name for record in records], notes


def test_the_newest_records_are_read_and_no_others(monkeypatch):
    log = Log({0: 1000, 1: 500}, {0: list(range(1000)), 1: list(range(500))})
    names, notes = newest(monkeypatch, log, 10)
    assert sorted(names) == [f"t/0@{n}" for n in range(995, 1000)] + [
        f"t/1@{n}" for n in range(495, 500)
    ]
    assert notes == []
    assert log.delivered == 10


def test_offsets_without_a_record_are_not_waited_for_and_made_up_for(monkeypatch):
    """Every tenth offset is a record, and the last ones are markers."""
    log = Log({0: 1000}, {0: list(range(0, 990, 10))})
    names, notes = newest(monkeypatch, log, 20)
    assert len(set(names)) == len(names) == 20
    assert "t/0@980" in names
    assert notes == []
    assert log.now_s < sample_kafka.QUIET_S * 3


def test_a_small_topic_is_read_whole_and_said_to_be_small(monkeypatch):
    log = Log({0: 5, 1: 0}, {0: [0, 2, 4], 1: []})
    names, notes = newest(monkeypatch, log, 100)
    assert names == ["t/0@0", "t/0@2", "t/0@4"]
    assert notes == ["3 of 100 records: the topics hold no more"]


def test_what_does_not_come_ends_the_sample_after_a_while(monkeypatch):
    log = Log({0: 100}, {0: list(range(100))}, readable=95)
    names, notes = newest(monkeypatch, log, 10)
    assert len(names) == 5
    assert notes == ["5 of 10 records: nothing more came for 10 s"]
    assert log.now_s < sample_kafka.QUIET_S * 2


def test_a_sample_ends_after_its_time(monkeypatch):
    log = Log({0: 1000}, {0: list(range(1000))})
    names, notes = newest(monkeypatch, log, 1000)
    assert 150 < len(names) < 200
    assert notes == [f"{len(names)} of 1,000 records: 60 s are over"]


# -- reading Pub/Sub -------------------------------------------------------------------------------


class Subscription:
    """Gives what is prepared, a batch a pull; a pull that gives nothing takes its time-out."""

    def __init__(self, *batches: list[str]) -> None:
        self.now_s = 0.0
        self.asked: list[int] = []
        self.given_back: list[str] = []
        self.closed = False
        self.gone = False
        self._batches = list(batches)
        self._acks = 0

    def pull(self, max_messages, timeout_s):
        self.asked.append(max_messages)
        if self.gone:
            raise UnavailableError("pull s: it does not answer")
        if not self._batches:
            self.now_s += timeout_s
            return Pulled()
        ids = self._batches.pop(0)[:max_messages]
        before, self._acks = self._acks, self._acks + len(ids)
        return Pulled(
            [PubsubRecord(b"d", {}, "", message_id) for message_id in ids],
            [f"ack{n}" for n in range(before + 1, self._acks + 1)],
            [1] * len(ids),
        )

    def modify_ack_deadline(self, ack_ids, ack_deadline_s, _timeout_s):
        assert ack_deadline_s == 0
        self.given_back += ack_ids

    def close(self):
        self.closed = True


def pulling(monkeypatch, subscription: Subscription, count: int, notes: list[str]):
    monkeypatch.setattr(sample_pubsub, "Subscriber", lambda *_: subscription)
    return sample_pubsub.pulled("s", 600, count, notes.append, lambda: subscription.now_s)


def test_every_message_counts_once_and_every_delivery_is_given_back(monkeypatch):
    subscription, notes = Subscription(["1", "2"], ["2", "3"]), []
    messages = list(pulling(monkeypatch, subscription, 10, notes))
    assert [message.message_id for message in messages] == ["1", "2", "3"]
    assert subscription.given_back == ["ack1", "ack2", "ack3", "ack4"]
    assert subscription.closed
    assert notes == ["3 of 10 messages: nothing more came"]
    assert subscription.now_s == sample_pubsub.QUIET_S


def test_no_more_is_pulled_than_was_asked_for(monkeypatch):
    subscription, notes = Subscription([str(n) for n in range(5)], ["5", "6"]), []
    assert len(list(pulling(monkeypatch, subscription, 6, notes))) == 6
    assert subscription.asked == [6, 1]
    assert len(subscription.given_back) == 6
    assert notes == []


def test_an_interrupted_sample_gives_back_what_it_has(monkeypatch):
    subscription = Subscription(["1", "2"])
    with closing(pulling(monkeypatch, subscription, 10, [])) as messages:
        next(messages)
    assert subscription.given_back == ["ack1", "ack2"]
    assert subscription.closed


class Interrupting(Subscription):
    """The main thread is interrupted while it waits for a pull, which then gets something."""

    def pull(self, max_messages, timeout_s):
        time.sleep(0.1)
        _thread.interrupt_main()
        time.sleep(0.1)
        return super().pull(max_messages, timeout_s)


def test_what_comes_of_an_interrupted_pull_is_given_back_too(monkeypatch):
    subscription = Interrupting(["1", "2"])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            list(pulling(monkeypatch, subscription, 10, []))
    finally:
        signal.signal(signal.SIGINT, before)
    assert subscription.given_back == ["ack1", "ack2"]


def test_a_service_that_does_not_answer_is_not_an_empty_subscription(monkeypatch):
    subscription, notes = Subscription(), []
    subscription.gone = True
    with pytest.raises(UnavailableError, match="does not answer"):
        list(pulling(monkeypatch, subscription, 10, notes))
    assert notes == []


# -- showing ---------------------------------------------------------------------------------------

THERE = {
    "source": {
        "topics": {"t": 2},
        "max_message_bytes": 1_000,
        "group_id": "g",
        "members": 1,
        "committed_partitions": 1,
        "start": "latest",
        "offsets_to_read": 1_234,
    },
    "destination": {"pubsub_topic": "projects/p/topics/ttt", "max_message_bytes": 10_000_000},
    "dead_letter": None,
}


@pytest.fixture
def result():
    tally = Tally(10_000_000)
    mapped = PubsubRecord(b"d" * 2_000_000, {}, "t/0")
    tally.add(record(0, 2_000_000), Fate("fits", (), mapped))
    tally.add(record(1), Fate("dead letter", ("header '[bold]x[/bold]' is left out",)))
    return Result(KAFKA_TO_PS, THERE, ["2 of 5 records: no more"], tally, True, 1.23456)


def test_a_pipe_gets_plain_columns(result):
    file = io.StringIO()
    sample_show.to_people(result, file)
    assert (
        file.getvalue()
        == """\
kafka_to_ps: the checks passed, nothing was changed
  from          t: 2 partitions, records of at most 1,000 bytes
  group         g: 1 of 2 partitions committed, the rest begin at latest; 1,234 offsets to read; \
1 member now
  to            projects/p/topics/ttt: messages of at most 10,000,000 bytes
  dead letters  none: the first message that needs it ends the run

2 records sampled: dead letter 1, fits 1
becomes      why                                    records  example
dead letter  header '[bold]x[/bold]' is left out          1  t/0@1
fits         everything is plain on the other side        1  t/0@0
  largest payload  2,000,000 bytes, t/0@0
  largest message  2,000,003 bytes (limit 10,000,000), t/0@0
  ordering keys    1, 1 over 1,000,000 bytes/s

ordering keys that pass 1,000,000 bytes/s, Pub/Sub's limit
key  records  busiest bytes/s  mean bytes/s  example
t/0        1        2,000,003     2,000,003  t/0@0
2 of 5 records: no more
what becomes a dead letter needs --dead_letter: without it the first one ends the run
"""
    )


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_lost(result, width):
    file = io.StringIO()
    sample_show.print_on(Console(file=file, width=width, force_terminal=True), result)
    shown = [without_escapes(line) for line in file.getvalue().splitlines()]
    assert max(map(len, shown)) <= width
    assert all(word in "".join(shown) for word in ("[bold]x[/bold]", "t/0@1", "2,000,003"))
    assert "\x1b[31m" in file.getvalue()


def without_escapes(line: str) -> str:
    parts = line.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])


def test_a_long_table_ends_and_says_so():
    tally = Tally(1)
    for number in range(sample_show.MAX_ROWS + 2):
        tally.add(record(number), Fate("spills", (f"why {number}",)))
    file = io.StringIO()
    sample_show.to_people(Result(KAFKA_TO_PS, THERE, tally=tally), file)
    assert "\nand 2 more; --json has all\n" in file.getvalue()
    assert file.getvalue().count("why ") == sample_show.MAX_ROWS + 1  # and the column's title


def test_json_has_all_of_it(result):
    assert json.loads(sample_show.to_json(result)) == {
        "pipeline": "kafka_to_ps",
        **THERE,
        "notes": ["2 of 5 records: no more"],
        "sampled": 2,
        "totals": {
            "dead letter": 1,
            "return": 0,
            "fields left out": 0,
            "spills": 0,
            "restored": 0,
            "fits": 1,
        },
        "kinds": [
            {
                "kind": "dead letter",
                "reason": "header '[bold]x[/bold]' is left out",
                "records": 1,
                "example": "t/0@1",
            },
            {"kind": "fits", "reason": "", "records": 1, "example": "t/0@0"},
        ],
        "largest": {
            "payload": {"name": "t/0@0", "bytes": 2_000_000},
            "mapped": {"name": "t/0@0", "bytes": 2_000_003, "limit_bytes": 10_000_000},
        },
        "ordering_keys": [
            {
                "key": "t/0",
                "records": 1,
                "busiest_bytes_per_s": 2_000_003,
                "mean_bytes_per_s": 2_000_003,
                "example": "t/0@0",
            }
        ],
        "seconds": 1.235,
    }


def test_without_a_sample_json_has_the_ends_alone():
    shown = json.loads(sample_show.to_json(Result(KAFKA_TO_PS, THERE)))
    assert shown == {"pipeline": "kafka_to_ps", **THERE, "notes": [], "seconds": 0.0}


def test_the_rules_of_a_kafka_destination_are_told():
    options = parse(PS_TO_KAFKA, [*FROM_PUBSUB, "--dead_letter=kafka://dead"], {})
    facts = Facts(topic=TopicInfo("t", 1, 5_000, True, 60_000), pubsub_topic="projects/p/topics/x")
    there = sample_found.found(options, facts)
    assert dict(sample_found.lines(PS_TO_KAFKA, there)) == {
        "from": "projects/p/subscriptions/sss of projects/p/topics/x: ack deadline 10 s, no "
        "message ordering",
        "to": "t: 1 partition, record batches of at most 5,000 bytes, compacted, so that every "
        "record needs a key, timestamps at most 60 s ahead",
        "dead letters": "kafka://dead",
    }
    there = sample_found.found(options, facts.with_({"ordered": True}))
    assert dict(sample_found.lines(PS_TO_KAFKA, there))["from"].endswith("ack deadline 10 s")


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "pipeline"), [(FROM_KAFKA, KAFKA_TO_PS), (FROM_PUBSUB, PS_TO_KAFKA)]
)
@pytest.mark.parametrize(
    ("own", "count", "as_json"),
    [([], 0, False), (["--sample=5"], 5, False), (["--json", "--sample", "7"], 7, True)],
)
def test_the_flags_say_which_bridge_is_meant(flags, pipeline, own, count, as_json):
    command = __main__.parse_command([*own, *flags], {})
    assert command.bridge == parse(pipeline, flags, {})
    assert (command.sample, command.json) == (count, as_json)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ([], "--subscription"),
        (["--bootstrap_servers=b:1", "--sample=5"], "--kafka_topics"),
        ([*FROM_KAFKA, "--kafka_topic=t"], "both pipelines"),
        ([*FROM_PUBSUB, "--sample=0"], "--sample"),
        ([*FROM_PUBSUB, "--sample=many"], "--sample"),
        ([*FROM_PUBSUB, "--create_topics=1:1"], "--create_topics"),
        ([*FROM_PUBSUB, "--seek=now"], "--seek"),
        ([*FROM_KAFKA, "--reset_offsets"], "--reset_offsets"),
        (FROM_KAFKA[:-1], "--pubsub_topic"),
        ([*FROM_KAFKA, "--attribute=none"], "--attribute"),
        (["--subscription=projects/p/subscriptions/sss"], "--kafka_topic"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_status_2(capsys, argv, named):
    assert __main__.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("preflight: ")
    assert named in captured.err
    assert captured.err.count("\n") == 1


def test_there_is_no_demo_to_look_at():
    with pytest.raises(UsageError, match="not said"):
        __main__.parse_command([], {"KAFKA_BOOTSTRAP_SERVERS": "b:1"})


@pytest.mark.parametrize(
    ("kind", "flags", "status"),
    [
        ("fits", [], 0),
        ("dead letter", [], 1),
        ("dead letter", ["--dead_letter=kafka://dead"], 0),
    ],
)
def test_a_message_that_would_stop_the_bridge_is_exit_status_1(
    monkeypatch, capsys, kind, flags, status
):
    def tally(options, facts, count, notes):
        found = Tally(1)
        found.add(record(0), Fate(kind, ("a reason",)))
        return found

    monkeypatch.setattr(__main__.preflight, "check", lambda *_: Facts())
    monkeypatch.setattr(__main__, "_sample", tally)
    monkeypatch.setattr(__main__, "found", lambda *_: THERE)
    assert __main__.main([*FROM_KAFKA, "--sample=1", "--json", *flags]) == status
    assert json.loads(capsys.readouterr().out)["sampled"] == 1


def test_a_source_that_cannot_be_read_is_exit_status_2(monkeypatch, capsys):
    def fail(*_):
        raise SourceError("read t: nobody answers")

    monkeypatch.setattr(__main__.preflight, "check", fail)
    assert __main__.main(FROM_KAFKA) == 2
    assert capsys.readouterr().err == "preflight: read t: nobody answers\n"


def test_an_interrupt_before_anything_is_looked_at_is_no_traceback(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "parse", interrupt)
    assert __main__.main(FROM_KAFKA) == 130
    assert capsys.readouterr().err == ""
