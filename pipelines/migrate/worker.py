"""Settings of Connect's workers, in properties and in environment variables."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.migrate.connector import CREDENTIALS, EMULATOR, take_key_file
from pipelines.migrate.properties import named
from pipelines.migrate.settings import Draft, Kind, Note, Settings, shown_names
from pipelines.migrate.table import Row, Table, apply, lacks, set_number

_FLUSH = "offset.flush.interval.ms"
_COMMITS = Row(Kind.SAME, flag="commit_interval_s", divisor=1000, at_least=0.001, at_most=3600)

_NOT_NEEDED = {
    re.compile(r"(config|offset|status)\.storage\..*"): (
        "not needed any more: the bridge keeps nothing there, the position is Kafka's or "
        "Pub/Sub's own"
    ),
    re.compile(r"(listeners|rest|admin\.listeners|plugin)(\..*)?"): (
        "not needed any more: a bridge is a process of its own, without a REST interface"
    ),
}
TABLE: Table = {
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
_PROXY = re.compile(r"https?\.(proxy(Host|Port|User|Password)|nonProxyHosts)")
_PROXY_VARIABLE = re.compile(r"((https?|no|all)_proxy)", re.IGNORECASE)
_JAVA_VARIABLE = re.compile(
    r"(KAFKA_(HEAP|JMX|JVM|GC|LOG4J|DEBUG)|JMX_|JAVA_|CLASSPATH$|EXTRA_ARGS$)"
)


def take_jaas(draft: Draft, paths: Sequence[str], workers: Sequence[Settings]) -> str:
    """Names JAAS files in the command, unless workers say the same in a property.

    Returns:
      What takes the place of a JAAS file that KAFKA_OPTS names; empty if nothing does.
    """
    properties = [n for each in workers for n, _ in each.items() if named(n)[1] == _PROPERTY]
    for path in paths:
        if properties:
            draft.of_workers.append(Note(Kind.SAME, (), f"{properties[0]} takes its place", path))
        else:
            draft.add("kafka_properties", path)
    return (properties or [*paths, ""])[0]


def take(draft: Draft, settings: Settings, login: str) -> None:
    """Takes the settings of a worker, but for those of Kafka clients.

    Args:
      login: what takes the place of a JAAS file that KAFKA_OPTS names; or empty.
    Raises:
      UsageError: a value makes no sense.
    """
    _take_variables(draft, settings, login)
    if _FLUSH in settings:
        _take_flush(draft, settings)
    apply(draft, settings, TABLE)
    for pattern, text in _NOT_NEEDED.items():
        if names := [name for name in settings.left() if pattern.fullmatch(name)]:
            draft.note_names(Kind.SAME, text, settings, *names)


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
        take_key_file(draft, settings, CREDENTIALS)
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
        elif _PROXY_VARIABLE.fullmatch(name):
            text = "Java does not look at it; the bridge does, where it is set"
            draft.note_names(Kind.DIFFERS, text, settings, name)
        elif name.startswith("log4j."):
            text = "the bridge logs what there is to know; --debug shows more"
            draft.note_names(Kind.LACKS, text, settings, name)


def _take_options(draft: Draft, settings: Settings, login: str) -> None:
    """The options of the Java machine; of them the log-in concerns the bridge.

    Raises:
      UsageError: quotation marks are not closed.
    """
    options = _java_properties(settings.take("KAFKA_OPTS"))
    if options is None:
        raise settings.error("KAFKA_OPTS", "has a quotation mark that is not closed; correct it")
    _take_proxy(draft, options)
    for option, value in options.items():
        if option == _JAAS and not login:
            draft.flags["kafka_properties"] = [value, *draft.flags.get("kafka_properties", [])]
            _say_missing(draft, settings, option, value)
        elif option == _KRB5:
            draft.flags["krb5_conf"] = [value]
            _say_missing(draft, settings, option, value)
        else:
            kind, text = Kind.SAME, "only Java programs read it"
            if option == _JAAS:
                text = f"{login} takes its place"
            elif _PROXY.fullmatch(option):
                kind = Kind.FIRST
                text = (
                    "the bridge goes by https_proxy (http://USER:PASSWORD@HOST:PORT) and no_proxy"
                )
            shown = tuple(f"KAFKA_OPTS {name}" for name in shown_names([option]))
            draft.of_workers.append(Note(kind, shown, text, settings.where))


def _take_proxy(draft: Draft, options: Mapping[str, str]) -> None:
    """Puts a proxy that wants no password in front of the command."""
    host, port = options.get("https.proxyHost"), options.get("https.proxyPort", "443")
    if host and "https.proxyUser" not in options:
        draft.environment["https_proxy"] = f"http://{host}:{port}"
        if others := options.get("http.nonProxyHosts"):
            draft.environment["no_proxy"] = others.replace("|", ",").replace("*.", ".")


def _java_properties(kafka_opts: str) -> Mapping[str, str] | None:
    """The options of `KAFKA_OPTS`: `-DNAME=VALUE` by NAME, others as they are with no value.

    Returns:
      None where quotation marks are not closed.
    """
    try:
        words = shlex.split(kafka_opts)
    except ValueError:
        return None
    parts = [word.removeprefix("-D").partition("=") for word in words]
    return {name: value for name, _, value in parts}


def _say_missing(draft: Draft, settings: Settings, option: str, path: str) -> None:
    if not Path(path).is_file():
        shown = (f"KAFKA_OPTS {option}",)
        text = f"{path} is not here: copy it, and correct its path in the command"
        draft.of_workers.append(Note(Kind.FIRST, shown, text, settings.where))
