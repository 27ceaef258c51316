"""The flag tables of README.md and docs/ are made from the declarations."""

from __future__ import annotations

import pytest

from pipelines import docs


@pytest.mark.parametrize("page", docs.PAGES)
def test_every_flag_has_a_row(page) -> None:
    flags, pipelines = docs.PAGES[page]
    tables = docs.flag_tables(flags, pipelines)
    for f in [f for f in flags if set(pipelines) & set(f.where)]:
        assert f"| `--{f.name}" in tables


def test_only_what_is_between_the_markers_is_replaced() -> None:
    tables = docs.flag_tables(*next(iter(docs.PAGES.values())))
    made = docs.replaced("page", f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n", tables)
    assert made == f"before\n{docs.BEGIN}\n{tables}{docs.END}\nafter\n"
    assert docs.replaced("page", made, tables) == made


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(ValueError, match="are missing"):
        docs.replaced("page", "no markers", "")


def test_away_from_a_checkout_it_says_so(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(docs, "PAGES", {tmp_path / "README.md": ((), ())})
    assert docs.main([]) == 2
    assert "run this in a checkout" in capsys.readouterr().err
