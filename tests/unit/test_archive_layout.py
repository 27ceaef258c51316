"""Names of an archive's files, what they tell, and what of them is read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.archive import layout
from transforms.archive.layout import DAY_MS, LAST_MS, ArchivedFile
from transforms.archive.selection import Selection, remaining, streams
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

NIGHT = 20_777  # 2026-11-20


@pytest.mark.parametrize(
    ("timestamp_ms", "day"),
    [
        (None, "1970/month=01/day=01"),
        (-(2**63), "1970/month=01/day=01"),
        (-1, "1970/month=01/day=01"),
        (0, "1970/month=01/day=01"),
        (DAY_MS - 1, "1970/month=01/day=01"),
        (DAY_MS, "1970/month=01/day=02"),
        (1709251199999, "2024/month=02/day=29"),
        (1709251200000, "2024/month=03/day=01"),
        (LAST_MS, "9999/month=12/day=31"),
        (LAST_MS + 1, "9999/month=12/day=31"),
        (2**63 - 1, "9999/month=12/day=31"),
    ],
)
def test_a_record_lies_in_the_day_of_its_event(timestamp_ms, day):
    assert layout.folder("t", layout.day_of(timestamp_ms)) == f"t/year={day}"


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_days_bounds_hold_its_events(timestamp_ms):
    begin, end = layout.bounds_ms(layout.day_of(timestamp_ms))
    assert begin <= timestamp_ms < end
    day = layout.day_of(timestamp_ms)
    assert begin == -math.inf or layout.day_of(int(begin)) == day
    assert end == math.inf or layout.day_of(int(end)) == day + 1


@given(
    st.text("aZ0._-+%~", min_size=1),
    st.integers(0, layout.day_of(LAST_MS)),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.sampled_from(layout.EXTENSIONS),
)
def test_a_path_tells_what_it_was_made_of(topic, day, partition, first, last, extension):
    name = layout.kafka_name(topic, partition, first, last, extension)
    path = f"s3://b/{layout.folder(topic, day)}/{name}"
    assert layout.parse(path) == (path, topic, day, partition, first, last, extension)
    first, last = first % LAST_MS, last % LAST_MS
    name = layout.pubsub_name(topic, first, last, "0123456789ab", extension)
    path = f"{layout.folder(topic, day)}/{name}"
    assert layout.parse(path) == (path, topic, day, None, first, last, extension)


@pytest.mark.parametrize(
    "path",
    [
        "alerts/year=2026/month=02/day=30/alerts+00000+{0:020}+{0:020}.avro",
        "alerts/year=2026/month=02/day=03/other+00000+{0:020}+{0:020}.avro",
        "alerts/year=2026/month=02/day=03/.alerts+00000+{0:020}+{0:020}.avro",
        "alerts/year=2026/month=02/day=03/alerts+00000+{0:020}+{0:020}.avro.partial",
        "alerts/year=2026/month=02/day=03/alerts+00000+{0}+{0}.avro",
        "alerts/alerts+00000+{0:020}+{0:020}.avro",
        "alerts/year=2026/month=02/day=03/alerts+20261332T000000.000Z+20261120T000000.000Z"
        "+0123456789ab.avro",
        ".partial/0123456789ab/0123456789abcdef",
    ],
)
def test_other_files_are_none_of_an_archives(path):
    assert layout.parse(path.format(7)) is None


def test_names_sort_by_partition_and_offset():
    parts = [(0, 5), (0, 99), (0, 1000), (1, 0), (10, 3)]
    names = [layout.kafka_name("t", part, first, first + 1, "avro") for part, first in parts]
    assert names == sorted(names)


# -- selection -------------------------------------------------------------------------------------


def archived(first, last, topic="t", partition=0, day=NIGHT) -> ArchivedFile:
    name = layout.kafka_name(topic, partition, first, last, "avro")
    found = layout.parse(f"/a/{layout.folder(topic, day)}/{name}")
    assert found is not None
    return found


FILES = [
    archived(0, 99),
    archived(100, 199, day=NIGHT + 1),
    archived(0, 9, partition=1),
    archived(0, 9, topic="u"),
]


@pytest.mark.parametrize(
    ("selection", "admitted"),
    [
        (Selection(), FILES),
        (Selection(topics=("u",)), FILES[3:]),
        (Selection(topics=("^t|v",)), FILES[:3]),
        (Selection(from_ms=(NIGHT + 1) * DAY_MS), FILES[1:2]),
        (Selection(to_ms=(NIGHT + 1) * DAY_MS), [FILES[0], *FILES[2:]]),
        (Selection(to_ms=(NIGHT + 1) * DAY_MS + 1), FILES),
        (Selection(offsets={("t", 0): Ranges(((50, 99),))}), FILES[:1]),
        (Selection(offsets={("t", 0): Ranges(((99, 100),))}), FILES[:2]),
    ],
)
def test_folders_and_names_tell_what_need_not_be_opened(selection, admitted):
    assert [file for file in FILES if selection.admits_file(file)] == admitted


def test_topics_and_days_are_looked_for_in_their_folders():
    day = NIGHT * DAY_MS
    assert list(Selection().folders()) == [""]
    assert list(Selection(("^t",), day, day + 1).folders()) == [""]
    assert list(Selection(("t", "u")).folders()) == ["t", "u"]
    assert list(Selection(("t",), day, None).folders()) == ["t"]
    found = list(Selection(("t",), day, day + DAY_MS + 1).folders())
    assert found == [layout.folder("t", NIGHT), layout.folder("t", NIGHT + 1)]


@pytest.mark.parametrize(("time_ms", "inside"), [(9, False), (10, True), (19, True), (20, False)])
def test_time_is_exact_to_the_millisecond(time_ms, inside):
    selection = Selection(from_ms=10, to_ms=20)
    assert selection.admits(KafkaRecord("t", 0, 0, time_ms)) == inside
    assert selection.admits(PubsubRecord(publish_time_ms=time_ms)) == inside
    assert not selection.admits(KafkaRecord("t", 0, 0, None))


def test_streams_are_partitions_in_the_order_of_their_offsets():
    assert streams(reversed(FILES)) == [FILES[:2], FILES[2:3], FILES[3:]]


def test_names_tell_how_much_there_is_to_read():
    everything, wanted = Selection(), Selection(offsets={("t", 0): Ranges(((90, 109),))})
    assert remaining(FILES, everything, {}) == 220
    assert remaining([*FILES, archived(50, 109)], everything, {}) == 230
    folder = layout.folder("t", NIGHT)
    assert remaining(FILES, everything, {(folder, "0"): Ranges(((0, 49),))}) == 170
    assert remaining(FILES[:2], wanted, {}) == 20
    assert remaining(FILES, Selection(from_ms=5), {}) is None
