"""Google's sink connector: what becomes of each setting in the command of `kafka_to_ps`.

Source: https://github.com/googleapis/java-pubsub-group-kafka-connector, CloudPubSubSinkConnector
"""

from __future__ import annotations

import re
import warnings

from pipelines.migrate.connector import take_google, take_in_flight
from pipelines.migrate.settings import Draft, Kind
from pipelines.migrate.table import Row, Table, apply, boolean, lacks, same

REQUIRED = ("cps.project", "cps.topic")

TABLE: Table = {
    "maxBufferSize": lacks("a request has what comes within --linger_ms, up to 1,000 messages"),
    "maxBufferBytes": lacks("a request has up to 2 MB; a message larger than that goes alone"),
    "maxOutstandingMessages": lacks(
        "what is in flight is bounded in bytes, by --max_in_flight_bytes"
    ),
    "delayThresholdMs": Row(Kind.SAME, flag="linger_ms", at_most=60_000),
    "maxDelayThresholdMs": same("the connector ignores it: it reads delayThresholdMs"),
    "maxRequestTimeoutMs": lacks(
        "the bridge chooses it; all tries together have --delivery_timeout_s"
    ),
    "maxTotalTimeoutMs": Row(
        Kind.DIFFERS,
        "after it the connector's task dies; the bridge first says that it is degraded, and then "
        "ends with exit status 1, to be started again",
        flag="delivery_timeout_s",
        divisor=1000,
        at_least=1,
        at_most=36_000,
    ),
    "maxShutdownTimeoutMs": lacks("a stop delivers what was read, for up to --delivery_timeout_s"),
    "messageBodyName": lacks("it is about structured values; the bridge's data is the whole value"),
    "enableCompression": lacks("requests are not compressed"),
    "compressionBytesThreshold": lacks("requests are not compressed"),
}

_METADATA, _HEADERS = "metadata.publish", "headers.publish"
_FIT = (
    "headers that fit are attributes; what does not (binary, null, repeated, over 1,024 bytes) is "
    "left out, counted and warned of; --attributes=lossless keeps it"
)
_NULL = "at a null header the connector's task dies"
_BESIDE: dict[tuple[bool, bool], str] = {
    (True, True): f"{_FIT}; {_NULL}",
    (True, False): "headers that fit become attributes too, which the connector does not publish",
    (False, True): (
        "kafka.topic, kafka.partition, kafka.offset and kafka.timestamp become attributes too, "
        f"which the connector does not publish; {_FIT}; {_NULL}"
    ),
    (False, False): (
        "the connector's only attribute is `key`; here kafka.topic, kafka.partition, kafka.offset, "
        "kafka.timestamp and headers that fit are attributes too (--attributes=none has none at "
        "all, `key` neither); a record without key and value is an empty message, which the "
        "connector leaves out"
    ),
}


def take(draft: Draft, emulator_host: str) -> None:
    """Takes the settings of a sink.

    Raises:
      UsageError: a value makes no sense.
    """
    own = draft.own
    topic = f"projects/{own.peek('cps.project')}/topics/{own.peek('cps.topic')}"
    draft.flag("pubsub_topic", topic, own, "cps.topic", "cps.project")
    _take_topics(draft)
    _take_attributes(draft)
    _take_ordering_key(draft)
    take_in_flight(draft, "maxOutstandingRequestBytes")
    take_google(draft, emulator_host)
    apply(draft, own, TABLE)


def _take_topics(draft: Draft) -> None:
    own = draft.own
    given = [name for name in ("topics", "topics.regex") if own.peek(name)]
    if len(given) != 1:
        wrong = "is there beside topics.regex" if given else "and topics.regex are missing"
        raise own.error("topics", f"{wrong}; give one of the two")
    if given == ["topics"]:
        names = dict.fromkeys(name.strip() for name in own.peek("topics").split(","))
        draft.flag("kafka_topics", ",".join(filter(None, names)), own, "topics")
    else:
        draft.flag("kafka_topics", _anchored(draft, own.peek("topics.regex")), own, "topics.regex")
        text = (
            "Connect matches whole names by Java's rules; here Python's hold, and ^ and $ are put "
            "around it: compare what --check finds"
        )
        draft.note(Kind.DIFFERS, text, own, "topics.regex")
        if "topics.regex" in own.dropped:
            text = (
                "the file has a single backslash in it, which Java drops from a file of "
                "properties (\\d is the letter d): the connector does without, and so does the "
                "command; if it is meant, put it into the command"
            )
            draft.note_names(Kind.FIRST, text, own, "topics.regex")
    for name in ("topics", "topics.regex"):
        if name in own and not own.peek(name):
            draft.note(Kind.SAME, "it is empty", own, name)


def _anchored(draft: Draft, regex: str) -> str:
    """A regular expression that matches whole names, as Connect has it.

    Raises:
      UsageError: it does not mean the same, or nothing, to Python.
    """
    flags = re.match(r"\(\?([imsx]+)\)", regex)
    body = regex[flags.end() :] if flags else regex
    bare = body.removeprefix("^")
    bare = bare[:-1] if re.search(r"(?<!\\)(\\\\)*\$$", bare) else bare
    anchored = f"^(?{flags[1] if flags else ''}:{bare})$" if flags or "|" in bare else f"^{bare}$"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(anchored)
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:
        raise draft.own.error(
            "topics.regex",
            f"is of Java's kind, and means nothing or something else in Python ({error}); write it "
            "so that it means the same in both",
        ) from None
    return anchored


def _take_attributes(draft: Draft) -> None:
    own = draft.own
    metadata, headers = boolean(own, _METADATA), boolean(own, _HEADERS)
    given = [name for name in (_METADATA, _HEADERS) if name in own]
    unset = [f"{name} (not set: false)" for name in (_METADATA, _HEADERS) if name not in own]
    draft.flags["attributes"] = ["metadata"]
    shown = [own.shown(name) for name in given] + unset
    draft.say(Kind.DIFFERS, _BESIDE[metadata, headers], *shown)
    for name in given:
        own.take(name)


def _take_ordering_key(draft: Draft) -> None:
    own = draft.own
    source = own.peek("orderingKeySource")
    if not source:
        return
    draft.flag("ordering_key", source, own, "orderingKeySource")
    if source == "partition":
        text = (
            "the ordering key is TOPIC/PARTITION, the connector's PARTITION alone: messages before "
            "and after the change have no order to each other"
        )
        draft.note(Kind.DIFFERS, text, own, "orderingKeySource")
    elif source == "key":
        text = (
            "a key that is no UTF-8 of at most 1,024 bytes cannot be an ordering key: its record "
            "is a dead letter, or stops the bridge"
        )
        draft.note(Kind.DIFFERS, text, own, "orderingKeySource")
