"""The benchmark: what is measured of what was seen, what is compared, and what is shown."""

from __future__ import annotations

import pytest
from google.pubsub_v1 import types

from benchmarks import results, sampling, show, targets
from benchmarks.__main__ import known_rows
from benchmarks.cells import BARE, BRIDGE, CONNECTOR, cells
from benchmarks.instant import count_fields, pull_response
from benchmarks.results import Results, Row
from benchmarks.sampling import Sample
from transforms.errors import TransferError


def found(*rows: Row) -> Results:
    return Results({"CPU": "one"}, {BRIDGE: {"version": "1"}}, 3, True, list(rows))


# -- the window


def committed_each_second() -> list[Sample]:
    """100 messages a second, of 0.001 s of CPU each; seen twice a second, committed once. The last
    commit waits for half a second after the last message."""
    done = [0, 0, 100, 100, 200, 200, 300, 300, 350]
    return [Sample(n / 2, count, 1 + min(n / 2, 3.5) / 10) for n, count in enumerate(done)]


def test_a_window_begins_after_the_warm_up_and_leaves_out_the_wait_for_the_last_commit() -> None:
    seen = sampling.window(committed_each_second(), 350, 0.25)
    assert (seen.first.done, seen.last.done) == (100, 300)
    figures = sampling.figures(seen, 1_000, 5_000_000)
    assert figures["msg/s"] == pytest.approx(100)
    assert figures["MB/s"] == pytest.approx(0.1)
    assert figures["CPU us/msg"] == pytest.approx(1000)
    assert figures["peak RSS MB"] == pytest.approx(5)


def test_without_warm_up_the_window_begins_with_the_process() -> None:
    seen = sampling.window(committed_each_second(), 350, 0)
    assert (seen.first.at_s, seen.last.done) == (0, 300)


def test_one_step_of_progress_is_no_window() -> None:
    with pytest.raises(TransferError, match="use more messages"):
        sampling.window([Sample(0, 0, 0), Sample(1, 5, 0), Sample(2, 5, 0)], 5, 0.25)


# -- the instant service


@pytest.mark.parametrize("size_bytes", [0, 1, 127, 128, 20_000, 3_000_000])
def test_messages_are_counted_in_the_bytes_of_a_request(size_bytes: int) -> None:
    message = types.PubsubMessage(data=b"x" * size_bytes, attributes={"a": "b"})
    request = types.PublishRequest(topic="projects/p/topics/t", messages=[message] * 3)
    assert count_fields(types.PublishRequest.serialize(request), 2) == 3


def test_answers_to_pulls_have_ids_of_their_own() -> None:
    answers = [types.PullResponse.deserialize(pull_response(n, 2, 10, 1)) for n in range(2)]
    received = [item for answer in answers for item in answer.received_messages]
    assert len({item.ack_id for item in received}) == 4
    assert len({item.message.message_id for item in received}) == 4
    assert [len(item.message.data) for item in received] == [10] * 4
    assert dict(received[0].message.attributes) == {"header-0": "value of header 0"}


# -- what is compared


def test_a_ratio_is_that_of_pairs_of_runs_whatever_drifts() -> None:
    assert results.ratio([10, 20, 40], [20, 40, 80]) == pytest.approx(0.5)
    assert results.ratio([10, 20, 30], [40]) == pytest.approx(0.5)


def measured(ours: float, its: float, its_system: str = BARE) -> Results:
    rows = [Row("a/b", BRIDGE), Row("a/b", its_system)]
    for row, value in zip(rows, (ours, its), strict=True):
        row.add({"msg/s": value})
    return found(*rows)


AT_LEAST = targets.Target(
    "rate",
    targets.Figure("a/b", "msg/s"),
    0.9,
    targets.Figure("a/b", "msg/s", BARE),
    at_least=True,
)
AT_MOST = targets.Target("size", targets.Figure("a/b", "msg/s"), 90)


@pytest.mark.parametrize(("ours", "met"), [(89, False), (90, True), (91, True)])
def test_a_ratio_is_to_reach_its_limit(ours: float, met: bool) -> None:
    assert targets.judge(AT_LEAST, measured(ours, 100)).met is met


@pytest.mark.parametrize(("ours", "met"), [(89, True), (90, True), (91, False)])
def test_a_figure_is_not_to_pass_its_limit(ours: float, met: bool) -> None:
    assert targets.judge(AT_MOST, measured(ours, 100)).met is met


def test_without_its_peer_a_target_is_missed_and_says_why() -> None:
    verdict = targets.judge(AT_LEAST, found(measured(90, 100).rows[0]))
    assert (verdict.met, verdict.figures) == (False, "a/b, bare loop: not measured")
    rows = measured(90, 100).rows
    rows[1].problem = "absent: no Java"
    assert "absent: no Java" in targets.judge(AT_LEAST, found(*rows)).figures


def test_every_target_is_about_rows_that_are_measured() -> None:
    there = {(cell.name, system) for cell in cells() for system in cell.systems}
    there |= {(name, BRIDGE) for name in known_rows()}
    for target in targets.TARGETS:
        assert {(figure.row, figure.system) for figure in target.needs} <= there, target.name


def test_every_cell_has_a_name_of_its_own() -> None:
    names = [cell.name for cell in cells()]
    assert len(set(names)) == len(names)
    assert any(CONNECTOR in cell.systems for cell in cells())


# -- what is shown


def test_a_table_has_medians_with_their_range_and_ratios_to_the_bare_loop() -> None:
    both = measured(50, 100)
    both.rows[0].figures["msg/s"] = [40, 50, 70]
    (table,) = results.tables(both)
    assert table.columns == ["row", "system", "msg/s", "msg/s, of the bare loop's"]
    assert table.lines == [["a/b", BRIDGE, "50.0 (40.0-70.0)", "0.50"], ["a/b", BARE, "100", ""]]


def test_an_absent_peer_has_no_figures_and_no_ratio() -> None:
    rows = measured(50, 100).rows
    rows[1].problem, rows[1].figures = "absent: no Go", {}
    (table,) = results.tables(found(*rows))
    assert table.columns == ["row", "system", "msg/s"]
    assert table.lines[1][2:] == ["absent: no Go"]


def test_results_are_read_as_they_were_written(tmp_path) -> None:
    there = measured(1.5, 2)
    (tmp_path / "r.json").write_text(there.text())
    assert Results.read(tmp_path / "r.json") == there


def test_the_page_says_what_the_results_say() -> None:
    text = show.page(measured(50, 100))
    assert "| a/b | bridge | 50.0 | 0.50 |" in text
    assert "* CPU: one" in text
