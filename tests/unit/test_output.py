"""What a person and a program are told about a run."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import types
import warnings

import pytest

from pipelines import output, progress, report
from pipelines.flags import KAFKA_TO_PS, PS_TO_KAFKA, Runner
from pipelines.progress import Meter, Part, fit
from pipelines.routes import Route
from transforms.errors import DeliveryError
from transforms.registry import Bridge, BridgeConfig


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bridge_with(**counts: int) -> Bridge:
    bridge = Bridge(BridgeConfig("test"))
    add(bridge, **counts)
    return bridge


def add(bridge: Bridge, **counts: int) -> None:
    for name, n in counts.items():
        bridge.counts.add(name, n)


SOURCES = {PS_TO_KAFKA: "pubsub", KAFKA_TO_PS: "kafka"}


def options(pipeline=PS_TO_KAFKA, **others):
    values = {"pipeline": pipeline, "progress": None, "report": None, "demo": False}
    values |= {"route": Route(SOURCES[pipeline], ()), "bounded": False}
    values |= {"runner": Runner.IN_PROCESS}
    return types.SimpleNamespace(**(values | others))


@pytest.fixture
def stderr(capsys):
    """Everything on standard error so far."""
    seen = []

    def text() -> str:
        seen.append(capsys.readouterr().err)
        return "".join(seen)

    return text


@pytest.fixture
def logging_to():
    """Configures logging, and puts it back as it was."""
    root = logging.getLogger()
    level = root.level
    yield output.configure_logging
    output.configure_logging(False, False)
    root.removeHandler(output._handler)
    root.setLevel(level)
    logging.captureWarnings(False)


# -- the progress line -------------------------------------------------------------------------


def test_the_line_tells_direction_state_rates_totals_and_time() -> None:
    clock = Clock()
    bridge = bridge_with()
    meter = Meter(bridge, PS_TO_KAFKA, "pubsub", clock=clock)
    clock.now += 62
    add(bridge, read=12_345, delivered=12_300, bytes=861_000_000)
    assert meter.line() == (
        "ps_to_kafka running  198 msg/s  13.9 MB/s  read 12,345  delivered 12,300  in flight 45  "
        "dead letters 0  0:01:02"
    )


def test_a_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    bridge = bridge_with()
    meter = Meter(bridge, PS_TO_KAFKA, "pubsub", clock=clock)
    add(bridge, read=100_000, delivered=100_000)
    for _ in range(30):
        clock.now += 1
        add(bridge, read=10, delivered=10)
        line = meter.line()
    assert "  10 msg/s  " in line
    for _ in range(int(progress.WINDOW_S)):
        clock.now += 1
        line = meter.line()
    assert "  0 msg/s  " in line


def test_a_rate_between_rare_lines_is_that_since_the_line_before() -> None:
    clock = Clock()
    bridge = bridge_with()
    meter = Meter(bridge, PS_TO_KAFKA, "pubsub", clock=clock)
    for delivered in (1000, 200):
        clock.now += 10
        add(bridge, read=delivered, delivered=delivered)
        line = meter.line()
    assert "  20 msg/s  " in line


def test_what_is_left_is_kafkas_lag_and_pubsubs_messages_in_flight() -> None:
    bridge = bridge_with(read=10, delivered=4, dead_lettered=1, released=2)
    assert "in flight 3" in Meter(bridge, PS_TO_KAFKA, "pubsub").line()
    meter = Meter(bridge, KAFKA_TO_PS, "kafka")
    assert "lag ?" in meter.line()
    session = types.SimpleNamespace(lag=lambda: 1234, close=lambda: None)
    bridge.session("one", lambda: session)
    assert "lag 1,234" in meter.line()
    meter.stop()
    bridge.close()
    assert "lag 1,234" in meter.line(), "the last one known"


def test_a_stop_shows_as_draining_then_as_stopped_with_the_time_at_rest() -> None:
    clock = Clock()
    bridge = bridge_with()
    meter = Meter(bridge, PS_TO_KAFKA, "pubsub", clock=clock)
    assert meter.line().startswith("ps_to_kafka running")
    bridge.control.stop("SIGINT")
    assert meter.line().startswith("ps_to_kafka draining")
    clock.now += 3
    meter.stop()
    clock.now += 100
    assert meter.line().startswith("ps_to_kafka stopped")
    assert meter.seconds == 3


@pytest.mark.parametrize("width", [80, 120])
def test_a_busy_line_fits_the_terminal_and_keeps_what_matters(width: int) -> None:
    clock = Clock()
    bridge = bridge_with()
    meter = Meter(bridge, PS_TO_KAFKA, "pubsub", clock=clock)
    clock.now += 3600
    add(bridge, read=9_999_999, delivered=9_999_000, bytes=690_000_000_000, dead_lettered=7)
    line = meter.line(width)
    assert len(line) <= width
    for part in ("ps_to_kafka running", "msg/s", "delivered 9,999,000", "dead letters 7"):
        assert part in line


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (None, "aaaa  bbbb  cccc"),
        (17, "aaaa  bbbb  cccc"),
        (16, "aaaa  bbbb  cccc"),
        (15, "aaaa  cccc"),
        (10, "aaaa  cccc"),
        (9, "aaaa"),
        (1, "aaaa"),
    ],
)
def test_the_most_dispensable_part_goes_first(width: int | None, line: str) -> None:
    assert fit([Part("aaaa"), Part("bbbb", 2), Part("cccc", 1)], width) == line


# -- showing it --------------------------------------------------------------------------------


def test_no_progress_shows_nothing_and_still_measures(logging_to, stderr) -> None:
    logging_to(False, False)
    with output.progress(bridge_with(), options(progress=False)) as meter:
        pass
    assert stderr() == ""
    assert meter.seconds == meter.seconds


def test_off_a_terminal_a_log_line_comes_each_period(logging_to, stderr, monkeypatch) -> None:
    logging_to(False, False)
    monkeypatch.setattr(output, "LOG_PERIOD_S", 0.01)
    with output.progress(bridge_with(read=5), options()):
        wait_for(lambda: stderr().count("\n") >= 2)
    first = stderr().splitlines()[0]
    assert " INFO ps_to_kafka running  0 msg/s" in first
    assert "\x1b" not in stderr()


def test_a_forced_live_line_lets_log_lines_pass_whole(logging_to, stderr, monkeypatch) -> None:
    logging_to(False, demo=True)
    monkeypatch.setenv("COLUMNS", "120")
    with output.progress(bridge_with(), options(progress=True, demo=True)):
        logging.getLogger("pipelines.x").warning("one [bold]line[/] of the log, %s", "x" * 200)
    shown = stderr()
    assert "WARNING one [bold]line[/] of the log, " + "x" * 200 + "\n" in shown
    assert "DEMO ps_to_kafka running" in shown
    assert "DEMO ps_to_kafka stopped" in shown


def test_the_thread_ends_with_the_context_even_if_the_lag_is_not_known_in_time(
    logging_to, stderr
) -> None:
    logging_to(False, False)
    bridge = bridge_with()
    asked, answer = threading.Event(), threading.Event()

    def slow_lag() -> int:
        if threading.current_thread().name == "progress":
            asked.set()
            answer.wait(10)
        return 0

    session = types.SimpleNamespace(lag=slow_lag, close=lambda: None)
    with output.progress(bridge, options(KAFKA_TO_PS, progress=True)):
        bridge.session("slow", lambda: session)
        assert asked.wait(5)
        # What is slow must not hold a lock that a log line needs.
        logging.getLogger("pipelines.x").info("said meanwhile")
        assert "said meanwhile" in stderr()
        began = time.monotonic()
    took = time.monotonic() - began
    answer.set()
    assert took < 0.5
    wait_for(lambda: all(t.name != "progress" for t in threading.enumerate()))


def wait_for(condition) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.005)


# -- log lines ---------------------------------------------------------------------------------


def test_foreign_loggers_are_heard_from_warning_on_and_named(logging_to, stderr) -> None:
    logging_to(False, False)
    for name in ("apache_beam.runners", "grpc", "kafka.conn", "google.auth", "urllib3"):
        logging.getLogger(name).info("noise")
        logging.getLogger(name).warning("trouble")
    logging.getLogger("kafka.net.selector").warning("a callback ran for 0.195 s")
    logging.getLogger("apache_beam.runners.common").error("what the runtime says again")
    logging.getLogger("transforms.kafka").info("ours")
    logging.getLogger("pipelines").debug("detail")
    warnings.warn("old", DeprecationWarning, stacklevel=1)
    lines = stderr().splitlines()
    assert [line[20:] for line in lines] == [
        "WARNING apache_beam.runners: trouble",
        "WARNING grpc: trouble",
        "WARNING kafka.conn: trouble",
        "WARNING google.auth: trouble",
        "WARNING urllib3: trouble",
        "INFO ours",
    ]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("demo", [False, True])
def test_an_error_is_one_line_and_in_debug_has_a_traceback(logging_to, stderr, demo, debug) -> None:
    logging_to(debug, demo)
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        logging.getLogger("pipelines.x").exception("it\nfailed")
    lines = stderr().splitlines()
    assert "ERROR " in lines[0]
    assert "it failed: " in lines[0]
    assert ("Traceback" in stderr()) is debug
    assert debug or len(lines) == 1
    assert all(line.startswith("DEMO ") is demo for line in lines)


def test_plain_text_is_marked_line_by_line_in_a_demo(logging_to, stderr) -> None:
    logging_to(False, demo=True)
    output.say("one\ntwo")
    assert stderr() == "DEMO one\nDEMO two\n"


def test_a_signal_handlers_line_takes_no_lock(logging_to, capfd) -> None:
    logging_to(False, demo=True)
    with output._handler.lock:
        output.write_now("SIGINT: draining")
    assert capfd.readouterr().err == "DEMO SIGINT: draining\n"


# -- last line and report ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pipeline", "reason", "counts", "line"),
    [
        (
            PS_TO_KAFKA,
            "SIGINT",
            {"read": 1000, "delivered": 1000, "redelivered": 3},
            "ps_to_kafka stopped (SIGINT); all that was read is delivered and acknowledged: "
            "read 1,000, delivered 1,000, redelivered 3 in 2.0 s, 500 msg/s",
        ),
        (
            KAFKA_TO_PS,
            "",
            {"read": 10, "delivered": 9, "dead_lettered": 1},
            "kafka_to_ps ended; all that was read is settled and committed: "
            "read 10, delivered 9, dead lettered 1 in 2.0 s, 4 msg/s",
        ),
        (
            KAFKA_TO_PS,
            "SIGTERM",
            {"read": 10, "delivered": 4, "released": 6},
            "kafka_to_ps stopped (SIGTERM); 6 were given back and come again: "
            "read 10, delivered 4 in 2.0 s, 2 msg/s",
        ),
        (
            KAFKA_TO_PS,
            "SIGTERM",
            {"read": 10, "delivered": 10, "commit_failures": 1},
            "kafka_to_ps stopped (SIGTERM); all that was read is delivered and committed: "
            "read 10, delivered 10 in 2.0 s, 5 msg/s",
        ),
        (
            PS_TO_KAFKA,
            "--idle_seconds=3 without a message",
            {},
            "ps_to_kafka stopped (--idle_seconds=3 without a message); there was nothing to "
            "deliver: read 0, delivered 0 in 2.0 s, 0 msg/s",
        ),
    ],
)
def test_the_last_line_says_why_it_stopped_and_what_became_of_it(
    pipeline, reason, counts, line
) -> None:
    bridge = bridge_with(**counts)
    if reason:
        bridge.control.stop(reason)
    assert report.last_line(bridge, pipeline, SOURCES[pipeline], 2.0) == line


def test_a_finite_run_shows_how_much_is_done_and_the_time_left(monkeypatch) -> None:
    clock, bridge, left = Clock(), bridge_with(), [400]
    monkeypatch.setattr(bridge, "lag", lambda: left[0])
    meter = Meter(bridge, "backfill", "kafka", finite=True, clock=clock)
    assert meter.share() is None
    assert "left 400  0%" in meter.line()
    left[0], clock.now = 100, clock.now + 60
    assert "left 100  75%  0:00:20 left" in meter.line()
    assert meter.share() == 0.75
    clock.now += 5
    meter.stop()
    assert "backfill done" in meter.line()
    assert "left 0  100%  " in meter.line()
    assert meter.share() == 1.0


def test_an_archive_shows_what_is_read_while_its_files_are_open() -> None:
    clock, bridge = Clock(), bridge_with()
    meter = Meter(bridge, "archive", "kafka", files_only=True, clock=clock)
    bridge.counts.add("read", 600)
    clock.now += 2
    assert "300 msg/s" in meter.line()
    assert "read 600  in files 0" in meter.line()


def test_a_report_has_exactly_these_fields(tmp_path, logging_to) -> None:
    bridge = bridge_with(read=9, delivered=8, bytes=100)
    bridge.first_offsets.update({("b", 0): 5, ("a", 10): 1, ("a", 2): 0})
    bridge.last_offsets.update({("a", 10): 9, ("a", 2): 3})
    for topic, name, n in (("b", "read", 4), ("a", "read", 5), ("b", "left_unread", 2)):
        bridge.counts.add_of_topic(topic, name, n)
    logging_to(False, False)
    file = tmp_path / "report.json"
    output.summary(bridge, options(report=file), 1.23456)
    assert json.loads(file.read_text()) == {
        "read": 9,
        "delivered": 8,
        "archived": 0,
        "dead_lettered": 0,
        "returns_dropped": 0,
        "delivered_before": 0,
        "redelivered": 0,
        "redelivery_expected": 0,
        "released": 0,
        "fields_dropped": 0,
        "commit_failures": 0,
        "retries": 0,
        "offsets_lost": 0,
        "left_unread": 0,
        "seconds": 1.235,
        "degraded_seconds": 0.0,
        "topics": {"a": {"read": 5}, "b": {"read": 4, "left_unread": 2}},
        "offsets": {
            "a": {"2": {"first": 0, "last": 3}, "10": {"first": 1, "last": 9}},
            "b": {"0": {"first": 5}},
        },
    }


def test_a_failed_runs_report_has_its_error_in_one_line(tmp_path, logging_to, stderr) -> None:
    bridge = bridge_with(read=9)
    bridge.fail(DeliveryError("publish projects/p/topics/t:\n  not confirmed"))
    logging_to(False, False)
    file = tmp_path / "report.json"
    output.summary(bridge, options(report=file), 1)
    assert json.loads(file.read_text())["error"] == "publish projects/p/topics/t: not confirmed"
    assert " ERROR ps_to_kafka failed; 9 were given back" in stderr()


def test_a_reader_sees_the_old_report_or_the_whole_new_one(tmp_path, monkeypatch) -> None:
    file = tmp_path / "report.json"
    report.write(file, {"run": 1})

    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken, contextlib.suppress(OSError):
        broken.setattr(os, "fsync", full_disk)
        report.write(file, {"run": 2})
    assert json.loads(file.read_text()) == {"run": 1}
    assert os.listdir(tmp_path) == ["report.json"]
    report.write(file, {"run": 3})
    assert json.loads(file.read_text()) == {"run": 3}
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_link_stays_a_link_and_a_device_stays_a_device(tmp_path) -> None:
    target, link, pipe = tmp_path / "target.json", tmp_path / "link.json", tmp_path / "pipe"
    link.symlink_to(target)
    report.write(link, {"run": 1})
    assert link.is_symlink()
    assert json.loads(target.read_text()) == {"run": 1}
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    report.write(pipe, {"run": 2})
    assert json.loads(os.read(reader, 1000)) == {"run": 2}
    os.close(reader)
    assert pipe.is_fifo()


def test_a_report_that_cannot_be_written_fails_the_run(tmp_path, logging_to, stderr) -> None:
    bridge = bridge_with()
    logging_to(False, False)
    output.summary(bridge, options(report=tmp_path / "gone" / "report.json"), 1)
    assert "gone/report.json: No such file or directory" in str(bridge.failure)
    assert " ERROR ps_to_kafka failed" in stderr()
