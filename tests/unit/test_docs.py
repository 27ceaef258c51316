"""The README's flag tables are made from the declarations."""

from __future__ import annotations

import pytest

from pipelines import docs
from pipelines.options import FLAGS


def test_every_flag_has_a_row() -> None:
    tables = docs.flag_tables()
    for f in FLAGS:
        assert f"| `--{f.name}" in tables


def test_only_what_is_between_the_markers_is_replaced() -> None:
    made = docs.replaced(f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n")
    assert made == f"before\n{docs.BEGIN}\n{docs.flag_tables()}{docs.END}\nafter\n"
    assert docs.replaced(made) == made


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(ValueError, match="missing"):
        docs.replaced("no markers")
