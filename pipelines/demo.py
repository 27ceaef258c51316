"""Demos on the embedded stack, with sample alerts: nothing to install, nothing leaves this machine.

`python -m pipelines.demo` carries alerts from Pub/Sub to Kafka and back, and compares every byte.
`endpoints` is for a bridge that was started without source and destination.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from pipelines import alerts, compare, feed, output
from pipelines.command_line import Parser
from pipelines.compare import Outcome, Print
from pipelines.environment import environment
from pipelines.flag_values import whole_number
from pipelines.flags import KAFKA_TO_PS, PS_TO_KAFKA, Pipeline
from pipelines.local.child import Stopped, stop_signals
from pipelines.local.stack import EmbeddedStack
from pipelines.options import Options
from transforms.errors import BridgeError, UsageError
from transforms.kafka import clients as kafka
from transforms.kafka.client import KafkaConfig
from transforms.pubsub import client as pubsub
from transforms.records import PubsubRecord

KAFKA_TOPIC = "alerts"
GROUP_ID = "demo"
PUBSUB_TOPIC = "projects/demo/topics/alerts"
SUBSCRIPTION = "projects/demo/subscriptions/alerts"
RETURN_TOPIC = "projects/demo/topics/returned"
RETURN_SUBSCRIPTION = "projects/demo/subscriptions/returned"

_EMULATOR_HEAP = "2g"  # holds feed.MAX_ALERTS
_PARTITIONS = 4
_ACK_DEADLINE_S = 60
_CALL_S = 10.0
_CREATE_S = 30.0
_PUBLISH_S = 60.0
_BATCH = 100  # alerts a request: 7 MB, the limit is 10
_IDLE_S = 15  # a job that waits for what is lost ends by this
_GRACE_S = 10.0  # between asking a job to end and killing it


# -- a bridge without source and destination -------------------------------------------------------


@contextlib.contextmanager
def endpoints(options: Options) -> Iterator[Options]:
    """The embedded stack, with a stream of alerts on the source's side.

    Yields:
      The options with source and destination filled in.
    Raises:
      PreflightError: a server cannot be had, or does not start.
    """
    output.say("no source and no destination given: a demo, all of it on this machine")
    with (
        EmbeddedStack(say=output.say, emulator_heap=_EMULATOR_HEAP) as servers,
        environment(servers.env()),
    ):
        options = replace(
            options,
            bootstrap_servers=servers.bootstrap_servers,
            pubsub_emulator_host=servers.pubsub_emulator_host,
        )
        _create_kafka_topic(options.kafka)
        if options.pipeline == PS_TO_KAFKA:
            _create_pubsub(PUBSUB_TOPIC, SUBSCRIPTION)
            options = replace(options, subscription=SUBSCRIPTION, kafka_topic=KAFKA_TOPIC)
            route = f"{SUBSCRIPTION} -> Kafka topic {KAFKA_TOPIC}"
            feeding = feed.into_pubsub(PUBSUB_TOPIC, options.kafka, KAFKA_TOPIC)
        else:
            _create_pubsub(RETURN_TOPIC)
            options = replace(
                options, kafka_topics=(KAFKA_TOPIC,), group_id=GROUP_ID, pubsub_topic=RETURN_TOPIC
            )
            route = f"Kafka topic {KAFKA_TOPIC} -> {RETURN_TOPIC}"
            feeding = feed.into_kafka(options.kafka, KAFKA_TOPIC, GROUP_ID)
        output.say(f"{feed.RATE} sample alerts a second -> {route}")
        output.say("to look on from another shell:")
        for name, value in servers.env().items():
            output.say(f"  export {name}={value}")
        output.say("Ctrl-C drains the bridge, then ends both servers and removes their data")
        with feeding:
            yield options


# -- there and back --------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m pipelines.demo`; returns the exit status."""
    try:
        count = _parse(sys.argv[1:] if argv is None else argv)
        output.configure_logging(debug=False, demo=True)
        with stop_signals():
            return there_and_back(count)
    except BridgeError as error:
        output.say(f"python -m pipelines.demo: {error}")
        return error.exit_status
    except Stopped as stopped:
        return 128 + stopped.number


def _parse(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m pipelines.demo",
        description="Carries sample alerts from Pub/Sub to Kafka and back, on servers of its own, "
        "and compares every byte.",
        epilog="Exit status 0: nothing was lost or changed.",
        allow_abbrev=False,
    )
    parser.add_argument("--alerts", metavar="N", default="1000", help="how many (default: 1000)")
    try:
        return whole_number(parser.parse_args(argv).alerts)
    except ValueError as error:
        raise UsageError(f"--alerts: {error}") from error


def there_and_back(count: int) -> int:
    """Runs both pipelines over `count` alerts; returns the exit status.

    Raises:
      BridgeError: a server cannot be had, or cannot be read in the end.
    """
    began = time.monotonic()
    with EmbeddedStack(say=output.say) as servers, environment(servers.env()):
        cluster = KafkaConfig(servers.bootstrap_servers)
        _create_kafka_topic(cluster)
        _create_pubsub(PUBSUB_TOPIC, SUBSCRIPTION)
        _create_pubsub(RETURN_TOPIC, RETURN_SUBSCRIPTION)
        sent = _publish(count)
        to_kafka = _run(
            PS_TO_KAFKA,
            f"--subscription={SUBSCRIPTION}",
            f"--bootstrap_servers={servers.bootstrap_servers}",
            f"--kafka_topic={KAFKA_TOPIC}",
            f"--max_messages={count}",
        )
        in_kafka = compare.census(compare.values_in_kafka(cluster, KAFKA_TOPIC))
        from_kafka = _run(
            KAFKA_TO_PS,
            f"--bootstrap_servers={servers.bootstrap_servers}",
            f"--kafka_topics={KAFKA_TOPIC}",
            f"--group_id={GROUP_ID}",
            f"--pubsub_topic={RETURN_TOPIC}",
            f"--max_messages={max(1, in_kafka.total())}",
        )
        back = compare.census(compare.data_in_pubsub(RETURN_SUBSCRIPTION, in_kafka.total()))
        output.say("compared every byte of what was sent, what lies in Kafka, and what came back")
    ways = [compare.compare(sent, in_kafka), compare.compare(in_kafka, back)]
    output.say(verdict(ways, time.monotonic() - began))
    faithful = all(way.faithful for way in ways) and to_kafka == from_kafka == 0
    return 0 if faithful else 1


def verdict(ways: Sequence[Outcome], seconds: float) -> str:
    """The last line."""
    there, back = ways
    return f"Pub/Sub -> Kafka: {there}; Kafka -> Pub/Sub: {back}; {seconds:.0f} s"


def _publish(count: int) -> Counter[Print]:
    """Makes and publishes alerts; returns their prints."""
    output.say(f"publishing {count:,} sample alerts of about 70 kB to {PUBSUB_TOPIC}")
    sent: Counter[Print] = Counter()
    with closing(pubsub.Publisher(PUBSUB_TOPIC, _PUBLISH_S)) as publisher:
        for begin in range(0, count, _BATCH):
            batch = [alerts.alert(number) for number in range(begin, min(begin + _BATCH, count))]
            sent += compare.census(batch)
            publisher.publish([pubsub.to_wire(PubsubRecord(alert)) for alert in batch])
    return sent


def _run(pipeline: Pipeline, *flags: str) -> int:
    """Runs a pipeline as a person would, and returns its exit status.

    It has a session of its own, so that a Ctrl-C reaches only this process, which then ends it.
    """
    arguments = ["-m", f"pipelines.{pipeline}", "--runner=DirectRunner", *flags]
    arguments.append(f"--idle_seconds={_IDLE_S}")
    emulator = f"PUBSUB_EMULATOR_HOST={os.environ['PUBSUB_EMULATOR_HOST']}"
    python = os.path.relpath(sys.executable)
    output.say(f"$ {emulator} {shlex.join([python, *arguments])}")
    job = subprocess.Popen([sys.executable, *arguments], start_new_session=True)
    try:
        return job.wait()
    finally:
        if job.returncode is None:
            job.terminate()
            try:
                job.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                job.kill()
                job.wait()


# -- the servers' resources ------------------------------------------------------------------------


def _create_kafka_topic(config: KafkaConfig) -> None:
    with closing(kafka.open_admin(config, _CREATE_S)) as admin:
        admin.create_topic(KAFKA_TOPIC, _PARTITIONS, 1)


def _create_pubsub(topic: str, subscription: str = "") -> None:
    with closing(pubsub.open_admin(_CALL_S)) as admin:
        admin.create_topic(topic)
        if subscription:
            admin.create_subscription(subscription, topic, _ACK_DEADLINE_S)


if __name__ == "__main__":
    sys.exit(main())
