"""Kafka client properties of workers and connectors: which of them holds.

Connect gives the clients of a connector what begins with `consumer.` (a sink's) or `producer.` (a
source's, and a sink's for dead letters) in the worker's settings, and over it what begins with
`consumer.override.` in the connector's. Of those without a prefix they have `bootstrap.servers`
alone; the rest is for the worker's own clients. The bridge reads those without a prefix for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipelines.migrate.properties import (
    AS_FLAGS,
    MAY_BE_EMPTY,
    OF_TLS,
    PROVIDER,
    Class,
    ClientSetting,
    bootstrap_servers,
    classified,
    missing,
    named,
    refusal,
    written,
)
from pipelines.migrate.settings import Draft, Kind, Note, Settings, check, holds_secret
from pipelines.migrate.table import set_number
from transforms.kafka import jaas
from transforms.kafka.property_table import BY_NAME, LOGIN, OWNED, REFUSED


def take_clients(draft: Draft, workers: Sequence[Settings]) -> None:
    """Takes all that is for Kafka clients, in workers and in the connector.

    Raises:
      UsageError: a value makes no sense.
    """
    has_jaas_file = "kafka_properties" in draft.flags
    files = _name_files(draft, workers)
    found = [
        ClientSetting(settings, full, *named(full))
        for settings in (*workers, draft.own)
        for full in settings.left()
        if settings is not draft.own or ".override." in full
    ]
    by_name: dict[str, list[ClientSetting]] = {}
    for setting in found:
        if setting.role and setting.settings is not draft.own and ".override." in setting.full:
            kind = Kind.DIFFERS if setting.settings in files else Kind.SAME
            text = "Connect reads it in a connector alone; the bridge in its files, too"
            draft.note_names(kind, text, setting.settings, setting.full)
        elif setting.value or setting.name in MAY_BE_EMPTY:
            by_name.setdefault(setting.name, []).append(setting)
        elif classified(setting.name, "") is not Class.UNKNOWN:
            draft.note_names(Kind.SAME, "it is empty", setting.settings, setting.full)
    taker = _Taker(draft, by_name, files)
    for setting in found:
        if setting in by_name.get(setting.name, ()):
            taker.take(setting)
    taker.say_what_stands_without_a_prefix()
    taker.say_isolation()
    if not has_jaas_file and not by_name.keys() & {"sasl.jaas.config", *jaas.PROPERTIES}:
        taker.say_no_login()


def _name_files(draft: Draft, workers: Sequence[Settings]) -> list[Settings]:
    """Names workers' files in the command, if the bridge can read all that workers say; else what
    one of them says without a prefix would, as a flag, win over what a file says with one."""
    refusals = [refusal(each) for each in workers]
    if not any(why and _has_client(each) for each, why in zip(workers, refusals, strict=True)):
        files = [each for each, why in zip(workers, refusals, strict=True) if not why]
        for each in files:
            draft.add("kafka_properties", each.path)
            # Connect looks at that of consumers alone; the bridge would at one for all, too.
            if draft.is_sink and any(named(n)[1] == "auto.offset.reset" for n, _ in each.items()):
                draft.flags.setdefault("start", ["earliest"])
        return files
    for each, why in zip(workers, refusals, strict=True):
        if each.path:
            why = why or "another one has to be in flags"
            text = f"the bridge cannot read the file as it is ({why}): what its clients need is in "
            text += "flags; a copy without such lines could be named as it is"
            draft.of_workers.append(Note(Kind.DIFFERS, (), text, each.where))
    return []


def _has_client(settings: Settings) -> bool:
    kinds = (classified(named(full)[1], "") for full, _ in settings.items())
    return any(kind in (Class.FLAG, Class.CLIENT) for kind in kinds)


class _Taker:
    """Takes one setting after the other.

    Args:
      by_name: all settings of each property.
      files: those that the command names.
    """

    def __init__(
        self,
        draft: Draft,
        by_name: Mapping[str, Sequence[ClientSetting]],
        files: Sequence[Settings],
    ) -> None:
        self._draft, self._by_name, self._files = draft, by_name, files
        self._carrying = "consumer" if draft.is_sink else "producer"
        self._roles = [self._carrying]
        if draft.is_sink and "dead_letter" in draft.flags:
            self._roles.append("producer")

    def take(self, setting: ClientSetting) -> None:
        """Puts it into the command, or says why not."""
        kind = classified(setting.name, setting.value)
        if kind is Class.UNKNOWN:
            return
        if setting.role not in ("", "admin", *self._roles):
            self._say(Kind.SAME, "this connector does not use it", setting)
        elif kind is Class.FLAG:
            self._take_flag(setting)
        elif kind is Class.CLIENT:
            self._take_client(setting)
        elif kind is Class.OWNED:
            self._take_owned(setting)
        elif kind is Class.ALWAYS:
            self._say(Kind.SAME, "the bridge always does so", setting)
        elif kind is Class.REFUSED:
            self._say(Kind.LACKS, REFUSED[setting.name].reason, setting)
        elif setting.name in OF_TLS:
            self._say(Kind.LACKS, "the bridge takes the versions and ciphers of OpenSSL", setting)
        elif setting.settings is not self._draft.own or setting.role:
            self._say(Kind.SAME, "only Java programs read it", setting)

    def _holds(self, name: str, role: str) -> ClientSetting | None:
        """What holds for a role: the connector's, else what workers say for it, else for all."""
        found = [setting for setting in self._by_name.get(name, ()) if setting.role in ("", role)]
        ranked = sorted(found, key=self._rank)
        return ranked[-1] if ranked else None

    def _rank(self, setting: ClientSetting) -> int:
        return 2 if setting.settings is self._draft.own else bool(setting.role)

    def _say(self, kind: Kind, text: str, *settings: ClientSetting) -> None:
        for setting in settings:
            self._draft.note_names(kind, text, setting.settings, setting.full)

    def _replaced(self, setting: ClientSetting, winner: ClientSetting) -> None:
        where = "" if winner.settings is setting.settings else f" of {winner.settings.where}"
        self._say(Kind.SAME, f"{winner.full}{where} takes its place", setting)

    def _take_flag(self, setting: ClientSetting) -> None:
        """The brokers, the group, or where it begins."""
        draft, holds = self._draft, self._holds(setting.name, self._carrying)
        servers = setting.name == "bootstrap.servers"
        used = setting.role == self._carrying and (servers or draft.is_sink)
        if not setting.role and setting.name == "group.id":
            whose = "a sink's is `connect-NAME`" if draft.is_sink else "a source has none"
            self._say(Kind.SAME, f"it is not the group of a connector: {whose}", setting)
        elif holds is None or not (used or (servers and not setting.role)):
            self._say(Kind.SAME, "this connector does not use it", setting)
        elif holds is not setting:
            self._replaced(setting, holds)
        elif setting.name == "auto.offset.reset":
            self._take_start(setting)
        elif not servers:
            draft.flag("group_id", setting.value, setting.settings, setting.full)
        elif (value := bootstrap_servers(setting.value)) != setting.value or (
            setting.role or setting.settings not in self._files
        ):
            draft.flag("bootstrap_servers", value, setting.settings, setting.full)
        else:
            check("bootstrap_servers", value, setting.settings, setting.full)
            self._from_file(setting)

    def _from_file(self, setting: ClientSetting) -> None:
        self._say(Kind.SAME, "the bridge reads it from the file itself", setting)

    def _take_start(self, setting: ClientSetting) -> None:
        draft, value = self._draft, setting.value.lower()
        if value in ("earliest", "latest"):
            draft.flag("start", value, setting.settings, setting.full)
        if value == "latest":
            text = (
                "it is for partitions that are there at the first start; one that comes later is "
                "read from its beginning, so that nothing is passed over"
            )
            draft.note(Kind.DIFFERS, text, setting.settings, setting.full)
        elif value != "earliest":
            text = (
                "a partition without a committed offset begins at --start=earliest, instead of "
                "with an error"
            )
            draft.note(Kind.DIFFERS, text, setting.settings, setting.full)

    def _take_client(self, setting: ClientSetting) -> None:
        winners = [self._holds(setting.name, role) for role in self._roles]
        if setting not in winners and setting.role != "admin":
            self._replaced(setting, next(each for each in winners if each is not None))
        elif setting.settings in self._files:
            self._from_file(setting)
            self._say_missing(setting)
        elif setting.role and (same := self._same_for_all(setting, winners)):
            self._say(Kind.SAME, f"it says the same as {same.full}", setting)
        elif not setting.role and setting.name not in LOGIN:
            text = "a connector's clients do not read it: it is for the worker's own"
            self._say(Kind.SAME, text, setting)
        else:
            self._hand_on(setting)

    def _same_for_all(
        self, setting: ClientSetting, winners: Sequence[ClientSetting | None]
    ) -> ClientSetting | None:
        return next((w for w in winners if w and not w.role and w.value == setting.value), None)

    def _hand_on(self, setting: ClientSetting) -> None:
        draft, settings, full = self._draft, setting.settings, setting.full
        mechanism = self._holds("sasl.mechanism", setting.role or self._carrying)
        try:
            values, variable = written(setting, mechanism.value if mechanism else "")
        except ValueError as error:
            raise settings.error(full, f"is not understood: {error}") from None
        settings.take(full)
        for name, text in values.items():
            if not text.isprintable():
                raise settings.error(full, "has control characters; correct it")
            draft.client(name, text)
        if variable:
            if settings.variables.get(full) == variable:
                todo = f"keep {variable} in the bridge's environment"
            elif "${" in setting.value and not PROVIDER.fullmatch(setting.value):
                todo = (
                    f"set {variable} in the bridge's environment to its value, with what stands "
                    "for ${...} filled in"
                )
            else:
                todo = f"set {variable} in the bridge's environment to its value"
            draft.note_names(Kind.FIRST, todo, settings, full)
            if "${" not in setting.value:
                draft.known[variable] = setting.value
        self._say_missing(setting)

    def _say_missing(self, setting: ClientSetting) -> None:
        for path in missing(setting):
            shown = "the file that it names" if holds_secret(path) else path
            text = f"{shown} is not here: copy it, and correct its path"
            self._say(Kind.FIRST, text, setting)

    def _take_owned(self, setting: ClientSetting) -> None:
        row = AS_FLAGS.get((setting.role, setting.name)) if setting.role == self._carrying else None
        holds = self._holds(setting.name, self._carrying)
        if row is None:
            self._say(Kind.LACKS, OWNED[setting.name], setting)
        elif holds is not setting and holds is not None:
            self._replaced(setting, holds)
        else:
            set_number(self._draft, setting.settings, setting.full, row)

    def say_what_stands_without_a_prefix(self) -> None:
        """Says what the bridge reads for all, and the connector's clients did not."""
        protocol = self._holds("security.protocol", self._carrying)
        secured = protocol is not None and protocol.value.upper() != "PLAINTEXT"
        prefix = f"{self._carrying}."
        for setting in self._plain_that_hold():
            if setting.name not in LOGIN:
                if setting.settings in self._files:
                    text = (
                        f"the bridge reads it, from the file; the connector did not, for want of "
                        f"`{prefix}` in front of it"
                    )
                    self._say(Kind.DIFFERS, text, setting)
            elif secured:
                text = (
                    f"without `{prefix}` in front it is for the worker's own clients: the "
                    "connector could not log in with it; the bridge does"
                )
                self._say(Kind.DIFFERS, text, setting)

    def _plain_that_hold(self) -> Iterator[ClientSetting]:
        for name in self._by_name:
            setting = self._holds(name, self._carrying)
            if setting and not setting.role and classified(name, "") is Class.CLIENT:
                role = BY_NAME[name].roles if name in BY_NAME else (self._carrying,)
                if self._carrying in role:
                    yield setting

    def say_no_login(self) -> None:
        """Says that the files have a mechanism, and nobody to log in with it."""
        setting = self._holds("security.protocol", self._carrying)
        if setting and setting.value.upper().startswith("SASL"):
            text = "who logs in is in none of these files: give the JAAS file, too"
            self._say(Kind.FIRST, text, setting)

    def say_isolation(self) -> None:
        """Says what the connector's consumer reads, and the bridge's does not."""
        setting = self._holds("isolation.level", "consumer")
        read = setting and (setting.role or setting.settings in self._files)
        if self._draft.is_sink and not read:
            text = (
                "the connector carries the records of aborted transactions, too; the bridge waits "
                "for a commit and leaves those out, unless "
                "--kafka_config=consumer.isolation.level=read_uncommitted is given"
            )
            self._draft.say(Kind.DIFFERS, text, "isolation.level (not set: read_uncommitted)")
