"""Runs a bridge: options, preflight, the runner, signals, progress, report, exit status."""

from __future__ import annotations

import logging
import os
import signal
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipelines import dataflow, graph, output, portable, preflight, prism, rounds
from pipelines.commands import run_command
from pipelines.facts import Facts
from pipelines.options import Options, Pipeline, Runner, parse
from pipelines.stopping import graceful_stop
from transforms import registry, stop_file
from transforms.control import Bounds
from transforms.dead_letters.places import open_sink
from transforms.errors import BridgeError, TransferError
from transforms.kafka.client import ProducerConfig
from transforms.registry import Bridge, BridgeConfig

_log = logging.getLogger(__name__)


def main(pipeline: Pipeline, argv: Sequence[str] | None = None) -> int:
    """The command line of one pipeline; returns the exit status."""
    return run_command(pipeline, partial(parse, pipeline), _run, argv)


def _run(options: Options) -> int:
    if not options.demo:
        return run(options, preflight.check(options))
    # Only a demo needs the embedded stack and makes alerts.
    from pipelines.demo import endpoints

    with endpoints(options) as given:
        return run(given, preflight.check(given))


def run(
    options: Options,
    facts: Facts,
    finish: Callable[[], object] = bool,
    between: Callable[[Bridge], object] = bool,
) -> int:
    """Transfers until told to stop, or to the end of a finite source; returns the exit status,
    which of a finite run says whether a signal has cut it short.

    Args:
      facts: what preflight has found.
      finish: called when all of a finite source is delivered.
      between: called where the in-process runner has a moment in which nothing is in flight.
    Raises:
      BridgeError: delivery failed.
    """
    if options.uses_kafka:
        _log.info("%s carries Kafka's data: %s", options.client, options.client_reason)
    config = bridge_config(options)
    if options.runner is Runner.DATAFLOW:
        if dataflow.submit(_pipeline(options, facts, config), options.bounded):
            finish()
        return 0
    bridge = registry.get(config)
    bridge.delivered_before = facts.delivered
    cancels = options.runner is Runner.PORTABLE and not options.stop_file
    what = "cancelling the job" if cancels else "draining"
    with graceful_stop(bridge.control, what), output.progress(bridge, options) as meter:
        try:
            _transfer(options, facts, bridge, partial(between, bridge))
        except Exception as error:
            _fail(bridge, error)
        finally:
            bridge.close()
    output.summary(bridge, options, meter.seconds)
    if isinstance(bridge.failure, TransferError):
        raise bridge.failure
    if bridge.failure is not None:  # exit status 2 is for what ends before anything is read
        raise TransferError(str(bridge.failure)) from bridge.failure
    reason = bridge.control.stop_reason
    if not reason:
        finish()
    if reason == stop_file.REASON and options.bounded:
        reason = signal.SIGTERM.name
    cut_short = (options.bounded or cancels) and reason in signal.Signals.__members__
    return 128 + signal.Signals[reason] if cut_short else 0


def nothing_to_do(options: Options) -> int:
    """Reports a run that has nothing to transfer; returns the exit status.

    Raises:
      TransferError: the report cannot be written.
    """
    bridge = registry.get(bridge_config(options))
    output.summary(bridge, options, 0.0)
    bridge.close()
    if bridge.failure is not None:
        raise bridge.failure
    return 0


_LARGEST_LETTER_BYTES = 500_000_000
"""Above any limit of a topic: records that came compressed are larger than their topic's limit, and
their letters, compressed, fit the limit of theirs."""


_FILES = 64
"""A bundle ends when it has filled so many files of an archive."""

_FILED_MESSAGES = 50_000
"""And with so many Pub/Sub messages, since each of them is leased until then."""


def bridge_config(options: Options) -> BridgeConfig:
    """What sources and sinks of this run share."""
    open_dead_letters = None
    if options.dead_letter is not None:
        open_dead_letters = partial(
            open_sink,
            options.dead_letter,
            options.kafka,
            ProducerConfig(
                delivery_timeout_s=options.delivery_timeout_s,
                max_message_bytes=_LARGEST_LETTER_BYTES,
                compression="gzip",
            ),
            options.delivery_timeout_s,
            options.workers_pubsub,
        )
    return BridgeConfig(
        bridge_id=uuid.uuid4().hex,
        bounds=Bounds(
            options.max_messages,
            options.max_seconds,
            None if options.bounded else options.idle_seconds,
            options.max_rate,
        ),
        commit_interval_s=options.commit_interval_s,
        linger_ms=options.linger_ms,
        delivery_timeout_s=options.delivery_timeout_s,
        revoke_timeout_s=options.revoke_timeout_s,
        max_in_flight_bytes=options.max_in_flight_bytes,
        **_bundles(options),
        direction="ps_to_kafka" if "kafka" in options.route.sinks else "kafka_to_ps",
        open_dead_letters=open_dead_letters,
        stop_file=options.stop_file,
    )


def _bundles(options: Options) -> dict[str, int]:
    """How much a bundle holds at most: of an archive as much as its files do, which are on disk."""
    if "archive" in options.route.sinks:
        return {"bundle_bytes": _FILES * options.file_bytes, "bundle_messages": _FILED_MESSAGES}
    return {"bundle_bytes": options.max_in_flight_bytes // 2}


def pipeline_options(options: Options) -> PipelineOptions:
    """Beam's options: of a batch pipeline where the source is finite, else of a streaming one."""
    beam_args = options.beam_args
    if options.runner is Runner.PRISM:
        beam_args = prism.located(beam_args, os.environ)
    beam_options = PipelineOptions(beam_args)
    beam_options.view_as(StandardOptions).streaming = not options.bounded
    if options.runner is Runner.DATAFLOW:
        dataflow.leave_out_the_launcher(beam_options)
    return beam_options


def _transfer(
    options: Options, facts: Facts, bridge: Bridge, between: Callable[[], object]
) -> None:
    def attach(pipeline: Any) -> None:
        graph.build(pipeline, options, facts, bridge.config)

    if options.runner is Runner.IN_PROCESS:
        rounds.run(
            attach, bridge.control, options.beam_args, finished=bridge.finished, between=between
        )
        return
    pipeline = beam.Pipeline(options=pipeline_options(options))
    attach(pipeline)
    if options.runner is Runner.PORTABLE:
        portable.run(pipeline, bridge)
    else:
        pipeline.run().wait_until_finish()


def _pipeline(options: Options, facts: Facts, config: BridgeConfig) -> beam.Pipeline:
    """A pipeline for Dataflow.

    Raises:
      PreflightError: Beam does not take the options; it asks the network about some.
    """
    try:
        pipeline = beam.Pipeline(options=pipeline_options(options))
    except Exception as error:
        raise dataflow.refused(error) from error
    graph.build(pipeline, options, facts, config)
    return pipeline


def _fail(bridge: Bridge, error: Exception) -> None:
    """Keeps the error that a DoFn kept, or else what Beam says of it."""
    if bridge.failure is None:
        _log.error("the pipeline failed", exc_info=error)
        last_line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        bridge.fail(
            error
            if isinstance(error, BridgeError)
            else TransferError(f"run pipeline: {last_line[:300]}")
        )
