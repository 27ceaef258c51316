"""Settings of Connect's workers, in properties and in environment variables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipelines.migrate import environment
from pipelines.migrate.clients import bootstrap_servers, take_clients
from pipelines.migrate.google import CREDENTIALS, EMULATOR
from pipelines.migrate.properties import Class, classified, named, refusal
from pipelines.migrate.settings import Draft, Kind, Note, Settings
from pipelines.migrate.table import Row, Table, apply, lacks, same, set_number

_FLUSH = "offset.flush.interval.ms"
_COMMITS = Row(Kind.SAME, flag="commit_interval_s", divisor=1000, at_least=0.001, at_most=3600)

_NO_TOPICS = same(
    "not needed any more: the bridge keeps nothing there, the position is Kafka's or Pub/Sub's own"
)
_ONE_PROCESS = same(
    "not needed any more: a bridge is a process of its own, without a REST interface"
)

TABLE: Table = {
    **dict.fromkeys(
        (
            "config.storage.topic",
            "config.storage.replication.factor",
            "offset.storage.topic",
            "offset.storage.partitions",
            "offset.storage.replication.factor",
            "offset.storage.file.filename",
            "status.storage.topic",
            "status.storage.partitions",
            "status.storage.replication.factor",
        ),
        _NO_TOPICS,
    ),
    **dict.fromkeys(
        (
            "listeners",
            "rest.host.name",
            "rest.port",
            "rest.advertised.host.name",
            "rest.advertised.port",
            "rest.advertised.listener",
            "plugin.path",
        ),
        _ONE_PROCESS,
    ),
    "offset.flush.timeout.ms": lacks("a commit has the bridge's own deadlines"),
    "task.shutdown.graceful.timeout.ms": lacks(
        "a stop delivers what was read, for up to --delivery_timeout_s"
    ),
    "topic.creation.enable": lacks(
        "the bridge makes the destination's topic only with --create_topics=PARTITIONS:REPLICATION"
    ),
    "exactly.once.source.support": lacks(
        "the bridge writes at least once, idempotently, and without transactions"
    ),
}

_PROPERTY = "sasl.jaas.config"
_JAAS = "java.security.auth.login.config"
_KRB5 = "java.security.krb5.conf"
_JAVA_VARIABLE = re.compile(
    r"(KAFKA_(HEAP|JMX|JVM|GC|LOG4J|DEBUG)|JMX_|JAVA_|CLASSPATH$|EXTRA_ARGS$)"
)


def take_jaas(draft: Draft, paths: Sequence[str], workers: Sequence[Settings]) -> str:
    """Names JAAS files in the command, unless workers say the same in a property.

    Returns:
      What takes the place of a JAAS file that KAFKA_OPTS names; empty if nothing does.
    """
    properties = [name for each in workers for name, _ in each.items() if _name(name) == _PROPERTY]
    for path in paths:
        if properties:
            draft.of_workers.append(Note(Kind.SAME, (), f"{properties[0]} takes its place", path))
        else:
            draft.add("kafka_properties", path)
    return (properties or [*paths, ""])[0]


def take(draft: Draft, settings: Settings, login: str) -> None:
    """Takes the settings of a worker.

    Args:
      login: what takes the place of a JAAS file that KAFKA_OPTS names; or empty.
    Raises:
      UsageError: a value makes no sense.
    """
    _take_variables(draft, settings, login)
    if _FLUSH in settings:
        _take_flush(draft, settings)
    apply(draft, settings, TABLE)
    refused = refusal(settings.path) if settings.path else ""
    if refused:
        text = (
            f"the bridge cannot read the file as it is ({refused}): what its clients need is in "
            "flags"
        )
        draft.of_workers.append(Note(Kind.DIFFERS, (), text, settings.where))
    elif settings.path:
        _refer(draft, settings)
    take_clients(draft, settings)


def _refer(draft: Draft, settings: Settings) -> None:
    """Names the file in the command; takes what the bridge reads of it."""
    draft.add("kafka_properties", settings.path)
    read = []
    for full, value in settings.items():
        prop = named(full)
        is_servers = full == "bootstrap.servers" and bootstrap_servers(value) == value
        if is_servers or classified(prop.name, value) is Class.CLIENT:
            read.append(full)
    draft.note_names(Kind.SAME, "the bridge reads it from the file itself", settings, *read)
    # Connect looks at that of consumers alone; the bridge would at one without a prefix, too.
    names = [_name(full) for full, _ in settings.items()]
    if draft.is_sink and "auto.offset.reset" in names:
        draft.flags.setdefault("start", ["earliest"])


def _name(full: str) -> str:
    return named(full).name


def _take_flush(draft: Draft, settings: Settings) -> None:
    if draft.is_sink:
        set_number(draft, settings, _FLUSH, _COMMITS)
    else:
        text = (
            "a source acknowledges as soon as the brokers have confirmed, within "
            "--commit_interval_s"
        )
        draft.note(Kind.SAME, text, settings, _FLUSH)


# -- environment variables -------------------------------------------------------------------------


def _take_variables(draft: Draft, settings: Settings, login: str) -> None:
    if CREDENTIALS in draft.environment and CREDENTIALS in settings:
        text = f"{draft.name} has its own"
        draft.note_names(Kind.SAME, text, settings, CREDENTIALS)
    elif settings.peek(CREDENTIALS):
        draft.environment[CREDENTIALS] = settings.take(CREDENTIALS)
    if EMULATOR in settings:
        settings.take(EMULATOR)
        if EMULATOR not in draft.environment:
            text = "Google's connector does not look at it; the bridge does: leave it unset"
            draft.note(Kind.DIFFERS, text, settings, EMULATOR)
    if settings.peek("KAFKA_OPTS"):
        _take_options(draft, settings, login)
    for name in settings.left():
        if name in (CREDENTIALS, "KAFKA_OPTS"):
            draft.note_names(Kind.SAME, "it is empty", settings, name)
        elif _JAVA_VARIABLE.match(name):
            draft.note_names(Kind.SAME, "only Java programs read it", settings, name)
        elif name.startswith("log4j."):
            text = "the bridge logs what there is to know; --debug shows more"
            draft.note_names(Kind.LACKS, text, settings, name)


def _take_options(draft: Draft, settings: Settings, login: str) -> None:
    """The options of the Java machine; of them the log-in concerns the bridge.

    Raises:
      UsageError: quotation marks are not closed.
    """
    options = environment.java_properties(settings.take("KAFKA_OPTS"))
    if options is None:
        raise settings.error("KAFKA_OPTS", "has a quotation mark that is not closed; correct it")
    for option, value in options.items():
        if option == _JAAS and not login:
            draft.flags["kafka_properties"] = [value, *draft.flags.get("kafka_properties", [])]
            _say_missing(draft, settings, option, value)
        elif option == _KRB5:
            draft.flags["krb5_conf"] = [value]
            _say_missing(draft, settings, option, value)
        else:
            text = f"{login} takes its place" if option == _JAAS else "only Java programs read it"
            draft.of_workers.append(
                Note(Kind.SAME, (f"KAFKA_OPTS {option}",), text, settings.where)
            )


def _say_missing(draft: Draft, settings: Settings, option: str, path: str) -> None:
    if not Path(path).is_file():
        shown = (f"KAFKA_OPTS {option}",)
        text = f"{path} is not here: copy it, and correct its path in the command"
        draft.of_workers.append(Note(Kind.FIRST, shown, text, settings.where))
