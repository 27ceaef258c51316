"""Names of brokers, topics and subscriptions, by the rules of Kafka and Pub/Sub. Pure.

What a name must be is checked by functions that raise ValueError, as in `pipelines.flag_values`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from transforms import destinations, nights, topic_names

# -- Kafka --------------------------------------------------------------------------------------


_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?):([0-9]{1,5})")


def host_ports(text: str) -> str:
    """`HOST:PORT[,HOST:PORT...]`, an IPv6 address in brackets."""
    for server in text.split(","):
        match = _HOST.fullmatch(server)
        if not match or not 0 < int(match[3]) < 65536:
            raise ValueError(f"{server!r} is not HOST:PORT; for example broker.example.org:9092")
    return text


def kafka_topic(text: str) -> str:
    """A topic name by Kafka's rule: 1 to 249 of `[A-Za-z0-9._-]`, neither `.` nor `..`."""
    topic_names.check("kafka", text)
    return text


def kafka_destination(text: str) -> str:
    """A topic's name, or a template of names (see `transforms.destinations`)."""
    return destinations.parse("kafka", text).text


_MANAGED = re.compile(r"projects/([^/]+)/locations/([^/]+)/clusters/([^/]+)/topics/([^/]+)")


def brokers_and_topics(text: str) -> tuple[str, str]:
    """Takes apart what the form of a Dataflow template makes of brokers and topics together:
    `H:PORT[,H:PORT...];TOPICS`, or the resource of a topic in Google's Managed Service for Apache
    Kafka. Brokers are empty where a text is topics alone."""
    if match := _MANAGED.fullmatch(text):
        project, location, cluster, topic = match.groups()
        return f"bootstrap.{cluster}.{location}.managedkafka.{project}.cloud.goog:9092", topic
    brokers, semicolon, topics = text.partition(";")
    if semicolon and all(map(_HOST.fullmatch, brokers.split(","))):
        return brokers, topics
    return "", text


def kafka_topics(text: str) -> tuple[str, ...]:
    """Topic names with commas between them, of which some may have a date for that of each night;
    or one `^regex`, which may hold commas itself."""
    if text.startswith("^"):
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"{text!r} is not a regular expression: {error}") from None
        return (text,)
    names = text.split(",")
    if any(name.strip().startswith("^") for name in names):
        raise ValueError(f"{text!r} mixes names with a ^regex; a ^regex stands alone")
    for name in names:
        kafka_topic(_of_some_night(name) if nights.is_template(name) else name)
    if len(set(names)) < len(names):
        raise ValueError(f"{text!r} names a topic twice")
    return tuple(names)


def _of_some_night(template: str) -> str:
    nights.check_template(template)
    [name] = nights.names([template], date(2000, 1, 1))
    return name


def matches(topics: tuple[str, ...], topic: str) -> bool:
    """Whether a topic belongs to a selection, at some time: a list of names, or one `^regex`."""
    if topics and topics[0].startswith("^"):
        return re.match(topics[0], topic) is not None
    templates = [name for name in topics if nights.is_template(name)]
    return topic in topics or nights.date_of(templates, topic) is not None


# -- Pub/Sub ------------------------------------------------------------------------------------


def pubsub_resource(collection: str) -> Callable[[str], str]:
    """`projects/P/<collection>/NAME`, NAME by Pub/Sub's rule."""

    def parse(text: str) -> str:
        match = re.fullmatch(f"projects/{topic_names.PROJECT}/{collection}/(.*)", text)
        if not match:
            raise ValueError(f"{text!r} is not projects/PROJECT/{collection}/NAME")
        pubsub_name(match[1])
        return text

    return parse


def pubsub_destination(text: str) -> str:
    """`projects/P/topics/T`, T a name or a template of names (see `transforms.destinations`)."""
    return destinations.parse("pubsub", text).text


def pubsub_name(name: str) -> None:
    """Checks the last part of a resource's name."""
    topic_names.check("pubsub", name)


def pubsub_endpoint(text: str) -> str:
    """`HOST:PORT` from `HOST[:PORT]`; the port is that of HTTPS unless another is given."""
    for candidate in (text, f"{text}:443"):
        match = _HOST.fullmatch(candidate)
        if match and 0 < int(match[3]) < 65536:
            return candidate
    raise ValueError(f"{text!r} is not HOST[:PORT]; for example us-central1-pubsub.googleapis.com")


def service_accounts(text: str) -> str:
    """Service accounts with commas between them, each by its email or its number."""
    for account in text.split(","):
        if not re.fullmatch(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+|[0-9]+", account):
            raise ValueError(
                f"{account!r} is not a service account; for example "
                "bridge@my-project.iam.gserviceaccount.com"
            )
    return text
