"""The archive's writer and its spool, on a disk; `tests/contract/test_archive.py` has the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import fastavro
import pytest

from transforms import filesystem
from transforms.archive import layout, writer
from transforms.archive.selection import Selection
from transforms.archive.session import ArchiveSession, Place
from transforms.archive.spool import Spool
from transforms.archive.writer import ArchiveSinkConfig, ArchiveWriter
from transforms.avro_rows import to_kafka_record
from transforms.control import Bounds
from transforms.errors import CommitError, DeliveryError, SourceError
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig

DAY = 20_777 * layout.DAY_MS


@contextmanager
def a_bridge(**settings):
    bridge = Bridge(BridgeConfig("test", **settings))
    with closing(bridge):
        yield bridge


def write(url, records, **settings) -> None:
    with a_bridge() as bridge:
        config = ArchiveSinkConfig(bridge.config, str(url), topic="news", **settings)
        with closing(ArchiveWriter(config, bridge)) as opened:
            for record in records:
                opened.write([record])
            opened.flush(10)


def stream(count, days=1):
    return [
        KafkaRecord("t", 0, n, DAY + n % days * layout.DAY_MS, value=b"%d" % n)
        for n in range(count)
    ]


@contextmanager
def session(url, wanted=Selection(), state="", **settings):  # noqa: B008
    with (
        a_bridge(**settings) as bridge,
        closing(ArchiveSession(Place(str(url), wanted, state), bridge)) as opened,
    ):
        yield opened


def read(opened, bundle) -> list:
    found = []
    while not (opened.finished or opened.drained):
        batch = opened.poll()
        opened.claim(bundle, batch)
        found += batch.records
    return found


def rows(path):
    with path.open("rb") as file:
        return list(fastavro.reader(file))


# -- writing ---------------------------------------------------------------------------------------


def test_days_in_any_number_do_not_keep_their_files_open(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MAX_FILES", 3)
    write(tmp_path, stream(50, days=10))
    with session(tmp_path) as opened:
        assert read(opened, opened.begin(None)) == stream(50, days=10)


def test_offsets_that_are_read_again_begin_a_new_file(tmp_path):
    """As after partitions that were lost, and came back."""
    write(tmp_path, stream(20) + stream(30))
    with session(tmp_path) as opened:
        assert read(opened, opened.begin(None)) == stream(30)


def test_a_file_whose_last_block_reaches_its_size_is_closed_once(tmp_path):
    records = [KafkaRecord("t", 0, n, 0, value=bytes(100_000)) for n in range(13)]
    write(tmp_path, records, file_bytes=1_250_000)
    [path] = tmp_path.rglob("*.avro")
    assert [row["offset"] for row in rows(path)] == list(range(13))


def test_two_streams_of_one_name_are_both_kept(tmp_path):
    """As of a topic that was made anew under its name."""
    other = [record._replace(value=b"other") for record in stream(30)]
    write(tmp_path, stream(20))
    write(tmp_path, [KafkaRecord(*record) for record in other])
    kept = {to_kafka_record(row) for path in tmp_path.rglob("*.avro") for row in rows(path)}
    assert kept == {*stream(20), *(KafkaRecord(*record) for record in other)}
    with session(tmp_path) as opened:
        assert set(read(opened, opened.begin(None))) == kept


def test_messages_lie_in_the_day_of_their_publish_time(tmp_path):
    days = (DAY - 1, DAY, DAY + layout.DAY_MS)
    messages = [PubsubRecord(b"m", {}, "", str(ms), ms) for ms in days]
    write(tmp_path, messages)
    found = sorted(path.parent.name for path in tmp_path.rglob("*.avro"))
    assert found == ["day=19", "day=20", "day=21"]


def test_no_place_for_files_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DeliveryError, match=f"archive {tmp_path}/file/a: no place for files"):
        write(tmp_path / "file" / "a", stream(1))


def test_files_that_are_late_for_one_flush_are_no_failure_of_the_next(tmp_path, monkeypatch):
    """As at a rebalance, which waits less long than the end of a bundle."""
    may_publish, publish = threading.Event(), filesystem.publish
    monkeypatch.setattr(
        filesystem, "publish", lambda *args: may_publish.wait(10) and publish(*args)
    )
    with a_bridge() as bridge:
        config = ArchiveSinkConfig(bridge.config, str(tmp_path), topic="news")
        opened = bridge.borrow_writer("archive", lambda: ArchiveWriter(config, bridge))
        opened.write(stream(10))
        assert not bridge.flush_writers(0.1)
        may_publish.set()
        opened.flush(10)
        assert bridge.counts.totals()["delivered"] == 10
        bridge.return_writer(opened)


def test_what_a_killed_writer_has_left_goes_and_what_a_live_one_has_stays(tmp_path):
    script = (
        "import sys, time; from transforms.archive.spool import Spool; s = Spool(sys.argv[1]);"
        "s.file('name').write(b'data'); print(s.path('name'), flush=True); time.sleep(600)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    left = Path(other.stdout.readline().strip())
    with closing(Spool(str(tmp_path))):
        assert left.exists()
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    with closing(Spool(str(tmp_path))):
        assert not left.parent.exists()
    assert os.listdir(tmp_path) == ["lock"]


# -- reading ---------------------------------------------------------------------------------------


def test_what_the_runner_refuses_is_handed_on_again(tmp_path):
    write(tmp_path, stream(10))
    with session(tmp_path) as opened:
        opened.begin(None)
        refused = opened.poll()
        opened.unclaim(refused)
        assert not opened.finished
        bundle = opened.begin(None)
        assert read(opened, bundle) == stream(10)


def test_what_was_not_confirmed_is_read_again(tmp_path):
    write(tmp_path, stream(600))
    with session(tmp_path) as opened:
        first = opened.begin(None)
        batch = opened.poll()
        opened.claim(first, batch)
        first.finalize()
        assert read(opened, opened.begin(batch.positions)) == stream(600)[500:]
        assert read(opened, opened.begin(batch.positions)) == stream(600)[500:]


def test_a_bundle_that_is_confirmed_late_takes_nothing_from_the_next_one(tmp_path):
    write(tmp_path, stream(600))
    with session(tmp_path) as opened:
        first = opened.begin(None)
        batch = opened.poll()
        opened.claim(first, batch)
        second = opened.begin(batch.positions)
        first.finalize()
        assert read(opened, second) == stream(600)[500:]


def test_a_file_that_comes_to_lie_between_others_is_not_taken_for_done(tmp_path):
    records = stream(15)
    write(tmp_path / "a", records[:5])
    write(tmp_path / "a", records[10:])
    state = str(tmp_path / "state.json")
    for wanted in (records[:5] + records[10:], []):
        with session(tmp_path / "a", state=state) as opened:
            bundle = opened.begin(None)
            assert read(opened, bundle) == wanted
            opened.confirm(bundle)
    write(tmp_path / "a", records[5:10])
    with session(tmp_path / "a", state=state) as opened:
        assert read(opened, opened.begin(None)) == records[5:10]


def test_no_more_than_asked_for_is_taken(tmp_path):
    write(tmp_path, stream(100))
    with session(tmp_path, bounds=Bounds(max_messages=7)) as opened:
        assert read(opened, opened.begin(None)) == stream(7)


def test_only_what_is_wanted_is_read_and_the_rest_is_not_taken_for_done(tmp_path):
    write(tmp_path, stream(10))
    state = f"{tmp_path}/state.json"
    middle = Selection(from_ms=DAY, to_ms=DAY + 1)
    with session(tmp_path, middle, state) as opened:
        bundle = opened.begin(None)
        assert read(opened, bundle) == stream(10)
        bundle.finalize()
    some = [record._replace(timestamp_ms=DAY + record.offset) for record in stream(20)[::2]]
    write(tmp_path / "some", [KafkaRecord(*record) for record in some])
    state = f"{tmp_path}/other.json"
    with session(tmp_path / "some", Selection(from_ms=DAY + 5, to_ms=DAY + 9), state) as opened:
        bundle = opened.begin(None)
        assert [record.offset for record in read(opened, bundle)] == [6, 8]
        bundle.finalize()
    with session(tmp_path / "some", state=state) as opened:
        found = read(opened, opened.begin(None))
        assert [record.offset for record in found] == [0, 2, 4, 10, 12, 14, 16, 18]


def test_a_state_that_cannot_be_written_is_the_runs_error(tmp_path):
    write(tmp_path, stream(1))
    (tmp_path / "file").touch()
    with a_bridge() as bridge:
        place = Place(str(tmp_path), Selection(), f"{tmp_path}/file/state.json")
        opened = ArchiveSession(place, bridge)
        bundle = opened.begin(None)
        read(opened, bundle)
        bundle.finalize()
        assert bridge.health.in_trouble == ("commits",)
        with pytest.raises(CommitError, match=r"state\.json"):
            opened.close()
        (tmp_path / "file").unlink()
        opened.close()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"version": 2, "done": {}}', b'{"version": 1}'])
def test_a_foreign_state_is_refused(tmp_path, data):
    state = tmp_path / "state.json"
    state.write_bytes(data)
    with session(tmp_path, state=str(state)) as opened:
        opened.begin(None)
        with pytest.raises(SourceError, match="choose another file for the state"):
            opened.poll()


def test_a_file_under_another_files_name_is_refused(tmp_path):
    write(tmp_path, stream(10))
    (path,) = tmp_path.rglob("*.avro")
    path.rename(path.with_name(layout.kafka_name("t", 0, 5, 9, "avro")))
    with session(tmp_path) as opened:
        opened.begin(None)
        with pytest.raises(SourceError, match="t/0@0 is none that its name tells of"):
            opened.poll()
