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
    Place,
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
    places = [
        Place(settings, full, *named(full))
        for settings in (*workers, draft.own)
        for full in settings.left()
        if settings is not draft.own or ".override." in full
    ]
    by_name: dict[str, list[Place]] = {}
    for place in places:
        if place.role and place.settings is not draft.own and ".override." in place.full:
            kind = Kind.DIFFERS if place.settings in files else Kind.SAME
            text = "Connect reads it in a connector alone; the bridge in its files, too"
            draft.note_names(kind, text, place.settings, place.full)
        elif place.value or place.name in MAY_BE_EMPTY:
            by_name.setdefault(place.name, []).append(place)
        elif classified(place.name, "") is not Class.UNKNOWN:
            draft.note_names(Kind.SAME, "it is empty", place.settings, place.full)
    taker = _Taker(draft, by_name, files)
    for place in places:
        if place in by_name.get(place.name, ()):
            taker.take(place)
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
    """Takes one place after the other.

    Args:
      by_name: all places of each property.
      files: those that the command names.
    """

    def __init__(
        self, draft: Draft, by_name: Mapping[str, Sequence[Place]], files: Sequence[Settings]
    ) -> None:
        self._draft, self._by_name, self._files = draft, by_name, files
        self._carrying = "consumer" if draft.is_sink else "producer"
        self._roles = [self._carrying]
        if draft.is_sink and "dead_letter" in draft.flags:
            self._roles.append("producer")

    def take(self, place: Place) -> None:
        """Puts it into the command, or says why not."""
        kind = classified(place.name, place.value)
        if kind is Class.UNKNOWN:
            return
        if place.role not in ("", "admin", *self._roles):
            self._say(Kind.SAME, "this connector does not use it", place)
        elif kind is Class.FLAG:
            self._take_flag(place)
        elif kind is Class.CLIENT:
            self._take_client(place)
        elif kind is Class.OWNED:
            self._take_owned(place)
        elif kind is Class.ALWAYS:
            self._say(Kind.SAME, "the bridge always does so", place)
        elif kind is Class.REFUSED:
            self._say(Kind.LACKS, REFUSED[place.name].reason, place)
        elif place.name in OF_TLS:
            self._say(Kind.LACKS, "the bridge takes the versions and ciphers of OpenSSL", place)
        elif place.settings is not self._draft.own or place.role:
            self._say(Kind.SAME, "only Java programs read it", place)

    def _holds(self, name: str, role: str) -> Place | None:
        """What holds for a role: the connector's, else what workers say for it, else for all."""
        found = [place for place in self._by_name.get(name, ()) if place.role in ("", role)]
        ranked = sorted(found, key=self._rank)
        return ranked[-1] if ranked else None

    def _rank(self, place: Place) -> int:
        return 2 if place.settings is self._draft.own else bool(place.role)

    def _say(self, kind: Kind, text: str, *places: Place) -> None:
        for place in places:
            self._draft.note_names(kind, text, place.settings, place.full)

    def _replaced(self, place: Place, winner: Place) -> None:
        where = "" if winner.settings is place.settings else f" of {winner.settings.where}"
        self._say(Kind.SAME, f"{winner.full}{where} takes its place", place)

    def _take_flag(self, place: Place) -> None:
        """The brokers, the group, or where it begins."""
        draft, holds = self._draft, self._holds(place.name, self._carrying)
        servers = place.name == "bootstrap.servers"
        used = place.role == self._carrying and (servers or draft.is_sink)
        if not place.role and place.name == "group.id":
            whose = "a sink's is `connect-NAME`" if draft.is_sink else "a source has none"
            self._say(Kind.SAME, f"it is not the group of a connector: {whose}", place)
        elif holds is None or not (used or (servers and not place.role)):
            self._say(Kind.SAME, "this connector does not use it", place)
        elif holds is not place:
            self._replaced(place, holds)
        elif place.name == "auto.offset.reset":
            self._take_start(place)
        elif not servers:
            draft.flag("group_id", place.value, place.settings, place.full)
        elif (value := bootstrap_servers(place.value)) != place.value or (
            place.role or place.settings not in self._files
        ):
            draft.flag("bootstrap_servers", value, place.settings, place.full)
        else:
            check("bootstrap_servers", value, place.settings, place.full)
            self._from_file(place)

    def _from_file(self, place: Place) -> None:
        self._say(Kind.SAME, "the bridge reads it from the file itself", place)

    def _take_start(self, place: Place) -> None:
        draft, value = self._draft, place.value.lower()
        if value in ("earliest", "latest"):
            draft.flag("start", value, place.settings, place.full)
        if value == "latest":
            text = (
                "it is for partitions that are there at the first start; one that comes later is "
                "read from its beginning, so that nothing is passed over"
            )
            draft.note(Kind.DIFFERS, text, place.settings, place.full)
        elif value != "earliest":
            text = (
                "a partition without a committed offset begins at --start=earliest, instead of "
                "with an error"
            )
            draft.note(Kind.DIFFERS, text, place.settings, place.full)

    def _take_client(self, place: Place) -> None:
        winners = [self._holds(place.name, role) for role in self._roles]
        if place not in winners and place.role != "admin":
            self._replaced(place, next(each for each in winners if each is not None))
        elif place.settings in self._files:
            self._from_file(place)
            self._say_missing(place)
        elif place.role and (same := self._same_for_all(place, winners)):
            self._say(Kind.SAME, f"it says the same as {same.full}", place)
        elif not place.role and place.name not in LOGIN:
            text = "a connector's clients do not read it: it is for the worker's own"
            self._say(Kind.SAME, text, place)
        else:
            self._hand_on(place)

    def _same_for_all(self, place: Place, winners: Sequence[Place | None]) -> Place | None:
        return next((w for w in winners if w and not w.role and w.value == place.value), None)

    def _hand_on(self, place: Place) -> None:
        draft, settings, full = self._draft, place.settings, place.full
        mechanism = self._holds("sasl.mechanism", place.role or self._carrying)
        try:
            values, variable = written(place, mechanism.value if mechanism else "")
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
            elif "${" in place.value and not PROVIDER.fullmatch(place.value):
                todo = (
                    f"set {variable} in the bridge's environment to its value, with what stands "
                    "for ${...} filled in"
                )
            else:
                todo = f"set {variable} in the bridge's environment to its value"
            draft.note_names(Kind.FIRST, todo, settings, full)
            if "${" not in place.value:
                draft.known[variable] = place.value
        self._say_missing(place)

    def _say_missing(self, place: Place) -> None:
        for path in missing(place):
            shown = "the file that it names" if holds_secret(path) else path
            text = f"{shown} is not here: copy it, and correct its path"
            self._say(Kind.FIRST, text, place)

    def _take_owned(self, place: Place) -> None:
        row = AS_FLAGS.get((place.role, place.name)) if place.role == self._carrying else None
        holds = self._holds(place.name, self._carrying)
        if row is None:
            self._say(Kind.LACKS, OWNED[place.name], place)
        elif holds is not place and holds is not None:
            self._replaced(place, holds)
        else:
            set_number(self._draft, place.settings, place.full, row)

    def say_what_stands_without_a_prefix(self) -> None:
        """Says what the bridge reads for all, and the connector's clients did not."""
        protocol = self._holds("security.protocol", self._carrying)
        secured = protocol is not None and protocol.value.upper() != "PLAINTEXT"
        prefix = f"{self._carrying}."
        for place in self._plain_that_hold():
            if place.name not in LOGIN:
                if place.settings in self._files:
                    text = (
                        f"the bridge reads it, from the file; the connector did not, for want of "
                        f"`{prefix}` in front of it"
                    )
                    self._say(Kind.DIFFERS, text, place)
            elif secured:
                text = (
                    f"without `{prefix}` in front it is for the worker's own clients: the "
                    "connector could not log in with it; the bridge does"
                )
                self._say(Kind.DIFFERS, text, place)

    def _plain_that_hold(self) -> Iterator[Place]:
        for name in self._by_name:
            place = self._holds(name, self._carrying)
            if place and not place.role and classified(name, "") is Class.CLIENT:
                role = BY_NAME[name].roles if name in BY_NAME else (self._carrying,)
                if self._carrying in role:
                    yield place

    def say_no_login(self) -> None:
        """Says that the files have a mechanism, and nobody to log in with it."""
        place = self._holds("security.protocol", self._carrying)
        if place and place.value.upper().startswith("SASL"):
            text = "who logs in is in none of these files: give the JAAS file, too"
            self._say(Kind.FIRST, text, place)

    def say_isolation(self) -> None:
        """Says what the connector's consumer reads, and the bridge's does not."""
        place = self._holds("isolation.level", "consumer")
        read = place and (place.role or place.settings in self._files)
        if self._draft.is_sink and not read:
            text = (
                "the connector carries the records of aborted transactions, too; the bridge waits "
                "for a commit and leaves those out, unless "
                "--kafka_config=consumer.isolation.level=read_uncommitted is given"
            )
            self._draft.say(Kind.DIFFERS, text, "isolation.level (not set: read_uncommitted)")
