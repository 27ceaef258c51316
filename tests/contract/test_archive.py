"""What an archive must do wherever it is: on a disk, S3, Google Cloud Storage."""

from __future__ import annotations

import gc
import gzip
import io
import json
import threading
import uuid
from contextlib import closing, contextmanager, suppress

import corpus
import fastavro
import pytest
from ends import DEADLINE_S, until
from file_stores import Store, names

from transforms import filesystem
from transforms.archive import publishing
from transforms.archive.layout import DAY_MS
from transforms.archive.selection import Selection
from transforms.archive.session import ArchiveSession, Place
from transforms.archive.source import ArchiveSourceConfig, total
from transforms.archive.writer import ArchiveSinkConfig, ArchiveWriter
from transforms.avro_rows import to_kafka_record, to_pubsub_record
from transforms.errors import DeliveryError, SourceError
from transforms.records import KafkaRecord, PubsubRecord, TimestampType
from transforms.registry import Bridge, BridgeConfig

DAY = 20_777 * DAY_MS


@contextmanager
def bridge(**settings):
    patient = {"delivery_timeout_s": DEADLINE_S, **settings}
    found = Bridge(BridgeConfig(uuid.uuid4().hex, **patient))
    with closing(found):
        yield found


@contextmanager
def writer(store: Store, used: Bridge, **settings):
    config = ArchiveSinkConfig(used.config, store.url, topic="news", **settings)
    opened = used.borrow_writer("archive", lambda: ArchiveWriter(config, used))
    with closing(opened):
        yield opened


def archive(store: Store, records, **settings) -> None:
    """What one bundle does, in a process of its own."""
    with bridge() as used, writer(store, used, **settings) as opened:
        for record in records:
            opened.write([record])
        opened.flush(DEADLINE_S)
        assert opened.clean
        assert used.counts.totals()["delivered"] == len(records)
        assert used.counts.totals()["bytes"] == sum(record.payload_bytes for record in records)


def read(store: Store, most: int = 10**9, state: str = "", wanted=Selection()):  # noqa: B008
    """What one run reads in bundles, of which all but the last are confirmed."""
    with (
        bridge() as used,
        closing(ArchiveSession(Place(store.url, wanted, state), used)) as session,
    ):
        found = []
        while not session.finished:
            bundle = session.begin(len(found) or None)
            batch = session.poll()
            session.claim(bundle, batch)
            found += batch.records
            if len(found) >= most:
                return found
            bundle.finalize()
        return found


def stream(count, first=0, topic="alerts", partition=0, time_ms=DAY):
    return [
        KafkaRecord(topic, partition, offset, time_ms + offset, key=b"k", value=b"%d" % offset)
        for offset in range(first, first + count)
    ]


def rows(store: Store) -> list:
    """What any Avro tool reads in all files."""
    found = []
    for name in names(store):
        data = filesystem.get(f"{store.url}/{name}")
        found += fastavro.reader(io.BytesIO(data))
    return found


NASTY = [
    *(case.record for case in corpus.kafka_records("alerts")),
    KafkaRecord("alerts", timestamp_ms=None, timestamp_type=TimestampType.NONE),
    KafkaRecord("alerts", timestamp_ms=2**62, key=b"", value=b"", headers=(("\udcff", None),) * 2),
    KafkaRecord("alerts", timestamp_ms=-5, timestamp_type=TimestampType.LOG_APPEND_TIME),
    KafkaRecord("alerts", timestamp_ms=DAY, value=bytes(2_000_000)),
]
KAFKA = [record._replace(partition=n % 3, offset=n // 3) for n, record in enumerate(NASTY)]
PUBSUB = [
    case.record._replace(message_id=f"{n}", publish_time_ms=DAY + n % 2 * DAY_MS)
    for n, case in enumerate(corpus.pubsub_messages())
]


def test_records_come_back_as_they_were(store):
    records, messages = [KafkaRecord(*r) for r in KAFKA], [PubsubRecord(*m) for m in PUBSUB]
    archive(store, records)
    archive(store, messages)
    found = read(store)
    in_order = sorted(records, key=lambda record: record[1:3])
    assert [item for item in found if isinstance(item, KafkaRecord)] == in_order
    back = {item.message_id: item for item in found if isinstance(item, PubsubRecord)}
    assert back == {message.message_id: message for message in messages}
    assert len(found) == len(records) + len(messages)
    by_any_tool = rows(store)
    assert {to_kafka_record(row) for row in by_any_tool if "offset" in row} == set(records)
    assert {to_pubsub_record(row) for row in by_any_tool if "data" in row} == set(messages)


def test_a_file_is_visible_only_when_it_is_complete(store, monkeypatch):
    """Not before its bundle ends, and not when a piece of it could not be written."""
    records = stream(12, time_ms=DAY)
    large = [record._replace(value=uuid.uuid4().bytes * 65_536) for record in records]
    with bridge() as used, writer(store, used) as opened:
        for record in large:
            opened.write([KafkaRecord(*record)])
    assert names(store) == []

    def breaks_off(self):
        raise OSError("the disk is gone")

    monkeypatch.setattr(publishing.Publisher, "_moved", breaks_off)
    with bridge(delivery_timeout_s=5.0) as used, writer(store, used) as opened:
        for record in large:
            opened.write([KafkaRecord(*record)])
        with pytest.raises(DeliveryError):
            opened.flush(DEADLINE_S)
        assert not opened.clean
        assert used.counts.totals()["delivered"] == 0
    assert len(rows(store)) in (0, len(large))
    monkeypatch.undo()
    archive(store, records)
    assert len(names(store)) == 1


def test_an_upload_that_breaks_off_is_never_a_file(store, tmp_path):
    """Not even when what was left open is closed, since nobody has it any more."""
    source, path = tmp_path / "source", f"{store.url}/file.avro"
    source.write_bytes(bytes(9_000_000))

    def breaks_off():
        raise OSError("the disk is gone")

    with suppress(OSError):  # on a disk nothing is uploaded
        filesystem.publish(str(source), path, breaks_off)
    gc.collect()
    assert [len(filesystem.get(path)) for _ in names(store)] in ([], [9_000_000])


def test_files_end_at_their_size(store):
    with bridge() as used, writer(store, used, file_bytes=1_000_000) as opened:
        for record in stream(30):
            opened.write([record._replace(value=bytes(100_000))])
        until(lambda: used.counts.totals()["delivered"], "a file is visible before the bundle ends")
        opened.flush(DEADLINE_S)
    assert len(names(store)) > 1
    assert [row["offset"] for row in rows(store)] == list(range(30))


@pytest.mark.parametrize(
    ("format_", "count"),
    [("avro", 100), ("avro", 60), ("avro", 140), ("avro", 10), ("json", 60)],
)
def test_a_repeat_takes_the_place_of_what_a_killed_run_has_left(store, format_, count):
    """Also where its files end earlier: nobody reads what lies behind them again, if it is
    committed."""
    settings = {"format": format_, "codec": "zstandard" if format_ == "avro" else "deflate"}
    archive(store, stream(50), **settings)
    archive(store, stream(50, 50), **settings)
    archive(store, stream(count), **settings)
    offsets = []
    for name in names(store):
        data = filesystem.get(f"{store.url}/{name}")
        if format_ == "avro":
            offsets += [row["offset"] for row in fastavro.reader(io.BytesIO(data))]
        else:
            offsets += [json.loads(line)["offset"] for line in gzip.decompress(data).splitlines()]
    assert offsets == list(range(max(100, count)))


def test_a_place_that_is_away_is_waited_for(store):
    with bridge() as used, writer(store, used) as opened:
        for record in stream(10):
            opened.write([record])
        store.go_away()
        flushing = threading.Thread(target=opened.flush, args=(DEADLINE_S,))
        flushing.start()
        until(lambda: used.health.in_trouble == ("destination",), "the bridge is degraded")
        store.come_back()
        flushing.join()
        assert opened.clean
    assert [row["offset"] for row in rows(store)] == list(range(10))


def test_a_killed_run_goes_on_behind_what_is_remembered(store):
    records = stream(1_200) + stream(1_200, partition=1)
    archive(store, records)
    state = f"{store.url}/_backfill/state.json"
    config = ArchiveSourceConfig(BridgeConfig("test"), store.url, state=state)
    assert total(config) == 2_400
    assert read(store, 1_200, state) == records[:1_500]
    assert total(config) == 1_400
    assert read(store, state=state) == records[1_000:]
    assert total(config) == 0
    assert read(store, state=state) == []


def test_each_offset_comes_once_and_in_order(store):
    """Overlapping files of a day, and days whose events lie in each other."""
    late = [record._replace(timestamp_ms=DAY - 1) for record in stream(200, 100)[::2]]
    archive(store, sorted(late + stream(200), key=lambda record: record.offset or 0))
    archive(store, stream(150, 150))
    archive(store, stream(10, topic="other"))
    found = read(store, wanted=Selection(topics=("alerts",)))
    assert [record.offset for record in found] == sorted([*range(300), *range(100, 300, 2)])


@pytest.mark.parametrize("cut", [1, 100, -1])
def test_a_damaged_file_is_named(store, cut):
    archive(store, stream(1000))
    (name,) = names(store)
    path = f"{store.url}/{name}"
    filesystem.put(path, filesystem.get(path)[:cut])
    with pytest.raises(SourceError, match=name.rpartition("+")[2]):
        read(store)


def test_what_is_for_people_is_not_read_back(store):
    archive(store, stream(1), format="json")
    with pytest.raises(SourceError, match="JSON Lines"):
        read(store)
