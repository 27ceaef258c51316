"""A backfill without servers: which flags go together, what they are about, what that is called."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from pipelines import graph, wanted
from pipelines.facts import Facts, Look
from pipelines.options import ARCHIVE, BACKFILL, KAFKA_TO_PS, Options, parse
from pipelines.preflight import archive_source, ranges
from pipelines.range_values import StopAt
from pipelines.wanted import Wanted
from transforms.archive import layout, remembered
from transforms.archive.avro import AvroFormat
from transforms.errors import PreflightError, UsageError
from transforms.pubsub.publish_times import EmptyCheck, PublishTimes
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

SERVERS = "--bootstrap_servers=broker:9092"
FROM_KAFKA = [SERVERS, "--kafka_topics=a,b"]
TO_PUBSUB = "--pubsub_topic=projects/p/topics/out"
FROM_PUBSUB = "--subscription=projects/p/subscriptions/sub"
GROUP = "--group_id=live"


def options(*argv: str, pipeline=BACKFILL):
    return parse(pipeline, argv, {})


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() * 1000)


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "route"),
    [
        ([*FROM_KAFKA, TO_PUBSUB, GROUP], "kafka to pubsub"),
        ([*FROM_KAFKA, "--archive=/archive", GROUP], "kafka to archive"),
        (["--from_archive=/archive", SERVERS, "--kafka_topic=t"], "archive to kafka"),
        (["--from_archive=/archive", TO_PUBSUB], "archive to pubsub"),
        (["--from_archive=/archive", "--kafka_topics=a", TO_PUBSUB], "archive to pubsub"),
        ([FROM_PUBSUB, SERVERS, "--kafka_topic=t", GROUP], "pubsub to kafka"),
        (
            ["--create_subscription_from=projects/p/topics/top", "--archive=/a", "--state=/s.json"],
            "pubsub to archive",
        ),
    ],
)
def test_a_route_follows_from_the_flags(argv, route):
    assert str(options(*argv).route) == route


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([*FROM_KAFKA, TO_PUBSUB], "--group_id: missing"),
        ([TO_PUBSUB, GROUP], "needs to know what is read"),
        ([*FROM_KAFKA, GROUP], "needs to know what is written"),
        ([*FROM_KAFKA, FROM_PUBSUB, TO_PUBSUB, GROUP], "backfill takes one of them"),
        ([*FROM_KAFKA, TO_PUBSUB, "--archive=/a", GROUP], "backfill takes one of them"),
        ([*FROM_KAFKA, "--kafka_topic=t", GROUP], "kafka to kafka: these are the same"),
        (["--from_archive=/a", "--archive=/b"], "archive to archive: these"),
        ([FROM_PUBSUB, "--kafka_topic=t", GROUP], "--bootstrap_servers: missing"),
        (["--from_archive=/a", TO_PUBSUB, "--partition=source"], "means nothing from archive to"),
        ([*FROM_KAFKA, TO_PUBSUB, GROUP, "--start=latest"], "belongs to kafka_to_ps, archive"),
        ([*FROM_KAFKA, TO_PUBSUB, GROUP, "--night=tomorrow"], "is not a night"),
        ([*FROM_KAFKA, TO_PUBSUB, GROUP, "--night=2026-02-30"], "is not a night"),
        ([*FROM_KAFKA, TO_PUBSUB, GROUP, "--from=yesterday"], "RFC 3339"),
        ([*FROM_KAFKA, TO_PUBSUB, GROUP, "--night=-1", "--to=2026-01-01T00:00:00Z"], "--night"),
        ([FROM_PUBSUB, TO_PUBSUB, GROUP], "pubsub to pubsub: these"),
        ([*FROM_KAFKA, "--archive=/a", GROUP, "--idle_seconds=2"], "--idle_seconds: from kafka to"),
        (
            [FROM_PUBSUB, SERVERS, "--kafka_topic=t", GROUP, "--offsets=OFFSETS"],
            "--offsets: means nothing from pubsub to kafka",
        ),
        (
            [
                *FROM_KAFKA,
                TO_PUBSUB,
                GROUP,
                "--from=2026-01-02T00:00:00Z",
                "--to=2026-01-01T00:00:00Z",
            ],
            "not before",
        ),
    ],
)
def test_flags_that_do_not_go_together_are_refused(argv, says, tmp_path):
    file = tmp_path / "offsets.json"
    file.write_text('{"a": {"0": "1-2"}}')
    with pytest.raises(UsageError, match=says):
        options(*(flag.replace("OFFSETS", str(file)) for flag in argv))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--stop=now", "--assignment=group"], "does not join its group"),
        (["--stop=tomorrow"], "is not one of now"),
        (["--archive=/a", "--commit_interval_s=5"], "use --file_seconds"),
        (["--format=json"], "means nothing from kafka to pubsub"),
        (["--archive=/a", "--schema_registry=http://r"], "use --format=json"),
    ],
)
def test_a_bridge_refuses_what_a_finite_run_or_an_archive_cannot_keep(argv, says):
    with pytest.raises(UsageError, match=says):
        options(*FROM_KAFKA, TO_PUBSUB, GROUP, *argv, pipeline=KAFKA_TO_PS)


def test_an_archive_is_committed_when_its_files_are_closed_and_a_finite_run_joins_no_group():
    found = options(*FROM_KAFKA, "--archive=/a", GROUP, "--stop=now", pipeline=ARCHIVE)
    assert (found.commit_interval_s, found.assignment, found.bounded) == (60.0, "shards", True)


# -- what it is about ------------------------------------------------------------------------------

NOW = ms("2026-11-21T10:00:00")


def of(*argv: str, now_ms: int = NOW) -> Wanted:
    return wanted.wanted(options(*FROM_KAFKA, TO_PUBSUB, GROUP, *argv), now_ms)


def test_a_night_is_a_time_of_topics_without_a_date_from_one_change_to_the_next():
    night = of("--night=2026-11-20")
    assert (night.from_ms, night.to_ms) == (ms("2026-11-20"), ms("2026-11-21"))
    assert of("--night=yesterday") == night == of("--night=-1")
    assert (night.topics, night.night) == (("a", "b"), "2026-11-20")


def test_the_name_is_of_what_is_moved_and_not_of_how():
    base = [*FROM_KAFKA, TO_PUBSUB, GROUP, "--night=yesterday"]

    def name(*argv: str, now_ms: int = NOW) -> str:
        found = options(*argv)
        return wanted.name(found, wanted.wanted(found, now_ms))

    same = name(*base)
    assert same == name(*base, "--max_rate=5", "--attributes=none", now_ms=NOW + 3_600_000)
    assert same == name(*base[:-1], "--night=2026-11-20")
    others = {
        name(*base, now_ms=NOW + 86_400_000),
        name(*base[:-1], "--night=-2"),
        name(*base[:-1]),
        name(SERVERS, "--kafka_topics=a", *base[2:]),
        name(*FROM_KAFKA, "--pubsub_topic=projects/p/topics/other", *base[3:]),
        name(*FROM_KAFKA, "--archive=/a", GROUP),
        name(*FROM_KAFKA, "--archive=/a", "--format=json", GROUP),
        name("--from_archive=/a", SERVERS, "--kafka_topic=t"),
        name("--from_archive=/a", "--bootstrap_servers=other:9092", "--kafka_topic=t"),
    }
    assert len(others) == 9
    assert same not in others


def test_a_night_ahead_is_refused():
    with pytest.raises(UsageError, match="lies ahead"):
        of("--night=2026-11-22")


# -- which offsets ---------------------------------------------------------------------------------

P, Q = ("a", 0), ("a", 1)


class Cluster:
    """Offsets 10 to 99 of two partitions; offset n has the time 1000 + n in milliseconds."""

    def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, 10)

    def end_offsets(self, partitions):
        return dict.fromkeys(partitions, 100)

    def offsets_for_time(self, partitions, timestamp_ms):
        return dict.fromkeys(partitions, min(max(timestamp_ms - 1000, 10), 100))


def backfill(**fields):
    found = ranges.of_backfill(Wanted(("a",), **fields), Cluster(), [P, Q], 5000)
    return {part: str(wanted) for part, wanted in found.items()}


def test_a_range_in_time_or_offsets_is_exact_at_both_ends():
    assert backfill() == {P: "10-99", Q: "10-99"}
    assert backfill(from_ms=1020, to_ms=1030) == {P: "20-29", Q: "20-29"}
    assert backfill(from_ms=1020, to_ms=1021) == {P: "20", Q: "20"}
    assert backfill(from_ms=1020, to_ms=1020) == {}
    assert backfill(from_ms=1020, to_ms=9000) == {P: "20-99", Q: "20-99"}
    assert backfill(from_offsets={P: 40}, to_offsets={P: 50, Q: 50}) == {P: "40-49"}
    assert backfill(offsets={Q: Ranges(((11, 12), (20, 20)))}) == {Q: "11-12,20"}


@pytest.mark.parametrize(
    "fields",
    [
        {"offsets": {("a", 7): Ranges(((0, 0),))}},
        {"from_offsets": {("a", 7): 1}},
        {"offsets": {P: Ranges(((99, 100),))}},
        {"to_offsets": {P: 101}},
    ],
)
def test_offsets_that_are_not_there_are_refused(fields):
    with pytest.raises(PreflightError, match="backfill a/"):
        backfill(**fields)


def test_a_stop_is_before_what_it_names():
    def stop(kind, **value):
        found = ranges.to_stop(StopAt(kind, **value), Cluster(), [P, Q], 5000)
        return {part: str(wanted) for part, wanted in found.items()}

    assert stop("now") == {P: "0-99", Q: "0-99"}
    assert stop("timestamp", timestamp_ms=1050) == {P: "0-49", Q: "0-49"}
    assert stop("offsets", offsets={Q: 12}) == {Q: "0-11"}
    with pytest.raises(PreflightError, match="lies ahead"):
        stop("timestamp", timestamp_ms=5001)
    with pytest.raises(PreflightError, match="stop a/0: offset 101 is not there"):
        stop("offsets", offsets={P: 101})


def test_publish_times_are_exact_to_the_millisecond_at_both_ends():
    times = PublishTimes(1000, 2000, 5)
    inside = [at for at in (999, 1000, 1999, 2000) if PubsubRecord(publish_time_ms=at) in times]
    assert inside == [1000, 1999]
    assert times.is_before(PubsubRecord(publish_time_ms=999))
    assert times.is_after(PubsubRecord(publish_time_ms=2000))


def test_an_archive_backfill_that_is_forced_is_not_done_before_its_end(tmp_path):
    """A run that is killed after `--force` goes on without it."""
    folder = tmp_path / layout.folder("t", 0)
    folder.mkdir(parents=True)
    form, records = AvroFormat("none"), [KafkaRecord("t", 0, n, 1000, value=b"v") for n in range(9)]
    file = folder / layout.kafka_name("t", 0, 0, 8, "avro")
    file.write_bytes(form.header(KafkaRecord) + form.block(form.encode(records)))
    argv = [f"--from_archive={tmp_path}", "--kafka_topics=t", SERVERS, "--kafka_topic=again"]

    def look(*more: str) -> tuple[Options, Facts]:
        found = options(*argv, *more)
        what = wanted.wanted(found, 5_000)
        known = Look(5_000, what, wanted.name(found, what))
        facts = Facts(now_ms=5_000, wanted=what, name=known.name)
        return found, facts.with_(archive_source.look(found, known))

    def remember(last: int) -> Facts:
        facts = look()[1]
        remembered.save(facts.state, {(layout.folder("t", 0), "0"): Ranges(((0, last),))}, 5)
        return facts

    archive_source.remember_finished(remember(8))
    assert look()[1].archived_left == 0
    archive_source.act(*look("--force"), print, 0)
    remember(3)
    assert look()[1].archived_left == 5


def test_a_subscription_that_keeps_messages_back_is_waited_for():
    found = options(FROM_PUBSUB, SERVERS, "--kafka_topic=t", GROUP)
    keeps_back = Facts(now_ms=10, ack_deadline_s=60, backoff_s=300)
    at_once = Facts(now_ms=10, ack_deadline_s=60)
    assert graph._publish_times(found, keeps_back).empty_after_s == 390
    assert graph._publish_times(found, at_once).empty_after_s == 90


class TestEmptyCheck:
    """A pull of up to 4 s that brings nothing; 10 s of them are needed."""

    def check(self):
        return EmptyCheck(PublishTimes(0, 1, 10))

    def test_empty_pulls_an_answer_and_one_more_empty_pull_end_it(self):
        check = self.check()
        for _ in range(3):
            assert not check.must_ask
            check.pulled(0, 4.0, 4.0)
        assert check.must_ask
        assert not check.is_over
        check.answered()
        assert not check.is_over
        check.pulled(0, 4.0, 4.0)
        assert check.is_over

    def test_a_message_or_trouble_begins_it_anew(self):
        check = self.check()
        for end in (lambda: check.pulled(1, 0.1, 4.0), check.begin_anew):
            for _ in range(3):
                check.pulled(0, 4.0, 4.0)
            check.answered()
            end()
            check.pulled(0, 4.0, 4.0)
            assert not check.is_over
            assert not check.must_ask
            check.begin_anew()

    def test_time_in_which_this_process_was_stopped_proves_nothing(self):
        check = self.check()
        check.pulled(0, 3600.0, 4.0)
        assert not check.must_ask


def test_the_audits_missing_ranges_are_accepted_as_they_are(tmp_path):
    file = tmp_path / "missing.json"
    file.write_text(json.dumps({"a": {"0": "3-5,9"}, "b": {"1": "7"}}))
    found = of(f"--offsets={file}").offsets
    assert {part: str(of) for part, of in found.items()} == {P: "3-5,9", ("b", 1): "7"}
