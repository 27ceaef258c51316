"""The flag tables of README.md and docs/ are made from the declarations."""

from __future__ import annotations

import pytest

from pipelines import docs


@pytest.mark.parametrize("page", docs.PAGES)
def test_every_flag_has_a_row(page) -> None:
    tables = docs.flag_tables(docs.PAGES[page])
    for f in docs.PAGES[page]:
        assert f"| `--{f.name}" in tables


def test_only_what_is_between_the_markers_is_replaced() -> None:
    flags = next(iter(docs.PAGES.values()))
    made = docs.replaced("page", f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n", flags)
    assert made == f"before\n{docs.BEGIN}\n{docs.flag_tables(flags)}{docs.END}\nafter\n"
    assert docs.replaced("page", made, flags) == made


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(ValueError, match="are missing"):
        docs.replaced("page", "no markers", ())
