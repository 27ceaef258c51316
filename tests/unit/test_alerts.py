"""The sample alerts are what they claim: Avro packets of about 70 kB, each its own, repeatable."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import time

import fastavro
import pytest

from pipelines import alerts

NUMBERS = range(100)


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    return [alerts.alert(number) for number in NUMBERS]


def test_a_packet_is_an_avro_container_with_one_record_and_its_schema(packets) -> None:
    for packet in packets:
        reader = fastavro.reader(io.BytesIO(packet))
        (record,) = reader
        assert reader.codec == "null"
        assert set(record) == {
            *("schemavsn", "publisher", "objectId", "candid", "candidate", "prv_candidates"),
            *("cutoutScience", "cutoutTemplate", "cutoutDifference"),
        }
        assert len(record["candidate"]) >= 30
        for previous in record["prv_candidates"] or []:
            assert previous.keys() == record["candidate"].keys()


def test_cutouts_are_gzipped_fits_images(packets) -> None:
    (record,) = fastavro.reader(io.BytesIO(packets[0]))
    for kind in ("Science", "Template", "Difference"):
        cutout = record[f"cutout{kind}"]
        image = gzip.decompress(cutout["stampData"])
        assert image.startswith(b"SIMPLE  =                    T")
        assert cutout["fileName"].encode() in image
        assert len(image) % 2880 == 0


def test_history_may_be_missing() -> None:
    histories = [
        next(fastavro.reader(io.BytesIO(alerts.alert(number))))["prv_candidates"]
        for number in range(200)
    ]
    assert None in histories
    assert max(len(history or []) for history in histories) == 30


def test_a_packet_is_about_70_kb(packets) -> None:
    sizes = [len(packet) for packet in packets]
    assert min(sizes) > 60_000
    assert max(sizes) < 80_000


def test_all_differ_by_number_and_by_seed(packets) -> None:
    assert len({*packets, *(alerts.alert(number, seed=1) for number in NUMBERS)}) == 200


def test_the_same_number_makes_the_same_packet_in_another_process(packets) -> None:
    program = "import sys; from pipelines import alerts; sys.stdout.buffer.write(alerts.alert(42))"
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=60
    )
    assert made.stdout == packets[42]


def test_the_number_can_be_read_back_from_a_packet_and_only_from_one(packets) -> None:
    assert [alerts.number_of(packet) for packet in packets] == list(NUMBERS)
    for broken in (b"", b"Obj\x01", packets[0][:-100], b"text"):
        assert alerts.number_of(broken) is None


def test_a_thousand_take_a_few_seconds() -> None:
    began = time.monotonic()
    for number in range(1000):
        alerts.alert(number)
    assert time.monotonic() - began < 10
