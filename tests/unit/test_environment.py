"""Environment variables for a while."""

from __future__ import annotations

import os

import pytest

from pipelines.environment import environment


def test_after_an_error_too_the_environment_is_as_before(monkeypatch):
    monkeypatch.setenv("THERE", "before")
    monkeypatch.delenv("NEW", raising=False)
    monkeypatch.delenv("GONE", raising=False)
    before = dict(os.environ)

    @environment({"THERE": "within", "NEW": "within", "GONE": "within"})
    def fail() -> None:
        assert (os.environ["THERE"], os.environ["NEW"]) == ("within", "within")
        del os.environ["GONE"]
        raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert dict(os.environ) == before
