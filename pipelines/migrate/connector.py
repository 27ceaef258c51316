"""Settings that sinks and sources share: tasks, errors, transforms, Pub/Sub's end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipelines.migrate.properties import Class, classified, named
from pipelines.migrate.settings import Draft, Kind, Settings, holds_secret
from pipelines.migrate.table import (
    Row,
    Table,
    apply,
    boolean,
    differs,
    lacks,
    number,
    same,
    set_number,
)

CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
EMULATOR = "PUBSUB_EMULATOR_HOST"

_DEFAULT_ENDPOINT = "pubsub.googleapis.com:443"
_FILES = ("gcp.sa.credentials.file.path", "gcp.credentials.file.path")
_JSON = ("gcp.sa.credentials.json", "gcp.credentials.json")

_IN_FLIGHT = Row(Kind.SAME, flag="max_in_flight_bytes", at_least=1_000_000, at_most=8_000_000_000)

_NO_CONVERSION = "it is about conversions and transforms, of which this bridge has none; "

COMMON: Table = {
    "connector.class": same("it is the command"),
    "config.action.reload": lacks("a secret that changes is read when the bridge starts again"),
    "tasks.max.enforce": lacks("a bridge is not cut into tasks"),
    "errors.retry.timeout": differs(
        _NO_CONVERSION + "a write is tried for --delivery_timeout_s, and the bridge then ends"
    ),
    "errors.retry.delay.max.ms": lacks(_NO_CONVERSION + "the bridge chooses the delay of a retry"),
    "errors.log.enable": same("errors are always logged"),
    "errors.log.include.messages": differs(
        "the log has topic, partition and offset, never the content of a message"
    ),
    "errors.deadletterqueue.topic.replication.factor": lacks(
        "the bridge creates no topic for dead letters: it has to be there"
    ),
    "errors.deadletterqueue.context.headers.enable": differs(
        "a dead letter always says why, in itself and in headers `dead_letter.*`"
    ),
    "exactly.once.support": lacks(
        "the bridge writes at least once, idempotently, and without transactions"
    ),
    "transaction.boundary": lacks("the bridge writes without transactions"),
    "transaction.boundary.interval.ms": lacks("the bridge writes without transactions"),
    "offsets.storage.topic": same("the subscription itself holds the position"),
    "topic.creation.groups": lacks("--create_topics=PARTITIONS:REPLICATION makes the one topic"),
}

_CHANGES = re.compile(r"(transforms|predicates)(\..*)?")
_TYPE = re.compile(r"transforms\.[^.]+\.type")
_TRANSFORMS = {
    "RegexRouter": "chooses another topic by name",
    "TimestampRouter": "chooses another topic by date",
    "Filter": "leaves records out",
    "ValueToKey": "makes keys of values",
    "TimestampConverter": "writes times in another way",
    "InsertHeader": "adds headers",
    "DropHeaders": "removes headers",
    "HeaderFrom": "makes headers of fields",
}
_PARTITIONS = "topic.creation.default.partitions"
_REPLICATION = "topic.creation.default.replication.factor"


def take_common(draft: Draft, workers: Sequence[Settings]) -> None:
    """Takes what is the same for sinks and sources.

    Raises:
      UsageError: a value makes no sense.
    """
    _take_tasks(draft)
    _take_errors(draft)
    _take_changes(draft)
    _take_topic_creation(draft, workers)
    apply(draft, draft.own, COMMON)
    for full in draft.own.left():
        role, name = named(full)
        if full.startswith("spec."):
            text = "it is for Strimzi's operator, which does not run the bridge"
            draft.note_names(Kind.LACKS, text, draft.own, full)
        elif classified(name, "") is Class.JAVA and not role:
            draft.note_names(Kind.SAME, "only Java programs read it", draft.own, full)


def _take_tasks(draft: Draft) -> None:
    if "tasks.max" not in draft.own:
        return
    what = "group" if draft.is_sink else "subscription"
    if number(draft.own, "tasks.max") <= 1:
        draft.note(Kind.SAME, f"a bridge is one member of the {what}", draft.own, "tasks.max")
        return
    draft.note(
        Kind.DIFFERS,
        f"one bridge reads the whole {what}; to share the work start the same command more often, "
        "on one machine or on several",
        draft.own,
        "tasks.max",
    )


def _take_errors(draft: Draft) -> None:
    own = draft.own
    letters = "errors.deadletterqueue.topic.name"
    topic = own.peek(letters)
    if topic and draft.is_sink:
        draft.flag("dead_letter", f"kafka://{topic}", own, letters)
        draft.note(
            Kind.DIFFERS,
            "Connect puts records there that it cannot convert, as they were; the bridge those "
            "that can never be delivered, each as an Avro container with the whole record and the "
            "reason (docs/dead_letters.md). The topic's readers see both forms: or give "
            "--dead_letter a new topic",
            own,
            letters,
        )
    elif letters in own:
        draft.note(Kind.SAME, "it means nothing: Connect ignores it too", own, letters)
    if "errors.tolerance" not in own:
        return
    if own.peek("errors.tolerance") != "all":
        kind, text = Kind.SAME, "a record that cannot be delivered stops the bridge"
        if topic and draft.is_sink:
            kind = Kind.DIFFERS
            text = (
                "Connect uses its dead-letter topic only with `all`; the bridge uses --dead_letter"
            )
        draft.note(kind, text, own, "errors.tolerance")
        return
    if topic and draft.is_sink:
        text = (
            "what can never be delivered is a dead letter, also what Pub/Sub refuses, which stops "
            "a connector"
        )
    else:
        text = (
            "Connect drops what it cannot convert; the bridge drops nothing: what can never be "
            "delivered stops it, unless --dead_letter says where it goes"
        )
    draft.note(Kind.DIFFERS, text, own, "errors.tolerance")


def _take_changes(draft: Draft) -> None:
    own = draft.own
    for name in own.left():
        kind = own.peek(name).partition("$")[0].rpartition(".")[2]
        if _TYPE.fullmatch(name) and kind in _TRANSFORMS:
            text = f"it {_TRANSFORMS[kind]}; the bridge does not"
            draft.note(Kind.DIFFERS, text, own, name)
    names = [name for name in own.left() if _CHANGES.fullmatch(name)]
    if names:
        text = "single message transforms change records on their way; this bridge changes none"
        draft.note_names(Kind.DIFFERS, text, own, *names)


def _take_topic_creation(draft: Draft, workers: Sequence[Settings]) -> None:
    own = draft.own
    layout = [own.peek(name) for name in (_PARTITIONS, _REPLICATION)]
    off = any(each.peek("topic.creation.enable").lower() == "false" for each in workers)
    names = [name for name in own.left() if name.startswith("topic.creation.")]
    if names and (draft.is_sink or off):
        why = "a sink makes no topic" if draft.is_sink else "topic.creation.enable=false forbids it"
        draft.note(Kind.SAME, f"Connect makes nothing of it, too: {why}", own, *names)
        return
    if all(re.fullmatch("[1-9][0-9]*", part) for part in layout):
        draft.flag("create_topics", ":".join(layout), own, _PARTITIONS, _REPLICATION)
    names = [name for name in own.left() if re.fullmatch(r"topic\.creation\.\w+\..*", name)]
    if names:
        text = (
            "--create_topics=PARTITIONS:REPLICATION lays out the one topic; else it has the "
            "broker's defaults"
        )
        draft.note(Kind.LACKS, text, own, *names)


# -- Pub/Sub's end ---------------------------------------------------------------------------------


def take_google(draft: Draft, emulator_host: str) -> None:
    """Takes endpoint and credentials.

    Args:
      emulator_host: PUBSUB_EMULATOR_HOST of the worker's environment, or empty.
    Raises:
      UsageError: a value makes no sense.
    """
    own = draft.own
    endpoint = own.peek("cps.endpoint")
    if endpoint and ":" not in endpoint:
        endpoint += ":443"
    if "cps.useEmulator" in own and not draft.is_sink:
        text = "a source does not know it, and reads the service itself; so does the command"
        draft.note(Kind.SAME, text, own, "cps.useEmulator")
    elif boolean(own, "cps.useEmulator"):
        host = emulator_host or endpoint or _DEFAULT_ENDPOINT
        if holds_secret(host):
            raise own.error("cps.endpoint", "has a secret in it; correct it")
        draft.environment[EMULATOR] = host
        text = f"{EMULATOR} stands in front of the command"
        names = [name for name in ("cps.useEmulator", "cps.endpoint") if name in own]
        draft.note(Kind.SAME, text, own, *names)
        endpoint = ""
    elif "cps.useEmulator" in own:
        text = f"the bridge uses the emulator where {EMULATOR} is set, and only there"
        draft.note(Kind.SAME, text, own, "cps.useEmulator")
    if endpoint == _DEFAULT_ENDPOINT:
        draft.note(Kind.SAME, "it is the default", own, "cps.endpoint")
    elif endpoint:
        draft.flag("pubsub_endpoint", endpoint, own, "cps.endpoint")
    _take_credentials(draft)


def _take_credentials(draft: Draft) -> None:
    """A file is named in front of the command; a key that stands in the settings is never shown."""
    own = draft.own
    given = [name for pair in zip(_FILES, _JSON, strict=True) for name in pair if own.peek(name)]
    for name in given[1:]:
        text = f"{given[0]} takes its place"
        if {given[0], name} in ({*pair} for pair in zip(_FILES, _JSON, strict=True)):
            text += "; Google's connector refuses the two together"
        draft.note_names(Kind.SAME, text, own, name)
    if given:
        take_key_file(draft, own, given[0], given[0] in _JSON)
    for name in (*_FILES, *_JSON):
        if name in own and not own.peek(name):
            draft.note_names(Kind.SAME, "it is empty", own, name)


def take_key_file(draft: Draft, settings: Settings, name: str, is_key: bool = False) -> None:
    """Puts a key file in front of the command.

    Args:
      is_key: whether it is the key itself; of one in a path's place that is seen.
    """
    value = settings.take(name)
    placeholder = re.fullmatch(r"\$\{[^{}]*\}", value)
    if is_key or holds_secret(value) or (not placeholder and re.search(r'[{}"\n]', value)):
        text = "put the key into a file that only the bridge's user can read, and set "
        draft.note_names(Kind.FIRST, f"{text}{CREDENTIALS} to its path", settings, name)
    elif "${" in value:
        text = f"set {CREDENTIALS} to the path of the file that it names"
        draft.note_names(Kind.FIRST, text, settings, name)
    else:
        draft.environment[CREDENTIALS] = value
        if not Path(value).is_file():
            text = f"{value} is not here: copy it, and correct its path"
            draft.note_names(Kind.FIRST, text, settings, name)


def take_in_flight(draft: Draft, name: str) -> None:
    """Takes a number of bytes that a task of the connector has under way at most.

    Raises:
      UsageError: it is no number.
    """
    if name not in draft.own:
        return
    if number(draft.own, name) > _IN_FLIGHT.at_most:
        draft.note(
            Kind.DIFFERS,
            "what is in flight is always bounded, by --max_in_flight_bytes",
            draft.own,
            name,
        )
        return
    set_number(draft, draft.own, name, _IN_FLIGHT)
    text = (
        "it counts all that one bridge has read and that is not confirmed; the connector counts it "
        "per task"
    )
    draft.note(Kind.DIFFERS, text, draft.own, name)
