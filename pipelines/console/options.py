"""The flags of the console; those that it shares with the bridge are declared there, once."""

# ruff: noqa: RUF009  # flag() and shared() return dataclass fields
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipelines import flag_rules, flags_of_ends, kafka_flags
from pipelines import flag_values as values
from pipelines.command_line import Parser, add_flags
from pipelines.console import rules
from pipelines.flag_values import StartAt
from pipelines.flags import KAFKA_TO_PS, Runner, choice, declared, flag
from pipelines.shared_flags import ACT_AS, shared, value_or_default
from transforms.kafka.client import ClientName, KafkaConfig
from transforms.kafka.selection import Selection
from transforms.pubsub.service import Service
from transforms.schema_registry import SchemaRegistry

PROG = "python -m pipelines.console"

_WHAT = (
    "Prints messages of Kafka topics or of a Pub/Sub topic, without a trace: no group is joined, "
    "nothing is committed, and the temporary subscription is deleted at the end. Records go to "
    "standard output, all else to standard error."
)
_STATUS = (
    "PUBSUB_EMULATOR_HOST is honoured. Exit status: 0 done, also where there was nothing to show, "
    "or stopped by Ctrl-C; 1 reading failed; 2 wrong usage or a failed check before anything was "
    "read, such as a missing topic."
)

SHOWN = "what is shown"
FORM = "how it is shown"

DEFAULT_LIMIT = 10
LARGE_BYTES = 256
"""Binary fields above this are cutouts and the like."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """A checked command line.

    Attributes:
      client: the Kafka client that carries the data.
      properties: all Kafka client properties, checked; may hold secrets.
    """

    # -- source
    kafka_topics: tuple[str, ...] = shared(
        "kafka_topics",
        help="Kafka topics to print: names with commas between them; a name with a date in it, "
        "such as ztf_%Y%m%d, is the topic of each night (docs/nights.md); or one ^regex.",
    )
    change_hour: int = shared("change_hour")
    days_back: int = shared(
        "days_back", help="So many nights before tonight are printed beside it."
    )
    bootstrap_servers: str = shared("bootstrap_servers")
    pubsub_topic: str = shared(
        "pubsub_topic",
        help="Pub/Sub topic to print, through a temporary subscription: what it retains, if it "
        "does, or else what is published from now on.",
    )
    subscription: str = shared("subscription", help="Pub/Sub subscription to print; needs --take.")
    take: bool = flag(
        False,
        "Take messages from --subscription: what is shown is acknowledged, and none of its other "
        "readers gets it. There is no looking without taking: what is pulled and given back counts "
        "as a delivery attempt, and comes later than what was behind it.",
        group=flags_of_ends.ENDS,
        parse=values.boolean,
    )

    # -- what is shown
    limit: int | None = flag(
        None,
        "Stop after N.",
        default_text=f"{DEFAULT_LIMIT}; no limit with --follow",
        group=SHOWN,
        parse=values.whole_number,
        metavar="N",
    )
    follow: bool = flag(
        False, "Go on with what comes, until Ctrl-C.", group=SHOWN, parse=values.boolean
    )
    start: StartAt | None = shared(
        "start",
        default=None,
        help="Where to begin. A file of offsets names the partitions to print; Pub/Sub has no "
        "offsets.",
        default_text="of Kafka the newest, as many from each partition; of a Pub/Sub topic the "
        "earliest; with --follow latest",
        group=SHOWN,
    )
    idle_seconds: float = shared(
        "idle_seconds",
        help="Stop when nothing has come from Pub/Sub, or with --start=latest, for so many "
        "seconds.",
        default=10.0,
        group=SHOWN,
    )

    # -- how it is shown
    decode: bool = flag(
        False,
        "Show Avro (object containers, and Confluent's wire format with --schema_registry) and "
        "JSON as indented JSON.",
        group=FORM,
        parse=values.boolean,
    )
    schema_registry: str = shared(
        "schema_registry",
        help="Where the schemas of Confluent's wire format are; any registry with its API.",
        group=FORM,
    )
    schema_registry_login: str = shared("schema_registry_login", group=FORM)
    cutouts: Literal["omit", "show"] | None = choice(
        None,
        f"Leave binary fields over {LARGE_BYTES} bytes out of what is decoded, as <12,345 bytes>; "
        "or show them, in base64.",
        "omit",
        "show",
        bare="omit",
        default_text="omit; show with --json",
        group=FORM,
    )
    json: bool = flag(
        False,
        "One JSON object a line, whole: keys, header values and payloads in base64.",
        group=FORM,
        parse=values.boolean,
    )
    debug: bool = shared("debug", group=FORM)

    # -- Pub/Sub client
    pubsub_endpoint: str = shared("pubsub_endpoint")
    impersonate_service_account: str = shared("impersonate_service_account", help=ACT_AS)

    # -- Kafka client
    kafka_config: Mapping[str, str] = shared("kafka_config")
    kafka_properties: tuple[str, ...] = shared("kafka_properties")
    krb5_conf: str = shared("krb5_conf")
    kafka_client: Literal["auto", "librdkafka", "kafka-python"] = shared("kafka_client")

    # -- what follows from the flags
    client: ClientName
    properties: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def kafka(self) -> KafkaConfig:
        """How to reach the cluster."""
        return KafkaConfig(self.bootstrap_servers, self.client, self.properties)

    @property
    def selection(self) -> Selection:
        """Which Kafka topics these are, by the clock."""
        return Selection(self.kafka_topics, self.change_hour, self.days_back)

    @property
    def pubsub(self) -> Service:
        """How to reach Pub/Sub."""
        return Service(self.pubsub_endpoint, self.impersonate_service_account)

    @property
    def registry(self) -> SchemaRegistry | None:
        """Where schemas are, if that is said."""
        if not self.schema_registry:
            return None
        return SchemaRegistry(self.schema_registry, self.schema_registry_login or None)

    @property
    def largest_bytes(self) -> int | None:
        """Of a binary field that is decoded; None: of any size."""
        cutouts = self.cutouts or ("show" if self.json else "omit")
        return LARGE_BYTES if cutouts == "omit" else None


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
    kafka = kafka_flags.settle(value, given, "consumer", ("bootstrap_servers",))
    flag_rules.check_pubsub(value, flag_rules.emulator(Runner.IN_PROCESS, environ))
    rules.check(value, given)
    if value["limit"] is None and not value["follow"]:
        value["limit"] = DEFAULT_LIMIT
    return Options(**value, client=kafka.client, properties=kafka.properties, notes=kafka.notes)


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        usage="%(prog)s --kafka_topics=T|--pubsub_topic=projects/P/topics/T [--FLAG=VALUE ...]",
        description=_WHAT,
        epilog=_STATUS,
        allow_abbrev=False,
    )
    add_flags(parser, FLAGS, KAFKA_TO_PS)
    return parser
