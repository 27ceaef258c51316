"""From the files of a Connect installation to commands, and all there is to know about them."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from pipelines import options
from pipelines.flags import KAFKA_TO_PS, PS_TO_KAFKA, Pipeline
from pipelines.migrate import connector, sink, source, worker
from pipelines.migrate.clients import take_clients
from pipelines.migrate.connector import EMULATOR
from pipelines.migrate.converters import take_converters
from pipelines.migrate.files import CLASS, Files
from pipelines.migrate.settings import Draft, Kind, Note, Settings, holds_secret, shown_names
from transforms.errors import UsageError

_PIPELINES: Mapping[str, Pipeline] = {
    "CloudPubSubSinkConnector": KAFKA_TO_PS,
    "CloudPubSubSink": KAFKA_TO_PS,
    "CloudPubSubSourceConnector": PS_TO_KAFKA,
    "CloudPubSubSource": PS_TO_KAFKA,
}
"""Connect takes a class's full name, its last part, and that without `Connector`."""

_PACKAGE = "com.google.pubsub.kafka."
_LITE = "PubSubLite"
_MOST_COMPARED = 20
_OF_GOOGLE = (
    *(
        "metadata.publish",
        "headers.publish",
        "orderingKeySource",
        "cps.endpoint",
        "cps.useEmulator",
    ),
    *("kafka.key.attribute", "kafka.partition.scheme", "kafka.partition.count"),
    *("kafka.record.headers", "cps.makeOrderingKeyAttribute", "cps.streamingPull.enabled"),
    *("gcp.credentials.file.path", "errors.deadletterqueue.topic.name", "errors.tolerance"),
    *(*sink.TABLE, *source.TABLE, *connector.COMMON),
)
"""Settings that a misspelt one may mean."""

_LOOPS = (
    "messages are marked with where they have been (`bridge.origins`), and one that has been at "
    "the destination before is dropped and counted; --returns=pass: neither"
)


@dataclass(frozen=True)
class Command:
    """The command that does what a connector did.

    Attributes:
      connector: its name.
      where: the file that configures it.
      environment: variables to set for the command.
      argv: the flags of `python -m pipelines.<pipeline>`.
      notes: all there is to know about the connector's settings, and about those of workers which
        mean something else to other connectors.
      known: values of environment variables that the flags name, as far as the files have them.
    """

    connector: str
    where: str
    pipeline: Pipeline
    environment: Mapping[str, str]
    argv: tuple[str, ...]
    notes: tuple[Note, ...]
    known: Mapping[str, str] = field(repr=False)

    @property
    def lines(self) -> list[str]:
        """As a shell takes it, one flag a line, without the backslashes between them."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        first = " ".join([*variables, f"python -m pipelines.{self.pipeline}"])
        return [first, *map(shlex.quote, self.argv)]


@dataclass(frozen=True)
class Migration:
    """What becomes of an installation.

    Attributes:
      of_workers: notes about the settings of workers which hold for all commands.
      unsupported: a line each about connectors of other kinds.
      errors: a line each about connectors whose settings are incomplete, or make no sense.
    """

    commands: tuple[Command, ...]
    of_workers: tuple[Note, ...]
    unsupported: tuple[str, ...]
    errors: tuple[str, ...]


def translate(files: Files, environ: Mapping[str, str]) -> Migration:
    """Makes one command of each connector.

    Args:
      environ: KAFKA_BOOTSTRAP_SERVERS may stand in for a worker's bootstrap.servers.
    Raises:
      UsageError: there is no connector that can be migrated, a setting is missing, or makes no
        sense.
    """
    unsupported = list(files.odd)
    drafts: list[Draft] = []
    errors: list[UsageError] = []
    for own in files.connectors:
        pipeline = _pipeline(own.peek(CLASS))
        if pipeline is None:
            unsupported.append(_unsupported(own))
            continue
        try:
            drafts.append(_draft(pipeline, own, files, environ))
        except UsageError as error:
            errors.append(error)
    if not drafts and errors:
        raise errors[0] if len(errors) == 1 else UsageError("; ".join(map(str, errors)))
    if not drafts:
        found = "; ".join(unsupported) or "no connector is configured in these files"
        raise UsageError(
            f"{found}; give the settings of a CloudPubSubSinkConnector or "
            "CloudPubSubSourceConnector"
        )
    common = set.intersection(*(set(draft.of_workers) for draft in drafts))
    shared = [note for note in dict.fromkeys(drafts[0].of_workers) if note in common]
    commands = tuple(_command(draft, shared, environ) for draft in drafts)
    return Migration(commands, tuple(shared), tuple(unsupported), tuple(map(str, errors)))


def _pipeline(name: str) -> Pipeline | None:
    package, dot, simple = name.rpartition(".")
    if dot and not f"{package}.".startswith(_PACKAGE):
        return None
    return _PIPELINES.get(simple)


def _unsupported(own: Settings) -> str:
    name, kind = own.peek("name") or "a connector", own.peek(CLASS)
    kind = "its class" if holds_secret(kind) else kind
    what = "is one for Pub/Sub Lite, another service" if _LITE in kind else "is not one for Pub/Sub"
    left_out = ", ".join(shown_names([n for n in own.left() if n not in ("name", CLASS)]))
    return f"{own.where}: {name} is not migrated: {kind} {what} (left out: {left_out or 'nothing'})"


def _draft(pipeline: Pipeline, own: Settings, files: Files, environ: Mapping[str, str]) -> Draft:
    draft = Draft(pipeline, own.peek("name") or own.where, own.fresh())
    workers = [each.fresh() for each in files.workers]
    _require(draft, workers, environ)
    if draft.is_sink and own.peek("name"):
        draft.flag("group_id", f"connect-{own.peek('name')}", draft.own, "name")
    login = worker.take_jaas(draft, files.jaas, workers)
    emulator_host = next((each.peek(EMULATOR) for each in workers if EMULATOR in each), "")
    take_converters(draft, workers)
    (sink if draft.is_sink else source).take(draft, emulator_host)
    for each in workers:
        worker.take(draft, each, login)
    connector.take_common(draft, workers)
    take_clients(draft, workers)
    if "name" in own and draft.flags.get("group_id") != [f"connect-{own.peek('name')}"]:
        draft.note(Kind.SAME, "the command needs no name", draft.own, "name")
    _say_unknown(draft, [draft.own, *workers])
    for value in (*draft.argv, *draft.environment.values()):
        if not value.isprintable():
            shown = value.partition("=")[0] if value.startswith("--") else "a variable's value"
            raise UsageError(f"read {draft.own.where}: {shown} has control characters; correct it")
    return draft


def _require(draft: Draft, workers: Sequence[Settings], environ: Mapping[str, str]) -> None:
    """Checks that the settings are there without which there is no command.

    Raises:
      UsageError: names all that are missing.
    """
    own = draft.own
    required = (sink if draft.is_sink else source).REQUIRED
    missing = [name for name in required if not own.peek(name)]
    role = "consumer" if draft.is_sink else "producer"

    def is_there(name: str, *prefixes: str) -> bool:
        in_workers = any(each.peek(f"{p}{name}") for each in workers for p in prefixes)
        return in_workers or bool(own.peek(f"{role}.override.{name}"))

    if draft.is_sink and not own.peek("name") and not is_there("group.id", f"{role}."):
        missing.append("name (of which the group is made)")
    by_environment = environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not is_there("bootstrap.servers", "", f"{role}.") and not by_environment:
        missing.append(
            "bootstrap.servers (give the worker's file too, or set KAFKA_BOOTSTRAP_SERVERS)"
        )
    if missing:
        raise UsageError(
            f"read {own.where}: connector {draft.name!r}: {', '.join(missing)}: missing; add "
            "what is missing"
        )


def _say_unknown(draft: Draft, all_settings: Sequence[Settings]) -> None:
    for settings in all_settings:
        text = "nothing is made of it"
        left = settings.left()
        for name in left[:_MOST_COMPARED] if settings is draft.own else ():
            if close := difflib.get_close_matches(name, _OF_GOOGLE, 1, 0.8):
                draft.note_names(Kind.UNKNOWN, f"{text}; {close[0]} is known", settings, name)
        if names := settings.left():
            draft.note_names(Kind.UNKNOWN, text, settings, *names)


def _command(draft: Draft, shared: Sequence[Note], environ: Mapping[str, str]) -> Command:
    everywhere = set(shared)
    own_only = [note for note in draft.of_workers if note not in everywhere]
    first = [Note(Kind.FIRST, (), _stop(draft))]
    try:
        options.parse(draft.pipeline, draft.argv, {**environ, "BRIDGE_DEMO": "off"})
    except UsageError as error:
        first.append(Note(Kind.FIRST, (), f"the bridge refuses the command as it stands: {error}"))
    return Command(
        draft.name,
        draft.own.where,
        draft.pipeline,
        draft.environment,
        tuple(draft.argv),
        (*first, *draft.notes, *own_only, Note(Kind.DIFFERS, (), _LOOPS)),
        draft.known,
    )


def _stop(draft: Draft) -> str:
    """What has to be done with the connector before the bridge begins."""
    how = (
        f"stop the connector (PUT /connectors/{quote(draft.name, safe='')}/stop, in Connect before "
        "3.5 DELETE it; or end the standalone worker)"
    )
    if draft.is_sink:
        group = draft.flags["group_id"][0]
        return (
            f"{how}: a connector that is only paused stays a member of the group {group}, from "
            "whose committed offsets the bridge goes on"
        )
    return f"{how}: the bridge goes on with what the subscription has not had acknowledged"
