"""A job on a job server, whose workers are other processes: submitted, stopped and counted here."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from apache_beam.metrics.metric import MetricsFilter

from transforms import metrics, stop_file
from transforms.errors import TransferError, one_line
from transforms.registry import Bridge

_log = logging.getLogger(__name__)

_POLL_S = 0.2


def run(pipeline: Any, bridge: Bridge) -> None:
    """Submits a pipeline and waits for the end of its job.

    No signal reaches the workers. Told to stop, they are asked through the bridge's stop file;
    without one the job is cancelled, which ends it at once.

    Raises:
      RuntimeError: the job failed.
    """
    result = pipeline.run()
    _log.info("job %s is running; its workers log where they run", result._job_id)
    with _passing_on(bridge, result):
        try:
            result.wait_until_finish()
        except RuntimeError:
            if not (bridge.control.stop_reason and not bridge.config.stop_file):
                raise
        finally:
            _take_counts(bridge, result)
    if bridge.config.stop_file and stop_file.is_there(bridge.config.stop_file):
        bridge.control.stop(stop_file.REASON)  # the workers may have seen it first


@contextmanager
def _passing_on(bridge: Bridge, result: Any) -> Iterator[None]:
    """Within, a stop of this process is passed on to the job."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_POLL_S):
            if bridge.control.stop_reason:
                _stop(bridge, result)
                return

    thread = threading.Thread(target=watch, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1)


def _stop(bridge: Bridge, result: Any) -> None:
    try:
        if bridge.config.stop_file:
            stop_file.put(bridge.config.stop_file)
        else:
            result.cancel()
    except TransferError as error:
        _log.error("%s; the job goes on, make that file yourself", error)
    except Exception as error:  # whatever the job server's client raises
        _log.error(
            "cancel job %s: %s; it goes on, and a second signal ends this command alone",
            result._job_id,
            one_line(error),
        )


def _take_counts(bridge: Bridge, result: Any) -> None:
    """What the workers have told the job server, as far as that tells."""
    with suppress(Exception):
        for name, count in counters(result).items():
            bridge.counts.add(name, count)


def counters(result: Any) -> dict[str, int]:
    """The bridge's counters in a Beam pipeline's result, summed over its steps."""
    found = result.metrics().query(MetricsFilter().with_namespace(metrics.NAMESPACE))
    totals: Counter[str] = Counter()
    for counter in found["counters"]:
        totals[counter.key.metric.name] += counter.result
    return dict(totals)
