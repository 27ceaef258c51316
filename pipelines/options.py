"""Every flag of the bridge, declared once; `parse` turns a command line into `Options`.

A declaration holds name, type, default, help, the pipelines that take the flag, the runners on
which it means something, and its type in a template. Help, the README's table, the flag x runner
check and the templates are all derived from it.
"""

# ruff: noqa: RUF009  # flag() and choice() return dataclass fields
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines import beam_flags, command_line, flag_rules, kafka_flags, resource_names
from pipelines import flag_values as values
from pipelines.flag_values import KeySource, SeekTo, StartAt, TopicLayout
from pipelines.flags import (
    KAFKA_TO_PS,
    ONE_MACHINE,
    ONE_MACHINE_RUNNERS,
    ONLY_KAFKA_TO_PS,
    ONLY_PS_TO_KAFKA,
    OWN_PULL,
    OWN_SOURCE,
    PS_TO_KAFKA,
    RUNNERS,
    Pipeline,
    Runner,
    choice,
    declared,
    flag,
)
from transforms.dead_letters.places import Place
from transforms.kafka.client import ClientName, KafkaConfig
from transforms.kafka.property_table import Role
from transforms.pubsub.service import Service

__all__ = ["FLAGS", "KAFKA_TO_PS", "PS_TO_KAFKA", "Options", "Pipeline", "Runner", "parse"]


def _assignment(pipeline: Pipeline, runner: Runner) -> str:
    return "group" if runner in ONE_MACHINE_RUNNERS else "shards"


def _shards(pipeline: Pipeline, runner: Runner) -> int:
    return 1 if runner in ONE_MACHINE_RUNNERS else 8


def _commit_interval_s(pipeline: Pipeline, runner: Runner) -> float:
    return 1.0 if pipeline == PS_TO_KAFKA else 5.0


_SECONDS = values.number(at_most=3600)

ENDS = "source and destination"
MAPPING = "mapping"
BEGIN = "where to begin"
END = "when to stop"
PUBSUB = "Pub/Sub client"
KAFKA = "Kafka client"
SPEED = "speed, memory, time"
OUTPUT = "runner and output"


@dataclass(frozen=True, kw_only=True)
class Options:
    """A checked command line: the flags, each under its own name, then what follows from them.

    Attributes:
      pipeline: the pipeline that is run.
      runner: the kind of runner; `runner_name` is Beam's name for it.
      beam_args: Beam's own flags, `--runner` among them, ready for `PipelineOptions`.
      demo: neither source nor destination was given: run on the embedded stack.
      pubsub_emulator_host: the emulator that PUBSUB_EMULATOR_HOST names, or empty.
      client: the Kafka client that carries the data, and in `client_reason` why.
      properties: all Kafka client properties, checked; secrets by reference.
      notes: what of the files of properties is left out, a line each.
    """

    # -- source and destination
    subscription: str = flag(
        "",
        "Pub/Sub subscription to read.",
        group=ENDS,
        where=ONLY_PS_TO_KAFKA,
        parse=resource_names.pubsub_resource("subscriptions"),
        metavar="projects/P/subscriptions/S",
        template="PUBSUB_SUBSCRIPTION",
    )
    kafka_topic: str = flag(
        "",
        "Kafka topic to write.",
        group=ENDS,
        where=ONLY_PS_TO_KAFKA,
        parse=resource_names.kafka_topic,
        metavar="T",
        template="KAFKA_WRITE_TOPIC",
    )
    bootstrap_servers: str = flag(
        "",
        "Kafka brokers to ask first.",
        group=ENDS,
        parse=resource_names.host_ports,
        metavar="H:PORT[,H:PORT...]",
        env="KAFKA_BOOTSTRAP_SERVERS",
    )
    kafka_topics: tuple[str, ...] = flag(
        (),
        "Kafka topics to read: names with commas between them, or one ^regex; new topics that "
        "match it are picked up while running.",
        group=ENDS,
        where=ONLY_KAFKA_TO_PS,
        parse=resource_names.kafka_topics,
        metavar="T1,T2|^REGEX",
        template="KAFKA_READ_TOPIC",
    )
    group_id: str = flag(
        "",
        "Kafka consumer group: its committed offsets are where a restart goes on.",
        group=ENDS,
        where=ONLY_KAFKA_TO_PS,
        metavar="G",
    )
    pubsub_topic: str = flag(
        "",
        "Pub/Sub topic to write.",
        group=ENDS,
        where=ONLY_KAFKA_TO_PS,
        parse=resource_names.pubsub_resource("topics"),
        metavar="projects/P/topics/T",
        template="PUBSUB_TOPIC",
    )
    create_topics: TopicLayout | None = flag(
        None,
        "Create the Kafka topic so if it is missing; without this a missing topic is an error, "
        "since adding partitions later moves keys.",
        group=ENDS,
        where=ONLY_PS_TO_KAFKA,
        parse=values.topic_layout,
        metavar="PARTITIONS:REPLICATION",
    )

    dead_letter: Place | None = flag(
        None,
        "Where messages go that can never be delivered, whole and with the reason: a Kafka topic, "
        "a Pub/Sub topic, or a folder of Avro files; without it the first one ends the run with "
        "an error that names it.",
        group=ENDS,
        parse=values.dead_letter_place,
        metavar="kafka://T|pubsub://projects/P/topics/T|FOLDER|gs://...|s3://...",
    )

    # -- mapping
    attributes: Literal["none", "metadata", "lossless"] = choice(
        "metadata",
        "What travels beside the payload: nothing; or origin, key and headers, as far as they fit; "
        "or whatever is needed to rebuild the message exactly (docs/mapping.md).",
        "none",
        "metadata",
        "lossless",
        group=MAPPING,
    )
    ordering_key: Literal["none", "key", "partition"] = choice(
        "none",
        "What becomes the Pub/Sub ordering key.",
        "none",
        "key",
        "partition",
        group=MAPPING,
        where=ONLY_KAFKA_TO_PS,
    )
    key: KeySource = flag(
        KeySource("auto"),
        "What becomes the Kafka key.",
        default_text="the `key` attribute, else the ordering key",
        group=MAPPING,
        where=ONLY_PS_TO_KAFKA,
        parse=values.key_source,
        metavar="none|ordering_key|attribute:NAME",
    )
    partition: Literal["key", "source"] = choice(
        "key",
        "What chooses the Kafka partition: the key's murmur2 hash as Java's client does (sticky "
        "random without a key), or the kafka.partition attribute.",
        "key",
        "source",
        group=MAPPING,
        where=ONLY_PS_TO_KAFKA,
    )

    returns: Literal["drop", "pass"] = choice(
        "drop",
        "What becomes of a message that has been at the destination before: drop it and count it, "
        "known by a marker to which each hop adds its origin; or pass it, and mark nothing.",
        "drop",
        "pass",
        default_text="drop; pass with --attributes=none",
        group=MAPPING,
    )

    # -- where to begin
    start: StartAt = flag(
        StartAt("earliest"),
        "Where a partition without a committed offset begins; a restart goes on from its commits "
        "whatever this says.",
        default_text="earliest",
        group=BEGIN,
        where=ONLY_KAFKA_TO_PS,
        parse=values.start_at,
        metavar="earliest|latest|timestamp=RFC3339|offsets=FILE",
    )
    reset_offsets: bool = flag(
        False,
        "Apply --start to all partitions, once, before reading; refused while the group has "
        "members.",
        group=BEGIN,
        where=ONLY_KAFKA_TO_PS,
        parse=values.boolean,
        template="BOOLEAN",
    )
    seek: SeekTo | None = flag(
        None,
        "Move the subscription, for every one of its readers, once, before reading; not for "
        "services that restart.",
        group=BEGIN,
        where=ONLY_PS_TO_KAFKA,
        parse=values.seek_to,
        metavar="now|timestamp=RFC3339|snapshot=NAME",
    )

    on_offset_gap: Literal["fail", "continue"] = choice(
        "fail",
        "What follows when offsets that should be read next are gone (retention, a truncated log, "
        "a topic that was deleted or made anew): an error that says which; or going on at the next "
        "one that exists, with those that are gone counted as offsets_lost.",
        "fail",
        "continue",
        group=BEGIN,
        where=ONLY_KAFKA_TO_PS,
    )

    # -- when to stop
    max_messages: int | None = flag(
        None,
        "Stop after N messages; never takes more than N from the source.",
        group=END,
        where=ONE_MACHINE,
        parse=values.whole_number,
        metavar="N",
    )
    max_seconds: float | None = flag(
        None,
        "Stop after so many seconds.",
        group=END,
        where=ONE_MACHINE,
        parse=values.number(),
        metavar="S",
    )
    idle_seconds: float | None = flag(
        None,
        "Stop after so many seconds without a message; counted while partitions are assigned.",
        group=END,
        where=ONE_MACHINE,
        parse=values.number(),
        metavar="S",
    )

    # -- Pub/Sub client
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
    impersonate_service_account: str = flag(
        "",
        "The service account to act as, for Pub/Sub and for gs://; or with commas between them a "
        "chain, of which each may act as the next one. On Dataflow to check and to launch alone: "
        "workers are --service_account_email.",
        group=PUBSUB,
        parse=resource_names.service_accounts,
        metavar="EMAIL[,EMAIL...]",
    )

    # -- Kafka client
    kafka_config: Mapping[str, str] = flag(
        {},
        "A standard Kafka client property, such as security.protocol=SASL_SSL; repeatable; wins "
        "over --kafka_properties. A value may be a reference, and a secret must: env:NAME, "
        "file:PATH or secret:projects/P/secrets/S/versions/V.",
        group=KAFKA,
        parse=values.kafka_property,
        metavar="KEY=VALUE",
        repeatable=True,
        secret=True,
    )
    kafka_properties: tuple[Path, ...] = flag(
        (),
        "A file of standard Kafka client properties, as Java's clients and Kafka Connect have it, "
        "or a JAAS file; repeatable, the later one wins.",
        group=KAFKA,
        parse=values.readable_file,
        metavar="FILE",
        repeatable=True,
    )
    krb5_conf: str = flag(
        "",
        "Kerberos' configuration.",
        default_text="what the variable KRB5_CONFIG names, else /etc/krb5.conf",
        group=KAFKA,
        parse=values.file_or_reference,
        metavar="FILE",
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
        where=ONLY_KAFKA_TO_PS,
    )
    instance_id: str | None = flag(
        None,
        "Static membership in the group: a restart takes its partitions back at once; another "
        "one for every bridge.",
        group=KAFKA,
        where={KAFKA_TO_PS: ONE_MACHINE_RUNNERS},
        parse=resource_names.kafka_topic,
        metavar="ID",
    )

    # -- speed, memory, time
    shards: int = flag(
        _shards,
        "Parts that read independently of each other.",
        default_text="1; 8 on runners that distribute",
        group=SPEED,
        where=OWN_SOURCE,
        parse=values.whole_number,
        metavar="N",
    )
    pull: Literal["unary", "streaming"] = choice(
        "unary",
        "How Pub/Sub is read.",
        "unary",
        "streaming",
        group=SPEED,
        where=OWN_PULL,
    )
    max_rate: float | None = flag(
        None,
        "Messages a second, at most.",
        group=SPEED,
        where=ONE_MACHINE,
        parse=values.number(),
        metavar="N",
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
    )
    linger_ms: float = flag(
        5.0,
        "How long a batch waits for more messages.",
        group=SPEED,
        parse=values.number(at_least=0, at_most=60_000),
        metavar="MS",
    )
    delivery_timeout_s: float = flag(
        300.0,
        "How long a write is tried, and a service may stay away from when that is noticed, before "
        "the bridge ends with exit status 1.",
        group=SPEED,
        parse=values.number(at_least=1, at_most=36_000),
        metavar="S",
    )
    revoke_timeout_s: float = flag(
        10.0,
        "How long a rebalance may wait for what was read to be confirmed.",
        group=SPEED,
        where=ONLY_KAFKA_TO_PS,
        parse=_SECONDS,
        metavar="S",
    )
    metadata_interval_s: float = flag(
        30.0,
        "How often new partitions and topics are looked for.",
        group=SPEED,
        parse=_SECONDS,
        metavar="S",
    )
    max_lease_s: float = flag(
        3600.0,
        "How long a message's lease is extended, at most.",
        group=SPEED,
        where=OWN_PULL,
        parse=values.number(at_least=10, at_most=86_400),
        metavar="S",
    )

    # -- runner and output
    runner_name: str = flag(
        "DirectRunner",
        "Where the pipeline runs: " + ", ".join(RUNNERS) + ". DirectRunner is this process.",
        name="runner",
        group=OUTPUT,
        parse=command_line.runner_name,
        metavar="NAME",
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

    # -- what follows from the flags
    pipeline: Pipeline
    runner: Runner
    beam_args: list[str] = field(repr=False)
    demo: bool
    pubsub_emulator_host: str
    client: ClientName
    client_reason: str
    properties: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def drops_returns(self) -> bool:
        """Whether messages are marked, and those that come back dropped."""
        return self.returns == "drop" and self.attributes != "none"

    @property
    def kafka(self) -> KafkaConfig:
        """How to reach the cluster."""
        role, _ = _READS if self.pipeline == KAFKA_TO_PS else _WRITES
        return KafkaConfig(self.bootstrap_servers, self.client, self.properties, role)

    @property
    def pubsub(self) -> Service:
        """How this process reaches Pub/Sub."""
        return Service(self.pubsub_endpoint, self.impersonate_service_account)

    @property
    def workers_pubsub(self) -> Service:
        """How the processes that move messages reach Pub/Sub: those of Dataflow as themselves."""
        if self.runner is Runner.DATAFLOW:
            return self.pubsub._replace(impersonate="")
        return self.pubsub


FLAGS = declared(Options)
"""All declarations, in the order of help."""


def parse(pipeline: Pipeline, argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Checks a command line; contacts nothing. `--help` prints and exits 0.

    Args:
      argv: the arguments, without the program's name.
      environ: KAFKA_BOOTSTRAP_SERVERS, PUBSUB_EMULATOR_HOST and BRIDGE_DEMO are read from it.
    Raises:
      UsageError: one line that names the flag, what is wrong, and what would be right.
    """
    taken = command_line.take(pipeline, FLAGS, argv, environ)
    value: dict[str, Any] = taken.values
    beam_flags.check(taken.rest, value["runner_name"], [f.name for f in taken.flags])
    kafka = kafka_flags.settle(
        value, taken.given, *(_READS if pipeline == KAFKA_TO_PS else _WRITES)
    )
    given = taken.given | kafka.filled_in
    demo = flag_rules.is_demo(pipeline, taken.runner, value, given, environ)
    flag_rules.check(pipeline, taken.runner, value, taken.given)
    flag_rules.refuse_literal_secrets(taken.runner, kafka.properties)
    emulator = flag_rules.emulator(taken.runner, environ)
    flag_rules.check_pubsub(value, emulator, demo)
    if demo:
        value["bootstrap_servers"] = emulator = ""
    value["seek"] = flag_rules.qualified(value["seek"], value["subscription"])
    return Options(
        **value,
        pipeline=pipeline,
        runner=taken.runner,
        beam_args=[f"--runner={value['runner_name']}", *taken.rest, *for_beam(value)],
        demo=demo,
        pubsub_emulator_host=emulator,
        client=kafka.client,
        client_reason=kafka.client_reason,
        properties=kafka.properties,
        notes=kafka.notes,
    )


_READS: tuple[Role, Collection[str]] = ("consumer", ("bootstrap_servers", "group_id", "start"))
_WRITES: tuple[Role, Collection[str]] = ("producer", ("bootstrap_servers",))
"""As what a pipeline uses Kafka, and which of its flags a file of properties may give."""


def for_beam(value: Mapping[str, Any]) -> list[str]:
    """Our flags that are Beam's, too: it uses them for gs:// and for Dataflow's own API."""
    accounts = value["impersonate_service_account"]
    return [f"--impersonate_service_account={accounts}"] if accounts else []
