"""Redrive without servers: its command line, what it sends and remembers, what it says."""

from __future__ import annotations

import io
import json
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.flag_values import KeySource
from pipelines.options import FLAGS as BRIDGE_FLAGS
from pipelines.redrive import cli, options, preflight, show
from pipelines.redrive.loop import Redrive, Selection
from transforms.control import Bounds, Control
from transforms.dead_letter import DeadLetter, Found
from transforms.dead_letters.places import Place
from transforms.dead_letters.sending import Refusal, Refusals, Rehearsal, Sender, to_kafka_by
from transforms.dead_letters.sources import check_folder
from transforms.errors import (
    CommitError,
    DeliveryError,
    PreflightError,
    RefusedError,
    SourceError,
    UnmappableError,
    UsageError,
)
from transforms.explain import Destination, refusals
from transforms.kafka.client import TopicInfo
from transforms.mapping import ToKafkaPolicy
from transforms.pubsub.client import SubscriptionInfo
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import BridgeConfig

ENDS = ["--from=kafka://dead", "--to=kafka://again", "--bootstrap_servers=broker:9092"]
FROM_FILES = ["--from=/dead", "--to=pubsub://projects/p/topics/again"]
NOON_MS = 1_800_000_000_000


def parse(*argv: str, **environ: str) -> options.Options:
    return options.parse(argv, environ)


def letter(
    offset: int, error_class: str = "UnmappableError", at_ms: int = NOON_MS, value: bytes = b"v"
) -> DeadLetter:
    original = KafkaRecord("alerts", 0, offset, value=value)
    text = f"map {original.name}: it is too large"
    return DeadLetter(original, "kafka_to_ps", "map", error_class, text, at_ms, 1, "0.1.0")


class FakeSource:
    """Batches of letters in memory."""

    def __init__(self, *batches: Sequence[DeadLetter]) -> None:
        self.batches = batches
        self.remembered: list[int] = []
        self.error: Exception | None = None
        self.too_many = False

    def read(self) -> Iterator[list[Found]]:
        number = 0
        for batch in self.batches:
            yield [Found(number + i, f"place[{number + i}]", each) for i, each in enumerate(batch)]
            number += len(batch)

    def check(self, found: Sequence[Found]) -> None:
        if self.too_many:
            raise SourceError("commit: too scattered")

    def done(self, found: Sequence[Found]) -> None:
        if self.error:
            raise self.error
        self.remembered += [item.token for item in found]

    def close(self) -> None:
        pass


class FakeSender:
    """Refuses some offsets; does something on the way when it sends one of the others."""

    fields_dropped = 0

    def __init__(self, refuses: Sequence[int] = (), on: dict[int, Any] | None = None) -> None:
        self.refuses = refuses
        self.on = on or {}
        self.sent: list[int] = []

    def send(self, originals: Sequence[Any]) -> dict[int, Refusal]:
        for original in originals:
            action = self.on.get(original.offset)
            if isinstance(action, Exception):
                raise action
            if action:
                action()
        self.sent += [o.offset for o in originals if o.offset not in self.refuses]
        refusal = Refusal("write", "RefusedError", "the new reason")
        return {i: refusal for i, o in enumerate(originals) if o.offset in self.refuses}


def run(source: FakeSource, sender: FakeSender, *flags: str) -> int:
    control = Control(Bounds())
    with cli.graceful_stop(control, "stopping"):
        return cli.redrive(parse(*ENDS, *flags), source, sender, control)  # type: ignore[arg-type]


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (ENDS, "source", Place("kafka", "dead")),
        (ENDS, "destination", Place("kafka", "again")),
        (ENDS, "group_id", "redrive-dead"),
        ([*ENDS, "--group_id=mine"], "group_id", "mine"),
        ([*ENDS, "--key=attribute:id"], "key", KeySource("attribute", "id")),
        ([*ENDS, "--kafka_config=client.id=me"], "properties", {"client.id": "me"}),
        (FROM_FILES, "destination", Place("pubsub", "projects/p/topics/again")),
        ([*FROM_FILES, "--state=done.json"], "state", str(Path.cwd() / "done.json")),
        ([*FROM_FILES, "--state=gs://bucket/done.json"], "state", "gs://bucket/done.json"),
        (
            ["--from=pubsub://projects/p/subscriptions/dead", FROM_FILES[1]],
            "source",
            Place("pubsub", "projects/p/subscriptions/dead"),
        ),
        (
            [*ENDS, "--error_class=RefusedError,UnmappableError"],
            "selection",
            Selection(frozenset({"RefusedError", "UnmappableError"})),
        ),
        (
            [*ENDS, "--after=1970-01-01T00:00:01Z", "--before=1970-01-01T00:00:01.001Z"],
            "selection",
            Selection(after_ms=1_000, before_ms=1_001),
        ),
        (["--from=/dead", "--dry_run"], "destination", None),
    ],
)
def test_a_command_line_becomes(argv: list[str], field: str, value: Any) -> None:
    assert getattr(parse(*argv), field) == value


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "--from: missing"),
        (["--from=/dead"], "--to: missing"),
        (["--from=/dead", "--to=/alive"], "neither kafka://TOPIC nor pubsub://"),
        (["--from=ftp://dead", ENDS[1]], "is none of kafka://, pubsub://"),
        (["--from=pubsub://projects/p/topics/dead", ENDS[1]], "projects/PROJECT/subscriptions"),
        (ENDS[:2], "--bootstrap_servers: missing; kafka://dead needs it"),
        ([*ENDS, "--to=kafka://dead"], "--to: dead is what --from reads"),
        ([*ENDS, "--error_class=OffsetGapError"], "not one of UnmappableError, RefusedError"),
        ([*ENDS, "--after=noon"], "RFC 3339"),
        (
            [*ENDS, "--after=2026-01-01T00:00:00Z", "--before=2026-01-01T00:00:00Z"],
            "--before: is not later than --after",
        ),
        ([*ENDS, "--max_messages=0"], "above 0"),
        ([*ENDS, "--state=/done.json"], "--state: means nothing with this --from"),
        ([*FROM_FILES, "--group_id=mine"], "--group_id: means nothing with this --from"),
        ([*FROM_FILES, "--state=kafka://done"], "is no file"),
        ([*FROM_FILES, "--state=done/"], "is a folder; name a file"),
        ([*FROM_FILES, "--key=none"], "--key: means nothing with this --to"),
        ([*ENDS, "--ordering_key=key"], "--ordering_key: means nothing with this --to"),
        ([*ENDS, "--kafka_config=hunter2"], "KEY=VALUE"),
        ([*ENDS, "--no_such_flag"], "--no_such_flag"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_flag(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    assert cli.main(argv) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
    assert "hunter2" not in line


def test_the_environment_names_servers_as_it_does_for_the_bridge() -> None:
    assert (
        parse(*ENDS[:2], KAFKA_BOOTSTRAP_SERVERS="env:9092").kafka.bootstrap_servers == "env:9092"
    )
    with pytest.raises(UsageError, match="PUBSUB_EMULATOR_HOST"):
        parse(*FROM_FILES, PUBSUB_EMULATOR_HOST="nonsense")


def test_what_the_bridge_declares_is_declared_there_alone() -> None:
    of_its_own = {"state"}
    bridge = {f.dest: f for f in BRIDGE_FLAGS if f.dest not in of_its_own}
    shared = [f for f in options.FLAGS if f.dest in bridge]
    assert {"attributes", "ordering_key", "key", "partition", "kafka_config"} <= {
        f.dest for f in shared
    }
    for f in shared:
        assert (f.parse, f.default, f.env) == (
            bridge[f.dest].parse,
            bridge[f.dest].default,
            bridge[f.dest].env,
        )


def test_help_shows_every_flag_and_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for f in options.FLAGS:
        assert f"  --{f.name} " in text
        assert f.help.endswith("."), f.name


# -- what is sent, and what is remembered ----------------------------------------------------------


def test_what_is_refused_is_not_remembered_and_everything_else_goes_on_in_order() -> None:
    source = FakeSource([letter(1), letter(2)], [letter(3), letter(4)])
    sender = FakeSender(refuses=[2, 3])
    assert run(source, sender) == 1
    assert sender.sent == [1, 4]
    assert source.remembered == [0, 3]


def test_copies_of_a_letter_share_its_fate_and_are_sent_once() -> None:
    source = FakeSource([letter(1), letter(1), letter(2)], [letter(1), letter(2), letter(2)])
    sender = FakeSender(refuses=[2])
    assert run(source, sender) == 1
    assert sender.sent == [1]
    assert source.remembered == [0, 1, 3]


def test_records_of_one_name_from_two_clusters_are_both_sent() -> None:
    source = FakeSource([letter(1, value=b"ours"), letter(1, value=b"theirs")])
    sender = FakeSender()
    assert run(source, sender) == 0
    assert sender.sent == [1, 1]


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        ([], [1, 2, 3, 4]),
        (["--error_class=RefusedError"], [2]),
        (["--error_class=RefusedError,UnmappableError"], [1, 2, 3, 4]),
        (["--after=2027-01-15T08:00:00Z"], [2, 3, 4]),
        (["--before=2027-01-15T08:00:00.001Z"], [1, 2]),
        (["--max_messages=3"], [1, 2, 3]),
        (["--max_messages=1", "--after=2027-01-15T08:00:00Z"], [2]),
    ],
)
def test_a_filter_leaves_the_rest_undone(flags: list[str], sent: list[int]) -> None:
    source = FakeSource(
        [letter(1, at_ms=NOON_MS - 1), letter(2, "RefusedError")],
        [letter(3, at_ms=NOON_MS + 1), letter(4, at_ms=NOON_MS + 2)],
    )
    sender = FakeSender()
    assert run(source, sender, *flags) == 0
    assert sender.sent == sent
    assert source.remembered == [offset - 1 for offset in sent]


def test_a_message_that_fails_counts_as_one_of_max_messages() -> None:
    source, sender = FakeSource([letter(1), letter(2)]), FakeSender(refuses=[1])
    assert run(source, sender, "--max_messages=1") == 1
    assert (sender.sent, source.remembered) == ([], [])


def test_when_a_service_goes_down_what_was_confirmed_is_remembered(tmp_path: Path) -> None:
    source = FakeSource([letter(1)], [letter(2)], [letter(3)])
    sender = FakeSender(on={2: DeliveryError("produce again: not confirmed within 1 s")})
    with pytest.raises(DeliveryError):
        run(source, sender, f"--report={tmp_path / 'report.json'}")
    assert source.remembered == [0]
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["found"], report["sent"]) == (2, 1)
    assert report["error"] == "produce again: not confirmed within 1 s"


def test_what_cannot_be_remembered_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource([letter(1)], [letter(2)])
    source.error = CommitError("commit dead/0: too late")
    sender = FakeSender()
    with pytest.raises(CommitError):
        run(source, sender)
    assert sender.sent == [1]
    assert "is not remembered, and is sent again" in caplog.text


def test_what_could_not_be_remembered_is_not_sent() -> None:
    source, sender = FakeSource([letter(1)]), FakeSender()
    source.too_many = True
    with pytest.raises(SourceError, match="too scattered"):
        run(source, sender)
    assert (sender.sent, source.remembered) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_batch_end_and_be_remembered(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted() -> None:
        signal.raise_signal(number)

    source = FakeSource([letter(1), letter(2)], [letter(3)])
    sender = FakeSender(on={1: interrupted})
    caplog.set_level("INFO")
    assert run(source, sender) == 0
    assert (sender.sent, source.remembered) == ([1, 2], [0, 1])
    assert f"found 2, sent 2; stopped ({number.name})" in caplog.text


def test_a_dry_run_shows_each_message_once_and_remembers_nothing() -> None:
    source = FakeSource([letter(1), letter(1)], [letter(1), letter(2, "RefusedError"), letter(3)])
    shown: list[DeadLetter] = []
    failing: list[DeadLetter] = []
    selection, rehearsal = Selection(frozenset({"UnmappableError"})), FakeSender(refuses=[3])
    job = Redrive(source, rehearsal.send, selection, failing.append, shown.append)
    job.run(bool)
    assert [each.original.offset for each in shown] == [1]
    assert [each.original.offset for each in failing] == [3]
    assert source.remembered == []
    tally = job.tally
    assert (tally.found, tally.would_send, tally.copies, tally.left) == (5, 1, 2, 1)
    assert tally.failed.total() == 1


def test_a_rehearsal_tells_what_the_mapping_and_the_topic_would_refuse() -> None:
    rules = TopicInfo("t", 1, 1_000_000, needs_keys=True)
    policy = ToKafkaPolicy("t", partition="source")
    convert = to_kafka_by(policy)
    there = Destination(rules, "librdkafka", 0)
    rehearsal = Rehearsal(convert, lambda record: refusals(record, there))
    originals = [
        PubsubRecord(b"fits", {"kafka.partition": "0"}, "key"),
        PubsubRecord(b"no partition", {}, "key"),
        PubsubRecord(b"no key", {"kafka.partition": "0"}),
    ]
    refused = rehearsal.send(originals)
    assert {i: (r.stage, r.error_class) for i, r in refused.items()} == {
        1: ("map", "UnmappableError"),
        2: ("write", "RefusedError"),
    }
    assert "--dead_letter" not in refused[1].error + refused[2].error


# -- sending ---------------------------------------------------------------------------------------


class FakeWriter:
    """Gives up what a real writer would, when it is flushed."""

    def __init__(self, bridge: Refusals) -> None:
        self.bridge = bridge
        self.written: list[Any] = []

    def write(self, records: Any) -> None:
        self.written += records

    def flush(self, timeout_s: float) -> None:
        for record in self.written:
            if not record.data:
                error = RefusedError("publish T: empty", "correct it")
                self.bridge.give_up(record.made_from, error, "write", 3)


def test_a_sender_tells_what_fits_not_and_what_is_refused_and_forgets_it() -> None:
    def convert(original: Any, dropped: list[str]) -> PubsubRecord:
        if original.value is None:
            raise UnmappableError("map it: null", "use a value")
        dropped.append("a header is left out")
        return PubsubRecord(original.value, made_from=original)

    bridge = Refusals(BridgeConfig("test"))
    writer = FakeWriter(bridge)
    sender = Sender(bridge, convert, writer)
    same = KafkaRecord("alerts", value=b"")
    originals = [KafkaRecord("alerts"), same, KafkaRecord("alerts", value=b"v")]
    assert sender.send(originals) == {
        0: Refusal("map", "UnmappableError", "map it: null; use a value"),
        1: Refusal("write", "RefusedError", "publish T: empty; correct it"),
    }
    assert len(writer.written) == 2
    assert sender.fields_dropped == 2
    writer.written.clear()
    assert sender.send([same]) == {
        0: Refusal("write", "RefusedError", "publish T: empty; correct it")
    }
    writer.written.clear()
    assert sender.send([originals[2]]) == {}


# -- permissions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "destination_needs"), [([], ("pubsub.topics.publish",)), (["--dry_run"], ())]
)
def test_a_redrive_asks_for_the_permissions_that_it_needs_and_no_more(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], destination_needs: tuple[str, ...]
) -> None:
    source, destination = "projects/p/subscriptions/dead", "projects/p/topics/again"
    asked: dict[str, tuple[str, ...]] = {}

    class Admin:
        def subscription(self, name: str, *needs: str) -> SubscriptionInfo:
            asked[name] = needs
            return SubscriptionInfo(name, "projects/p/topics/dead", 10, False)

        def topic(self, name: str, *needs: str) -> None:
            asked[name] = needs

        def close(self) -> None:
            pass

    monkeypatch.setattr(preflight.pubsub, "open_admin", lambda *_: Admin())
    preflight.check(parse(f"--from=pubsub://{source}", f"--to=pubsub://{destination}", *flags))
    assert asked == {source: ("pubsub.subscriptions.consume",), destination: destination_needs}


# -- folders ---------------------------------------------------------------------------------------


def test_a_folder_is_checked_for_all_that_the_run_will_do(tmp_path: Path) -> None:
    folder = Place("files", str(tmp_path))
    (tmp_path / "file").touch()
    check_folder(folder, "", True, 5.0)
    check_folder(folder, f"{tmp_path}/state.json", True, 5.0)
    check_folder(folder, f"{tmp_path}/file/state.json", False, 5.0)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    for name, state, says in (
        (f"{tmp_path}/missing", "", "there is no such folder"),
        (f"{tmp_path}/dead*", "", "choose a path without"),
        (str(tmp_path), f"{tmp_path}/file/state.json", f"write {tmp_path}/file/.writable: "),
    ):
        with pytest.raises(PreflightError, match=re.escape(says)):
            check_folder(Place("files", name), state, True, 5.0)


# -- what is said ----------------------------------------------------------------------------------


def printed(*letters: DeadLetter) -> list[str]:
    listing, file = show.Listing(), io.StringIO()
    for each in letters:
        listing.add(each)
    listing.print("would be sent", file)
    return file.getvalue().splitlines()


def test_a_table_has_one_plain_row_a_letter_then_totals() -> None:
    lines = printed(letter(7, value=bytes(1_234)), letter(8, "RefusedError"), letter(9))
    assert [line.split() for line in lines] == [
        ["would", "be", "sent:"],
        ["given", "up", "at", "class", "stage", "from", "bytes", "reason"],
        [*_row("UnmappableError", "alerts/0@7", "1,234")],
        [*_row("RefusedError", "alerts/0@8", "1")],
        [*_row("UnmappableError", "alerts/0@9", "1")],
        ["UnmappableError", "2"],
        ["RefusedError", "1"],
    ]


def _row(error_class: str, name: str, size: str) -> list[str]:
    return ["2027-01-15T08:00:00Z", error_class, "map", name, size, "it", "is", "too", "large"]


def test_a_table_shows_the_first_100_and_how_many_more_there_are() -> None:
    lines = printed(*(letter(offset) for offset in range(1_200)))
    assert lines[101].split()[3] == "alerts/0@99"
    assert lines[102:] == ["and 1,100 more", "UnmappableError 1,200"]


def test_a_foreign_reason_is_no_markup_and_cannot_speak_to_the_terminal() -> None:
    *_, row, _ = printed(letter(1)._replace(error="a\x1b[31m [bold]b[/bold]\r\nc\ud800"))
    assert row.endswith("a\ufffd[31m [bold]b[/bold] c\ufffd")


def test_the_last_line_says_what_became_of_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    letters = [letter(offset) for offset in range(12)]
    left = [letter(20 + n, "RefusedError") for n in range(3)]
    run(FakeSource(letters, left), FakeSender(refuses=[3, 4]), "--error_class=UnmappableError")
    assert "redrive: found 15, sent 10, still failing 2, left 3; what" in caplog.text


def test_the_report_counts_failures_by_their_present_class(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    run(FakeSource([letter(1), letter(2)]), FakeSender(refuses=[2]), f"--report={path}")
    report = json.loads(path.read_text())
    assert report.pop("seconds") >= 0
    assert report == {
        "found": 2,
        "sent": 1,
        "would_send": 0,
        "failed": 1,
        "failed_by_class": {"RefusedError": 1},
        "left": 0,
        "copies": 0,
        "fields_dropped": 0,
    }
