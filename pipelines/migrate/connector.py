"""Settings that every connector has, whatever it does: tasks, errors, transforms."""

from __future__ import annotations

import re

from pipelines.migrate.clients import take_clients
from pipelines.migrate.properties import Class, classified, named
from pipelines.migrate.settings import Draft, Kind
from pipelines.migrate.table import Table, apply, differs, lacks, number, same

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
_PARTITIONS = "topic.creation.default.partitions"
_REPLICATION = "topic.creation.default.replication.factor"


def take_common(draft: Draft) -> None:
    """Takes what is the same for sinks and sources.

    Raises:
      UsageError: a value makes no sense.
    """
    _take_tasks(draft)
    _take_errors(draft)
    _take_changes(draft)
    _take_topic_creation(draft)
    apply(draft, draft.own, COMMON)
    take_clients(draft, draft.own)
    for name in draft.own.left():
        if classified(named(name).name, "") is Class.JAVA and not named(name).role:
            draft.note_names(Kind.SAME, "only Java programs read it", draft.own, name)


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
    names = [name for name in draft.own.left() if _CHANGES.fullmatch(name)]
    if names:
        draft.note_names(
            Kind.LACKS,
            "single message transforms change records on their way; this bridge changes none",
            draft.own,
            *names,
        )


def _take_topic_creation(draft: Draft) -> None:
    own = draft.own
    layout = [own.peek(name) for name in (_PARTITIONS, _REPLICATION)]
    if not draft.is_sink and all(re.fullmatch("[1-9][0-9]*", part) for part in layout):
        draft.flag("create_topics", ":".join(layout), own, _PARTITIONS, _REPLICATION)
    names = [name for name in own.left() if re.fullmatch(r"topic\.creation\.default\..*", name)]
    if names:
        draft.note(
            Kind.LACKS, "a topic that --create_topics makes has the broker's defaults", own, *names
        )
