"""Flags: the clients, speed and memory, the runner and what it shows.

See `pipelines.flags.Flag` for what a declaration holds.
"""

# ruff: noqa: RUF009  # flag() and choice() return dataclass fields
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines import command_line, resource_names
from pipelines import flag_values as values
from pipelines.flags import (
    LIVE_KAFKA,
    MAPS,
    NATIVE_PULL,
    ONE_MACHINE,
    ONE_MACHINE_RUNNERS,
    OWN_PULL,
    OWN_SOURCE,
    PS_TO_KAFKA,
    RUNNERS,
    Pipeline,
    Runner,
    choice,
    flag,
    where,
)

PUBSUB = "Pub/Sub client"
KAFKA = "Kafka client"
SPEED = "speed, memory, time"
OUTPUT = "runner and output"


def _assignment(pipeline: Pipeline, runner: Runner) -> str:
    return "group" if runner in ONE_MACHINE_RUNNERS else "shards"


def _shards(pipeline: Pipeline, runner: Runner) -> int:
    return 1 if runner in ONE_MACHINE_RUNNERS else 8


def _commit_interval_s(pipeline: Pipeline, runner: Runner) -> float:
    return 1.0 if pipeline == PS_TO_KAFKA else 5.0


_SECONDS = values.number(at_most=3600)


@dataclass(frozen=True, kw_only=True)
class RunningFlags:
    """The flags, each under its own name."""

    pubsub_endpoint: str = flag(
        "",
        "Pub/Sub's address, with TLS: a region's own (messages of one ordering key keep their "
        "order if they are published in one region), or a private one.",
        default_text="pubsub.googleapis.com:443",
        group=PUBSUB,
        where=OWN_SOURCE,
        parse=resource_names.pubsub_endpoint,
        metavar="HOST[:PORT]",
    )
    id_label: str = flag(
        "",
        "The attribute by which Dataflow knows a message that was published twice, of which it "
        "hands on one; in its at-least-once mode it hands on both.",
        default_text="Pub/Sub's own message id",
        group=PUBSUB,
        where=NATIVE_PULL,
        side="reads pubsub",
        parse=values.attribute_name,
        metavar="NAME",
    )
    impersonate_service_account: str = flag(
        "",
        "The service account to act as, for Pub/Sub and for gs://; or with commas between them a "
        "chain, of which each may act as the next one. On Dataflow to check and to launch alone: "
        "workers are --service_account_email.",
        form_help="The service account to check and to launch as; or with commas between them a "
        "chain, of which each may act as the next one. Workers are the job's own.",
        group=PUBSUB,
        parse=resource_names.service_accounts,
        metavar="EMAIL[,EMAIL...]",
    )

    kafka_config: Mapping[str, str] = flag(
        {},
        "A standard Kafka client property, such as security.protocol=SASL_SSL; repeatable, or "
        'several as {"security.protocol": "SASL_SSL", ...}; wins over --kafka_properties. A '
        "value may be a reference, and a secret must: env:NAME, "
        "file:PATH or secret:projects/P/secrets/S/versions/V.",
        form_help="Standard Kafka client properties as a JSON object, such as "
        '{"security.protocol": "SASL_SSL", ...}, or a single one as KEY=VALUE; wins over '
        "kafka_properties. A secret has to be a reference: "
        "secret:projects/P/secrets/S/versions/V.",
        group=KAFKA,
        parse=values.kafka_properties,
        metavar="KEY=VALUE|JSON",
        repeatable=True,
        secret=True,
    )
    kafka_properties: tuple[str, ...] = flag(
        (),
        "A file (on disk, at gs:// or s3://) of standard Kafka client properties, as Java's "
        "clients and Kafka Connect have it, or a JAAS file; repeatable, or several with commas "
        "between them; the later one wins.",
        form_help="Files of standard Kafka client properties, as Java's clients and Kafka Connect "
        "have them, or JAAS files; the later one wins. Secrets in them have to be references.",
        group=KAFKA,
        parse=values.readable_files,
        metavar="FILE[,FILE...]",
        repeatable=True,
    )
    krb5_conf: str = flag(
        "",
        "Kerberos' configuration.",
        form_help="A reference to Kerberos' configuration, where it is not that of the image.",
        default_text="what the variable KRB5_CONFIG names, else /etc/krb5.conf",
        group=KAFKA,
        parse=values.file_or_reference,
        metavar="FILE|env:NAME|file:PATH|secret:projects/P/secrets/S/versions/V",
    )
    kafka_client: Literal["auto", "librdkafka", "kafka-python"] = choice(
        "auto",
        "The client that carries the data; auto takes librdkafka wherever it can.",
        "auto",
        "librdkafka",
        "kafka-python",
        group=KAFKA,
    )
    assignment: Literal["group", "shards"] = choice(
        _assignment,
        "Who owns a partition: the consumer group's protocol, or the shard that its name hashes "
        "to.",
        "group",
        "shards",
        default_text="group; shards on runners that distribute",
        group=KAFKA,
        where=LIVE_KAFKA,
        side="reads kafka",
    )
    instance_id: str | None = flag(
        None,
        "Static membership in the group: a restart takes its partitions back at once; another "
        "one for every bridge.",
        group=KAFKA,
        where=where(*LIVE_KAFKA, runners=ONE_MACHINE_RUNNERS),
        side="reads kafka",
        parse=resource_names.kafka_topic,
        metavar="ID",
    )

    shards: int = flag(
        _shards,
        "Parts that read independently of each other.",
        default_text="1; 8 on runners that distribute",
        group=SPEED,
        where=OWN_SOURCE,
        parse=values.whole_number,
        metavar="N",
        template="NUMBER",
    )
    pull: Literal["unary", "streaming"] = choice(
        "unary",
        "How Pub/Sub is read.",
        "unary",
        "streaming",
        group=SPEED,
        where=OWN_PULL,
        side="reads pubsub",
    )
    max_rate: float | None = flag(
        None,
        "Messages a second, at most.",
        group=SPEED,
        where=ONE_MACHINE,
        parse=values.number(),
        metavar="N",
        template="NUMBER",
    )
    max_in_flight_bytes: int = flag(
        200_000_000,
        "Bytes read and not yet confirmed, at most.",
        default_text="200MB",
        group=SPEED,
        parse=values.size_bytes(at_least=1_000_000, at_most=8_000_000_000),
        metavar="SIZE",
    )
    commit_interval_s: float = flag(
        _commit_interval_s,
        "Commit or acknowledge at least this often.",
        default_text="5; 1 in ps_to_kafka",
        group=SPEED,
        where=OWN_SOURCE,
        parse=_SECONDS,
        metavar="S",
        template="NUMBER",
    )
    linger_ms: float = flag(
        5.0,
        "How long a batch waits for more messages.",
        group=SPEED,
        where=MAPS,
        parse=values.number(at_least=0, at_most=60_000),
        metavar="MS",
        template="NUMBER",
    )
    delivery_timeout_s: float = flag(
        300.0,
        "How long a write is tried, and a service may stay away from when that is noticed, before "
        "the bridge ends with an error.",
        group=SPEED,
        parse=values.number(at_least=1, at_most=36_000),
        metavar="S",
        template="NUMBER",
    )
    revoke_timeout_s: float = flag(
        10.0,
        "How long a rebalance may wait for what was read to be confirmed.",
        group=SPEED,
        where=LIVE_KAFKA,
        side="reads kafka",
        parse=_SECONDS,
        metavar="S",
        template="NUMBER",
        parent="assignment=group",
    )
    metadata_interval_s: float = flag(
        30.0,
        "How often new partitions and topics are looked for.",
        group=SPEED,
        parse=_SECONDS,
        metavar="S",
        template="NUMBER",
    )
    max_lease_s: float = flag(
        3600.0,
        "How long a message's lease is extended, at most.",
        group=SPEED,
        where=OWN_PULL,
        side="reads pubsub",
        parse=values.number(at_least=10, at_most=86_400),
        metavar="S",
        template="NUMBER",
    )

    runner_name: str = flag(
        "DirectRunner",
        "Where the pipeline runs: " + ", ".join(RUNNERS) + ". DirectRunner is this process.",
        name="runner",
        group=OUTPUT,
        parse=command_line.runner_name,
        metavar="NAME",
        template="",
    )
    report: Path | None = flag(
        None,
        "Write counts (and the offsets read from Kafka) to this file at exit, as JSON.",
        group=OUTPUT,
        where=ONE_MACHINE,
        parse=values.writable_file,
        metavar="FILE",
    )
    progress: bool | None = flag(
        None,
        "Show a live line; --no_progress shows none.",
        default_text="a live line on a terminal, else a log line every 10 s",
        group=OUTPUT,
        where=ONE_MACHINE,
        parse=values.boolean,
        negation="no_progress",
        template="BOOLEAN",
    )
    debug: bool = flag(
        False,
        "Show tracebacks.",
        group=OUTPUT,
        parse=values.boolean,
        template="BOOLEAN",
    )
