"""Flags: source and destination, the mapping between them, an archive's files.

See `pipelines.flags.Flag` for what a declaration holds.
"""

# ruff: noqa: RUF009  # flag() and choice() return dataclass fields
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines import flag_values as values
from pipelines import resource_names
from pipelines.flag_values import KeySource, TopicLayout
from pipelines.flags import (
    BACKFILL,
    BRIDGES,
    LIVE_KAFKA,
    MAPS,
    READS_KAFKA,
    READS_PUBSUB,
    WRITES_KAFKA,
    WRITES_PUBSUB,
    choice,
    flag,
    where,
)
from transforms.dead_letters.places import Place

ENDS = "source and destination"
MAPPING = "mapping"
ARCHIVE_FILES = "files of an archive"


@dataclass(frozen=True, kw_only=True)
class EndFlags:
    """The flags, each under its own name."""

    subscription: str = flag(
        "",
        "Pub/Sub subscription to read.",
        group=ENDS,
        where=READS_PUBSUB,
        side="reads pubsub",
        parse=resource_names.pubsub_resource("subscriptions"),
        metavar="projects/P/subscriptions/S",
        template="PUBSUB_SUBSCRIPTION",
    )
    kafka_topic: str = flag(
        "",
        "Kafka topic to write; {attribute:NAME} in it stands for what each message has "
        "(docs/mapping.md).",
        group=ENDS,
        where=WRITES_KAFKA,
        side="writes kafka",
        parse=resource_names.kafka_destination,
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
        "Kafka topics to read: names with commas between them; a name with a date in it, such as "
        "ztf_%Y%m%d, is the topic of each night (docs/nights.md); or one ^regex. New topics are "
        "picked up while running.",
        group=ENDS,
        where=READS_KAFKA,
        parse=resource_names.kafka_topics,
        metavar="T1,T2|^REGEX",
        template="KAFKA_READ_TOPIC",
    )
    change_hour: int = flag(
        0,
        "Hour of UTC at which one night becomes the next. Up to 12, a night begins on its date at "
        "that hour; after 12, on the day before.",
        help_in={
            **dict.fromkeys(LIVE_KAFKA, "Of topics with a date in their names."),
            BACKFILL: "Of --night, or topics with a date in their names.",
        },
        default_text="0",
        group=ENDS,
        where=READS_KAFKA,
        parse=values.whole_number_in(0, 23),
        metavar="H",
        template="NUMBER",
    )
    days_back: int = flag(
        2,
        "How many nights before tonight are read, too, of topics with a date in their names.",
        group=ENDS,
        where=LIVE_KAFKA,
        side="reads kafka",
        parse=values.whole_number_in(0, 366),
        metavar="NIGHTS",
        template="NUMBER",
    )
    group_id: str = flag(
        "",
        "Kafka consumer group: its committed offsets are where a restart goes on.",
        help_in={BACKFILL: "A backfill does not touch it: its own is GROUP_ID-backfill-HASH."},
        group=ENDS,
        where=READS_KAFKA,
        metavar="G",
    )
    pubsub_topic: str = flag(
        "",
        "Pub/Sub topic to write; {kafka.topic} and {attribute:NAME} in its name stand for "
        "what each record has (docs/mapping.md).",
        group=ENDS,
        where=WRITES_PUBSUB,
        side="writes pubsub",
        parse=resource_names.pubsub_destination,
        metavar="projects/P/topics/T",
        template="PUBSUB_TOPIC",
    )
    archive: str = flag(
        "",
        "Folder to keep whole records in, in files that appear when they are complete.",
        help_in={
            **dict.fromkeys(BRIDGES, "They are kept beside the destination."),
            BACKFILL: "Beside another destination, or as the only one.",
        },
        group=ENDS,
        parse=values.folder,
        metavar="FOLDER|gs://...|s3://...",
        template="GCS_WRITE_FOLDER",
    )
    from_archive: str = flag(
        "",
        "Folder of an archive to read; of it --kafka_topics, or all.",
        group=ENDS,
        where=where(BACKFILL),
        parse=values.folder,
        metavar="FOLDER|gs://...|s3://...",
        template="GCS_READ_FOLDER",
    )
    create_subscription_from: str = flag(
        "",
        "Pub/Sub topic to read, of those that keep messages: through a subscription that is made "
        "for the run and deleted when it is finished.",
        group=ENDS,
        where=where(BACKFILL),
        parse=resource_names.pubsub_resource("topics"),
        metavar="projects/P/topics/T",
        template="PUBSUB_TOPIC",
    )
    create_topics: TopicLayout | None = flag(
        None,
        "Create the Kafka topic with these if it is missing; without this a missing topic is an "
        "error, since adding partitions later moves keys.",
        group=ENDS,
        where=WRITES_KAFKA,
        side="writes kafka",
        parse=values.topic_layout,
        metavar="PARTITIONS:REPLICATION",
    )

    dead_letter: Place | None = flag(
        None,
        "Where messages go that can never be delivered, whole and with the reason: a Kafka topic, "
        "a Pub/Sub topic, or a folder of Avro files; without it the first one ends the run with "
        "an error that names it.",
        group=ENDS,
        where=MAPS,
        parse=values.dead_letter_place,
        metavar="kafka://T|pubsub://projects/P/topics/T|FOLDER|gs://...|s3://...",
    )

    attributes: Literal["none", "metadata", "lossless"] = choice(
        "metadata",
        "What travels beside the payload: nothing; or origin, key and headers, as far as they fit; "
        "or whatever is needed to rebuild the message exactly (docs/mapping.md).",
        "none",
        "metadata",
        "lossless",
        group=MAPPING,
        where=MAPS,
    )
    ordering_key: Literal["none", "key", "partition"] = choice(
        "none",
        "What becomes the Pub/Sub ordering key.",
        "none",
        "key",
        "partition",
        group=MAPPING,
        where=WRITES_PUBSUB,
        side="writes pubsub",
    )
    key: KeySource = flag(
        KeySource("auto"),
        "What becomes the Kafka key.",
        default_text="the `key` attribute, else the ordering key",
        group=MAPPING,
        where=WRITES_KAFKA,
        side="writes kafka",
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
        where=WRITES_KAFKA,
        side="writes kafka",
    )

    returns: Literal["drop", "pass"] = choice(
        "drop",
        "What becomes of a message that has been at the destination before: drop it and count it, "
        "known by a marker to which each hop adds its origin; or pass it, and mark nothing.",
        "drop",
        "pass",
        default_text="drop; pass with --attributes=none",
        group=MAPPING,
        where=MAPS,
        parent="attributes=metadata|lossless",
    )

    # -- the archive's files
    format: Literal["avro", "json"] = choice(
        "avro",
        "Whole records, in Avro containers; or JSON Lines for people, with Avro payloads decoded.",
        "avro",
        "json",
        group=ARCHIVE_FILES,
        side="writes archive",
    )
    compression: Literal["zstandard", "deflate", "none"] = choice(
        "zstandard",
        "How the files are compressed.",
        "zstandard",
        "deflate",
        "none",
        group=ARCHIVE_FILES,
        side="writes archive",
    )
    file_bytes: int = flag(
        256_000_000,
        "A file is closed when it holds so many bytes of payload.",
        default_text="256MB",
        group=ARCHIVE_FILES,
        side="writes archive",
        parse=values.size_bytes(at_least=1_000_000, at_most=8_000_000_000),
        metavar="SIZE",
    )
    file_seconds: float = flag(
        60.0,
        "A file is closed after so long; what is in it is committed or acknowledged then.",
        group=ARCHIVE_FILES,
        side="writes archive",
        parse=values.number(at_least=1, at_most=3600),
        metavar="S",
        template="NUMBER",
    )
    schema_registry: str = flag(
        "",
        "Confluent schema registry, for --format=json.",
        group=ARCHIVE_FILES,
        side="writes archive",
        parse=values.http_url,
        metavar="http(s)://...",
        parent="format=json",
    )
    schema_registry_login: str = flag(
        "",
        "A reference to USER:PASSWORD for the schema registry.",
        group=ARCHIVE_FILES,
        side="writes archive",
        parse=values.secret_reference,
        metavar="env:NAME|file:PATH|secret:projects/P/secrets/S/versions/V",
        parent="format=json",
    )
