"""A finite Kafka source: what it hands on, what it commits, and when it is at its end."""

from __future__ import annotations

import pytest
from scripted_kafka import P0, P1, Fixture, records

from transforms.errors import CommitError, SourceError
from transforms.kafka.frontier import Frontier
from transforms.kafka.offset_file import OffsetFile
from transforms.ranges import Ranges


def finite(**ranges):
    spans = {P0: ranges.get("p0", ()), P1: ranges.get("p1", ())}
    wanted = {part: Ranges(tuple(found)) for part, found in spans.items() if found}
    begin = {part: found.spans[0][0] for part, found in wanted.items()}
    return Fixture("shards", ranges=wanted, start=begin)


def offsets(found):
    return [record.offset for record in found]


def test_records_from_the_stop_on_are_not_handed_on_and_the_stop_is_committed():
    case = finite(p0=[(10, 14)])
    bundle = case.session.begin(Frontier())
    assert case.consumer.assigned == {P0: 10}
    assert offsets(case.read(bundle, records(P0, 10, 9))) == [10, 11, 12, 13, 14]
    case.consumer.position = {P0: 19}
    assert not case.session.finished
    case.session.poll()
    assert case.session.finished
    assert case.consumer.assigned == {}
    case.session.confirm(bundle)
    case.session.close()
    assert case.consumer.group == {P0: 15}


def test_a_range_ends_with_the_position_where_its_last_offsets_hold_no_record():
    case = finite(p0=[(0, 9)])
    bundle = case.session.begin(Frontier())
    case.read(bundle, records(P0, 0, 5))
    case.consumer.position = {P0: 9}
    case.session.poll()
    assert not case.session.finished
    case.consumer.position = {P0: 12}  # past a transaction's marker
    case.session.poll()
    assert case.session.finished
    case.session.confirm(bundle)
    case.session.close()
    assert case.consumer.group == {P0: 10}


def test_only_the_wanted_ranges_are_handed_on_and_every_partition_is_read_to_its_end():
    case = finite(p0=[(0, 1), (4, 5)], p1=[(3, 3)])
    bundle = case.session.begin(Frontier())
    assert offsets(case.read(bundle, records(P0, 0, 8))) == [0, 1, 4, 5]
    case.consumer.position = {P0: 8, P1: 3}
    case.session.poll()
    assert (case.session.finished, case.session.lag()) == (False, 1)
    assert set(case.consumer.assigned) == {P1}
    assert offsets(case.read(bundle, records(P1, 3, 3))) == [3]
    case.consumer.position = {P1: 6}
    case.session.poll()
    assert (case.session.finished, case.session.lag()) == (True, 0)


def test_what_was_committed_before_is_not_read_again_and_nothing_may_be_left():
    case = finite(p0=[(0, 9)])
    case.consumer.group = {P0: 10}
    case.session.begin(Frontier())
    assert case.consumer.assigned == {P0: 10}
    case.consumer.position = {P0: 10}
    case.session.poll()
    assert case.session.finished
    case.session.close()
    assert case.consumer.group == {P0: 10}


def test_nothing_beyond_what_is_confirmed_is_committed_at_the_end():
    case = finite(p0=[(0, 9)])
    bundle = case.session.begin(Frontier())
    case.read(bundle, records(P0, 0, 10))
    case.consumer.position = {P0: 10}
    case.session.poll()
    assert case.session.finished
    case.session.close()
    assert case.consumer.group == {P0: 0}


def test_the_next_bundle_leaves_a_partition_alone_that_is_read_to_its_end():
    case = finite(p0=[(0, 4)], p1=[(0, 9)])
    bundle = case.session.begin(Frontier())
    case.consumer.script.append(records(P0, 0, 8))
    batch = case.session.poll()
    case.session.claim(bundle, batch)
    case.consumer.position = {P0: 8, P1: 0}
    case.session.poll()
    assert set(case.consumer.assigned) == {P1}
    bundle = case.session.begin(batch.positions)
    assert case.consumer.seeks == []
    assert offsets(case.read(bundle, records(P1, 0, 3))) == [0, 1, 2]


def test_a_bundle_that_is_repeated_is_read_again_whole():
    case = finite(p0=[(0, 1), (4, 5)])
    bundle = case.session.begin(Frontier())
    assert offsets(case.read(bundle, records(P0, 0, 8))) == [0, 1, 4, 5]
    case.consumer.position = {P0: 8}
    case.session.poll()
    assert case.session.finished
    bundle = case.session.begin(Frontier({P0: 0}))
    assert not case.session.finished
    assert (case.consumer.assigned.keys(), case.consumer.seeks) == ({P0}, [{P0: 0}])
    case.consumer.position = {P0: 0}
    assert offsets(case.read(bundle, records(P0, 0, 8))) == [0, 1, 4, 5]


# -- offsets in a file -----------------------------------------------------------------------------


def test_a_file_remembers_offsets_in_place_of_a_group(tmp_path):
    path = str(tmp_path / "new" / "state.json")
    assert OffsetFile(path, "g", 5).committed([P0]) == {}
    OffsetFile(path, "g", 5).commit({P0: 5}, {P0: "topic_id=x"})
    store = OffsetFile(path, "g", 5)
    store.commit({P1: 7})
    found = OffsetFile(path, "g", 5).committed([P0, P1, ("u", 0)])
    assert found == {P0: (5, "topic_id=x"), P1: (7, "")}


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "{"),
        '{"version": 2, "of": "g", "offsets": {}}',
        '{"version": 1, "of": "another", "offsets": {}}',
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "state.json"
    path.write_text(content or " ")
    with pytest.raises(SourceError, match="choose another file for --state"):
        OffsetFile(str(path), "g", 5).committed([P0])
    with pytest.raises(SourceError):
        OffsetFile(str(path), "g", 5).commit({P0: 1})
    assert path.read_text() == content or " "


def test_a_file_that_cannot_be_written_is_a_failed_commit(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommitError, match=r"write .*state\.json"):
        OffsetFile(str(tmp_path / "file" / "state.json"), "g", 5).commit({P0: 1})
