"""The flags of redrive; those that it shares with the bridge are declared there, once."""

# ruff: noqa: RUF009  # flag() and shared() return dataclass fields
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines import flag_rules, flags_of_ends, kafka_flags
from pipelines import flag_values as values
from pipelines.command_line import Parser, add_flags
from pipelines.flag_values import KeySource
from pipelines.flags import KAFKA_TO_PS, Runner, declared, flag
from pipelines.redrive.loop import Selection
from pipelines.shared_flags import ACT_AS, BRIDGE, shared, value_or_default
from transforms.dead_letters.places import Place
from transforms.errors import PoisonError, UsageError
from transforms.kafka.client import ClientName, KafkaConfig
from transforms.kafka.property_table import Role
from transforms.pubsub.service import Service

PROG = "python -m pipelines.redrive"

_WHAT = (
    "Sends dead letters again, bounded, and remembers which: run twice, it sends nothing twice. "
    "Where original and destination are of different systems, the mapping is the bridge's; else "
    "the original is sent as it is."
)
_STATUS = (
    "PUBSUB_EMULATOR_HOST is honoured. Exit status: 0 all that was to be sent is delivered and "
    "remembered, or stopped by a signal; 1 something could not be; 2 wrong usage or a failed check "
    "before anything was read."
)

SELECTION = "what is sent"
OUTPUT = "output"

ERROR_CLASSES = tuple(error.__name__ for error in PoisonError.__subclasses__())
"""What a dead letter can have been given up for."""


def _destination(text: str) -> Place:
    if not text.startswith(("kafka://", "pubsub://")):
        raise ValueError(f"{text!r} is neither kafka://TOPIC nor pubsub://projects/P/topics/T")
    return values.dead_letter_place(text)


def _error_classes(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := sorted(names.difference(ERROR_CLASSES)):
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(ERROR_CLASSES)}")
    return names


@dataclass(frozen=True, kw_only=True)
class Options:
    """A checked command line.

    Attributes:
      source: where the dead letters are.
      destination: where they go; None in a dry run that names none.
      client: the Kafka client that carries the data.
      properties: all Kafka client properties, checked; may hold secrets.
    """

    # -- source and destination
    source: Place = flag(
        None,
        "Where the dead letters are: a Kafka topic, a subscription of a Pub/Sub topic, or a "
        "folder of Avro files.",
        name="from",
        group=flags_of_ends.ENDS,
        parse=values.redrive_source,
        metavar="kafka://T|pubsub://projects/P/subscriptions/S|FOLDER|gs://...|s3://...",
    )
    destination: Place | None = flag(
        None,
        "Where they go; a dry run does without.",
        name="to",
        group=flags_of_ends.ENDS,
        parse=_destination,
        metavar="kafka://T|pubsub://projects/P/topics/T",
    )
    bootstrap_servers: str = shared("bootstrap_servers")
    group_id: str = shared(
        "group_id",
        help="Kafka consumer group whose offsets remember what of kafka://T was redriven.",
        default_text="redrive-T",
    )
    state: str = flag(
        "",
        "The file that remembers what of a folder was redriven.",
        default_text="redriven.json in the folder",
        group=flags_of_ends.ENDS,
        parse=values.shared_file,
        metavar="FILE|gs://...|s3://...",
    )

    # -- mapping
    attributes: Literal["none", "metadata", "lossless"] = shared("attributes")
    ordering_key: Literal["none", "key", "partition"] = shared("ordering_key")
    key: KeySource = shared("key")
    partition: Literal["key", "source"] = shared(
        "partition",
        help=f"{BRIDGE['partition'].help[:-1]}; of a Kafka record, the partition that it was in.",
    )

    # -- what is sent
    error_class: frozenset[str] = flag(
        frozenset(),
        "Only what was given up for these reasons, with commas between them: "
        f"{', '.join(ERROR_CLASSES)}.",
        default_text="all",
        group=SELECTION,
        parse=_error_classes,
        metavar="CLASS[,CLASS]",
    )
    after: int | None = flag(
        None,
        "Only what was given up at this time or later.",
        group=SELECTION,
        parse=values.timestamp_ms,
        metavar="RFC3339",
    )
    before: int | None = flag(
        None,
        "Only what was given up before this time.",
        group=SELECTION,
        parse=values.timestamp_ms,
        metavar="RFC3339",
    )
    max_messages: int | None = shared(
        "max_messages", help="Stop after N messages, delivered or not.", group=SELECTION
    )
    dry_run: bool = flag(
        False,
        "Send nothing and remember nothing: show what would be sent, and why it is here.",
        group=SELECTION,
        parse=values.boolean,
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
    delivery_timeout_s: float = shared("delivery_timeout_s", group=OUTPUT)
    report: Path | None = shared(
        "report", help="Write counts to this file at exit, as JSON.", group=OUTPUT
    )
    debug: bool = shared("debug", group=OUTPUT)

    # -- what follows from the flags
    client: ClientName
    properties: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def kafka(self) -> KafkaConfig:
        """How to reach the cluster."""
        role: Role = "consumer" if self.source.kind == "kafka" else "producer"
        return KafkaConfig(self.bootstrap_servers, self.client, self.properties, role)

    @property
    def pubsub(self) -> Service:
        """How to reach Pub/Sub."""
        return Service(self.pubsub_endpoint, self.impersonate_service_account)

    @property
    def selection(self) -> Selection:
        """Which letters are sent."""
        return Selection(self.error_class, self.after, self.before, self.max_messages)


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
    given = {f.dest for f in FLAGS if found[f.dest] is not None}
    value = {f.dest: value_or_default(f, found[f.dest], environ) for f in FLAGS}
    kafka = kafka_flags.settle(value, given, "producer", ("bootstrap_servers",))
    flag_rules.check_pubsub(value, flag_rules.emulator(Runner.IN_PROCESS, environ))
    _check(value, given)
    if value["source"].kind == "kafka":
        value["group_id"] = value["group_id"] or f"redrive-{value['source'].name}"
    return Options(**value, client=kafka.client, properties=kafka.properties, notes=kafka.notes)


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        usage="%(prog)s --from=DEAD_LETTERS --to=DESTINATION [--FLAG=VALUE ...]",
        description=_WHAT,
        epilog=_STATUS,
        allow_abbrev=False,
    )
    add_flags(parser, FLAGS, KAFKA_TO_PS)
    return parser


def _check(value: Mapping[str, Any], given: Collection[str]) -> None:
    """The rules that tie several flags together.

    Raises:
      UsageError: names the flag to change.
    """
    source: Place | None = value["source"]
    to: Place | None = value["destination"]
    if source is None:
        raise UsageError("--from: missing; redrive needs --from and --to")
    if to is None and not value["dry_run"]:
        raise UsageError("--to: missing; redrive needs --from and --to, or --dry_run")
    if source == to:
        raise UsageError(f"--to: {to.name} is what --from reads; send to another topic")
    for place in filter(None, (source, to)):
        if place.kind == "kafka" and not value["bootstrap_servers"]:
            raise UsageError(f"--bootstrap_servers: missing; kafka://{place.name} needs it")
    meant = {
        "group_id": source.kind == "kafka",
        "state": source.kind == "files",
        "ordering_key": to is None or to.kind == "pubsub",
        "key": to is None or to.kind == "kafka",
        "partition": to is None or to.kind == "kafka",
    }
    for name, means_something in meant.items():
        if name in given and not means_something:
            end = "--from" if name in ("group_id", "state") else "--to"
            raise UsageError(f"--{name}: means nothing with this {end}; leave it out")
    if None not in (value["after"], value["before"]) and value["after"] >= value["before"]:
        raise UsageError("--before: is not later than --after, and leaves nothing")
