"""Checks run side by side under one deadline."""

from __future__ import annotations

import threading
import time

import pytest

from pipelines.checks import check_again, run_all
from transforms.errors import PreflightError


def fail(error: Exception):
    def check() -> None:
        raise error

    return check


def test_checks_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    assert set(run_all({"a": both.wait, "b": both.wait}, 10)) == {"a", "b"}


def test_a_check_that_hangs_ends_at_the_deadline_and_is_named() -> None:
    began = time.monotonic()
    with pytest.raises(
        PreflightError, match=r"^check broker: no answer within 0\.05 s; "
    ) as caught:
        run_all({"broker": threading.Event().wait, "topic": str}, 0.05)
    assert time.monotonic() - began < 5
    assert "topic" not in str(caught.value)


def test_each_failure_is_one_line() -> None:
    checks = {
        "a": fail(PreflightError("read a: no such topic; create it")),
        "b": fail(OSError("first line\nsecond line")),
        "c": str,
    }
    with pytest.raises(PreflightError) as caught:
        run_all(checks, 10)
    assert sorted(str(caught.value).splitlines()) == [
        "check b: OSError: first line second line; --debug shows more",
        "read a: no such topic; create it",
    ]


class Passing(Exception):
    retriable = True


def test_a_passing_failure_is_tried_again_and_another_one_is_not() -> None:
    answers = [Passing(), Passing(), None]

    def check() -> str:
        cause = answers.pop(0)
        if cause is not None:
            raise PreflightError("not yet") from cause
        return "done"

    assert check_again(check) == "done"
    answers = [OSError(), None]
    with pytest.raises(PreflightError):
        check_again(check)
    assert answers == [None]
