"""The matrix in docs/runners.md cannot say more than a run does."""

from __future__ import annotations

import matrix
import pytest

NAME = matrix.COLUMNS["restart"]
OF = f"{NAME}[Prism-kafka_to_ps]"

RESULTS = """\
<testsuites><testsuite>
<testcase name="{}">{}</testcase>
<testcase name="{}"><skipped message="no prism"/></testcase>
</testsuite></testsuites>
"""


def cell(tmp_path, inside: str, direction: str = "kafka_to_ps") -> str:
    (tmp_path / "run.xml").write_text(
        RESULTS.format(OF, inside, OF.replace("kafka_to_ps", "ps_to_kafka"))
    )
    return matrix.cell(matrix.cases(tmp_path / "run.xml"), "Prism", direction, "restart")


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ("", f"`{NAME}`"),
        ("<failure/>", matrix.UNTESTED),
        ("<error/>", matrix.UNTESTED),
        ('<properties><property name="cell" value="no"/></properties>', matrix.NO),
    ],
)
def test_a_cell_names_its_test_only_where_that_has_passed(tmp_path, inside, says):
    assert cell(tmp_path, inside) == says


def test_what_did_not_run_keeps_its_cell_and_nothing_else_does(tmp_path):
    assert cell(tmp_path, "", "ps_to_kafka") == matrix.NOT_RUN
    committed = "| Prism | `test_a` | `test_b` |"
    fresh = f"| Prism | {matrix.NOT_RUN} | {matrix.UNTESTED} |"
    kept = f"| Prism | `test_a` | {matrix.UNTESTED} |"
    assert matrix.unchecked(fresh, committed) == kept


def test_a_test_that_is_not_in_the_results_is_no_name_in_a_cell(tmp_path):
    run: list[matrix.Case] = []
    for runner in matrix.RUNNERS:
        assert matrix.cell(run, runner, "kafka_to_ps", "restart") == matrix.UNTESTED
