"""What follows a job's submission to Dataflow: a wait where it has an end, and its outcome."""

from __future__ import annotations

import os
import signal

import dataflow_jobs as jobs
import pytest
from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
from apache_beam.runners.runner import PipelineResult, PipelineState

from pipelines import backfill, backfill_state, dataflow, preflight, runtime
from pipelines.facts import Facts
from pipelines.options import BACKFILL, parse
from pipelines.preflight import pubsub_source
from pipelines.wanted import Wanted
from transforms.errors import PreflightError, TransferError


class Result:
    """A job, as Beam's result has it.

    Args:
      ends: what waiting for its end does; it returns the state.
    """

    has_job = True

    def __init__(self, ends) -> None:
        self.state = PipelineState.RUNNING
        self.waited = False
        self._ends = ends

    def job_id(self):
        return "2026-11-22_1"

    def wait_until_finish(self):
        self.waited = True
        self.state = self._ends(self)


class Pipeline:
    def __init__(self, result) -> None:
        self._result = result

    def run(self):
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def failed(result):
    result.state = PipelineState.FAILED
    raise DataflowRuntimeException("Dataflow pipeline failed. State: FAILED, Error:\n...", result)


def unreachable(_result):
    raise AssertionError("Job did not reach a terminal state")


def test_a_job_with_an_end_is_waited_for():
    result = Result(lambda _: PipelineState.DONE)
    assert dataflow.submit(Pipeline(result), bounded=True)
    assert result.waited


def test_a_stream_is_not_waited_for():
    result = Result(lambda _: PipelineState.DONE)
    assert not dataflow.submit(Pipeline(result), bounded=False)
    assert not result.waited


def test_a_template_has_no_job_to_wait_for():
    assert not dataflow.submit(Pipeline(PipelineResult(PipelineState.DONE)), bounded=True)


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        (failed, "run Dataflow job 2026-11-22_1: it has ended as FAILED"),
        (lambda _: PipelineState.CANCELLED, "run Dataflow job 2026-11-22_1: it has ended as CANC"),
        (unreachable, "watch Dataflow job 2026-11-22_1: Job did not reach a terminal state; it go"),
    ],
)
def test_a_job_that_has_not_done_all_is_an_error_with_its_id_and_state(ends, says):
    with pytest.raises(TransferError, match=says) as caught:
        dataflow.submit(Pipeline(Result(ends)), bounded=True)
    assert caught.value.exit_status == 1
    assert "\n" not in str(caught.value)


def test_a_job_that_is_not_taken_is_an_error_in_one_line_before_anything_is_read():
    refusal = ValueError("There is already active job named b\nwith id: 1")
    with pytest.raises(
        PreflightError, match="submit Dataflow job: There is already active job"
    ) as e:
        dataflow.submit(Pipeline(refusal), bounded=True)
    assert "\n" not in str(e.value)


def test_a_signal_ends_the_wait_and_not_the_job(capfd):
    def interrupted(_result):
        os.kill(os.getpid(), signal.SIGTERM)
        return PipelineState.RUNNING

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
        dataflow.submit(Pipeline(Result(interrupted)), bounded=True)
    assert "the Dataflow job goes on" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def backfill_of_an_hour(monkeypatch):
    """Runs a backfill through a subscription that is made for it; returns what was done at its end.
    Checks, graph, Pub/Sub and Dataflow are stubbed."""
    done: list[str] = []

    class Admin:
        def delete_subscription(self, name):
            done.append(f"deleted {name}")

        def close(self):
            pass

    wanted = Wanted(from_ms=0, to_ms=3_600_000)
    facts = Facts(now_ms=7_200_000, wanted=wanted, name="abc", subscription="projects/p/s/s")
    for module, name in ((preflight, "look"), (preflight, "act"), (pubsub_source, "status")):
        monkeypatch.setattr(module, name, lambda *_: facts)
    monkeypatch.setattr(backfill_state, "save", lambda *args: done.append(args[-1]))
    monkeypatch.setattr(backfill.pubsub, "open_admin", lambda *_: Admin())
    monkeypatch.setattr(runtime, "_pipeline", lambda *_: "pipeline")

    def run(job_is_done):
        monkeypatch.setattr(dataflow, "submit", lambda *_: job_is_done)
        flags = ["--create_subscription_from=projects/p/topics/alerts", "--kafka_topic=alerts"]
        ends = ["--bootstrap_servers=kafka:9092", "--group_id=g"]
        assert backfill.run(parse(BACKFILL, [*jobs.DATAFLOW, *flags, *ends], {})) == 0
        return done

    return run


def test_a_backfill_whose_job_is_done_is_remembered_and_its_subscription_deleted(
    backfill_of_an_hour,
):
    assert backfill_of_an_hour(job_is_done=True) == ["done", "deleted projects/p/s/s"]


def test_a_backfill_that_is_staged_leaves_its_end_to_a_later_run_and_says_so(
    backfill_of_an_hour, caplog
):
    caplog.set_level("INFO")
    assert backfill_of_an_hour(job_is_done=False) == []
    assert "when its job has ended, the same command with --runner=DirectRunner" in caplog.text
