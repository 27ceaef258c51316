"""The flags of the audit; those that it shares with the bridge are declared there, once."""

# ruff: noqa: RUF009  # flag() and shared() return dataclass fields
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines import flag_rules, flags_of_ends, kafka_flags, range_values, resource_names
from pipelines import flag_values as values
from pipelines.audit import rules
from pipelines.command_line import Parser, add_flags
from pipelines.flags import KAFKA_TO_PS, Runner, declared, flag
from pipelines.shared_flags import ACT_AS, shared, value_or_default
from transforms.dead_letters.places import Place
from transforms.kafka.client import ClientName, KafkaConfig, Partition
from transforms.pubsub.service import Service
from transforms.ranges import Ranges

PROG = "python -m pipelines.audit"

_WHAT = (
    "Reconciles what one side of a bridge held with what the other side has received, without a "
    "trace: nothing is committed, no live subscription is pulled from, no group is joined. Takes "
    "the flags of the bridge that it audits. A Pub/Sub topic is read through a temporary "
    "subscription; its past needs the topic's retention, or --snapshot."
)
_STATUS = (
    "PUBSUB_EMULATOR_HOST is honoured. Exit status: 0 nothing is missing; 1 something is, or the "
    "audit could not be finished; 2 wrong usage or a failed check before anything was read."
)

RANGE = "what is audited"
OUTPUT = "output"


@dataclass(frozen=True, kw_only=True)
class Options:
    """A checked command line.

    Attributes:
      client: the Kafka client that carries the data.
      properties: all Kafka client properties, checked; may hold secrets.
    """

    # -- source and destination
    kafka_topics: tuple[str, ...] = shared(
        "kafka_topics", help="Kafka topics that are the source: names, or one ^regex."
    )
    subscription: str = shared(
        "subscription",
        help="The bridge's subscription: looked at for its topic, the source, and its filter; "
        "never pulled from.",
    )
    pubsub_topic: str = shared(
        "pubsub_topic",
        help="Pub/Sub topic: the destination of --kafka_topics, or the source of --kafka_topic.",
    )
    kafka_topic: str = shared("kafka_topic", help="Kafka topic that is the destination.")
    archive: str = flag(
        "",
        "A folder of Avro files, with those in it: read in place of the Pub/Sub side, of which "
        "only the topic's name is then used.",
        group=flags_of_ends.ENDS,
        parse=values.folder,
        metavar="FOLDER|gs://...|s3://...",
    )
    bootstrap_servers: str = shared("bootstrap_servers")
    dead_letter: Place | None = shared(
        "dead_letter",
        help="Where the bridge puts dead letters; read whole, nothing is marked as done.",
    )

    # -- what is audited
    from_ms: int | None = flag(
        None,
        "What has this time or a later one: Kafka's timestamp, Pub/Sub's publish time.",
        name="from",
        default_text="all that still exists",
        group=RANGE,
        parse=values.timestamp_ms,
        metavar="RFC3339",
    )
    to_ms: int | None = flag(
        None,
        "What is before this time.",
        name="to",
        default_text="what is there when the audit begins",
        group=RANGE,
        parse=values.timestamp_ms,
        metavar="RFC3339",
    )
    offsets: Mapping[Partition, Ranges] = flag(
        {},
        "Only these offsets of --kafka_topics: JSON such as "
        '{"alerts": {"0": "100-199,250"}}, which --missing writes.',
        group=RANGE,
        parse=range_values.offset_ranges,
        metavar="FILE|gs://...|s3://...",
    )
    group_id: str = shared(
        "group_id",
        help="The bridge's group: what it has not committed yet is not due. Read, never joined.",
        group=RANGE,
    )
    snapshot: str = flag(
        "",
        "Read the Pub/Sub topic from this snapshot of one of its subscriptions on; for a topic "
        "that keeps no past.",
        group=RANGE,
        parse=resource_names.pubsub_resource("snapshots"),
        metavar="projects/P/snapshots/S",
    )

    # -- mapping
    attributes: Literal["none", "metadata", "lossless"] = shared(
        "attributes",
        help="As the bridge was told; with none, messages carry nothing to know them by.",
    )
    returns: Literal["drop", "pass"] = shared(
        "returns",
        help="As the bridge was told: what had been at the destination before, and was dropped, "
        "is not missing.",
        default_text="drop",
    )

    # -- Pub/Sub client
    pubsub_endpoint: str = shared("pubsub_endpoint")
    impersonate_service_account: str = shared("impersonate_service_account", help=ACT_AS)

    # -- Kafka client
    kafka_config: Mapping[str, str] = shared("kafka_config")
    kafka_properties: tuple[str, ...] = shared("kafka_properties")
    krb5_conf: str = shared("krb5_conf")
    kafka_client: Literal["auto", "librdkafka", "kafka-python"] = shared("kafka_client")

    # -- output
    idle_seconds: float = shared(
        "idle_seconds",
        help="Pub/Sub has given all that it has when nothing has come for so many seconds.",
        default=10.0,
        group=OUTPUT,
    )
    missing: Path | None = flag(
        None,
        "Write what is missing to this file: as --offsets takes it; of a Pub/Sub source, message "
        "ids with their publish times, and --from and --to around them.",
        group=OUTPUT,
        parse=values.writable_file,
        metavar="FILE",
    )
    json: bool = flag(
        False, "One JSON object on standard output.", group=OUTPUT, parse=values.boolean
    )
    debug: bool = shared("debug", group=OUTPUT)

    # -- what follows from the flags
    client: ClientName
    properties: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def kafka(self) -> KafkaConfig:
        """How to reach the cluster."""
        return KafkaConfig(self.bootstrap_servers, self.client, self.properties)

    @property
    def pubsub(self) -> Service:
        """How to reach Pub/Sub."""
        return Service(self.pubsub_endpoint, self.impersonate_service_account)

    @property
    def from_kafka(self) -> bool:
        """Whether the source is Kafka."""
        return bool(self.kafka_topics)

    @property
    def lossless(self) -> bool:
        """Whether whole records and messages travel packed."""
        return self.attributes == "lossless"


FLAGS = declared(Options)
"""All declarations, in the order of help."""


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Checks a command line; contacts nothing. `--help` prints and exits 0.

    Args:
      argv: the arguments, without the program's name.
      environ: KAFKA_BOOTSTRAP_SERVERS and PUBSUB_EMULATOR_HOST are read from it.
    Raises:
      UsageError: one line that names the flag, what is wrong, and what would be right.
    """
    found = vars(_parser().parse_args(list(argv)))
    value = {f.dest: value_or_default(f, found[f.dest], environ) for f in FLAGS}
    given = {f.dest for f in FLAGS if found[f.dest] is not None}
    kafka = kafka_flags.settle(value, given, "consumer", ("bootstrap_servers", "group_id"))
    flag_rules.check_pubsub(value, flag_rules.emulator(Runner.IN_PROCESS, environ))
    rules.check(value)
    return Options(**value, client=kafka.client, properties=kafka.properties, notes=kafka.notes)


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        usage="%(prog)s --FLAG=VALUE ...",
        description=_WHAT,
        epilog=_STATUS,
        allow_abbrev=False,
    )
    add_flags(parser, FLAGS, KAFKA_TO_PS)
    return parser
