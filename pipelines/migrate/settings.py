"""Settings that know which of them were taken, and the command that is made of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from pipelines import options
from pipelines.flags import KAFKA_TO_PS, Pipeline
from pipelines.shared_flags import BRIDGE
from transforms.errors import UsageError

_ORDER = {f.name: number for number, f in enumerate(options.FLAGS)}
_MOST_SHOWN = 60

_NAME = re.compile(r"[A-Za-z]{1,40}|[A-Za-z][A-Za-z0-9]{0,30}([._-]+[A-Za-z0-9]{1,40})+")
_LONGEST_NAME = 100
PLACEHOLDER = re.compile(r"\$\{|\$[A-Za-z_]")
_SECRET = re.compile(
    r""":[^\s,]*@|private_?key|private\ key|(password|secret)["']?\s*[=:]""", re.I | re.X
)
"""`://USER@`, `USER:PASSWORD@`, a key file's content, or a log-in by JAAS."""


class Kind(Enum):
    """What there is to say of a setting, in the order in which it is said."""

    FIRST = "to do first"
    DIFFERS = "behaves differently"
    LACKS = "has no equivalent"
    UNKNOWN = "is unknown to this project"
    SAME = "needs nothing"


class Note(NamedTuple):
    """One line about one setting, or about several of which the same is to be said.

    Attributes:
      settings: names, or `name=value` where the value is known to be no secret.
      where: the file, for settings that are not the connector's own.
    """

    kind: Kind
    settings: tuple[str, ...]
    text: str
    where: str = ""


class Settings:
    """The settings of a connector or a worker, by name; counts which of them have been taken.

    Args:
      where: what they are called in messages: the file's name.
      path: the file, if the bridge's `--kafka_properties` may be able to read it; else empty.
      variables: of settings that are environment variables, the variable's name.
      dropped: the names of those that had a backslash in the file, which Java drops.
    """

    def __init__(
        self,
        where: str,
        values: Mapping[str, str],
        path: str = "",
        variables: Mapping[str, str] = {},
        dropped: Collection[str] = (),
    ) -> None:
        self.where = where
        self.path = path
        self.variables = variables
        self.dropped = dropped
        self._values = {name.strip(): value.strip() for name, value in values.items()}
        self._taken: set[str] = set()

    def fresh(self) -> Settings:
        """The same, of which nothing has been taken."""
        return Settings(self.where, self._values, self.path, self.variables, self.dropped)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def items(self) -> Iterator[tuple[str, str]]:
        return iter(self._values.items())

    def left(self) -> list[str]:
        """The names of those that nobody has taken yet."""
        return [name for name in self._values if name not in self._taken]

    def peek(self, name: str) -> str:
        """A value, or nothing; does not count as taking it."""
        return self._values.get(name, "")

    def take(self, name: str) -> str:
        """A value, or nothing; the setting counts as taken."""
        self._taken.add(name)
        return self._values.get(name, "")

    def shown(self, name: str) -> str:
        """`name=value`; the name alone where the value is long or may hold a secret."""
        value = self._values.get(name, "")
        hidden = PLACEHOLDER.search(value) or holds_secret(value)
        return name if not value or hidden or len(value) > _MOST_SHOWN else f"{name}={value}"

    def error(self, name: str, wrong: str) -> UsageError:
        """An error about one setting."""
        return UsageError(f"read {self.where}: '{name}' {wrong}")


@dataclass
class Draft:
    """A command that is being made of one connector.

    Attributes:
      name: the connector's.
      own: the connector's settings.
      environment: variables to set in front of the command.
      known: values of other variables that the command names, as far as the files have them.
      flags: values by the flag's name; several for those that are repeatable.
      notes: about the connector's settings, and in `of_workers` about those of workers.
    """

    pipeline: Pipeline
    name: str
    own: Settings
    environment: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict, repr=False)
    flags: dict[str, list[str]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    of_workers: list[Note] = field(default_factory=list)

    @property
    def is_sink(self) -> bool:
        """Whether the connector is a sink: from Kafka to Pub/Sub."""
        return self.pipeline == KAFKA_TO_PS

    def note(self, kind: Kind, text: str, settings: Settings, *names: str) -> None:
        """Says something about settings, values included; they count as taken."""
        self._note(kind, text, settings, names, [settings.shown(name) for name in names])

    def note_names(self, kind: Kind, text: str, settings: Settings, *names: str) -> None:
        """Says something about settings whose values may be secrets; they count as taken."""
        self._note(kind, text, settings, names, shown_names(names))

    def _note(
        self, kind: Kind, text: str, of: Settings, names: Sequence[str], shown: Sequence[str]
    ) -> None:
        for name in names:
            of.take(name)
        if of is self.own:
            self.notes.append(Note(kind, tuple(shown), text))
        else:
            self.of_workers.append(Note(kind, tuple(shown), text, of.where))

    def flag(self, name: str, value: str, settings: Settings, *sources: str) -> None:
        """Sets a flag of what settings say, which count as taken.

        Raises:
          UsageError: the flag does not take this value; names the first of the settings.
        """
        for source in sources:
            settings.take(source)
        check(name, value, settings, sources[0])
        self.flags[name] = [value]

    def add(self, name: str, value: str) -> None:
        """One more value of a repeatable flag."""
        values = self.flags.setdefault(name, [])
        if value not in values:
            values.append(value)

    def client(self, name: str, value: str) -> None:
        """Sets a Kafka client property; one that is set already is replaced."""
        others = self.flags.get("kafka_config", [])
        kept = [each for each in others if not each.startswith(f"{name}=")]
        self.flags["kafka_config"] = [*kept, f"{name}={value}"]

    def say(self, kind: Kind, text: str, *shown: str) -> None:
        """Says something that no single setting says."""
        self.notes.append(Note(kind, shown, text))

    @property
    def argv(self) -> list[str]:
        """The flags, in the order of the bridge's help."""
        ordered = sorted(self.flags, key=_position)
        return [f"--{name}={value}" for name in ordered for value in self.flags[name]]


def holds_secret(value: str) -> bool:
    """Whether a value looks as if a secret stood in it, which is in the wrong place then."""
    return _SECRET.search(value) is not None


def check(flag: str, value: str, settings: Settings, source: str) -> None:
    """Checks what a flag gets of a setting.

    Raises:
      UsageError: the flag does not take it; names the setting, and shows no password.
    """
    if PLACEHOLDER.search(value):
        raise settings.error(
            source, "is a placeholder that only Connect or a shell fills in; write its value"
        )
    if not value.isprintable():
        raise settings.error(source, "has control characters; correct it")
    if holds_secret(value) and flag != "group_id":
        raise settings.error(source, f"gives no --{flag}: a secret stands in it")
    declared = BRIDGE.get(flag)
    try:
        if declared is not None:
            declared.parse(value)
    except ValueError as error:
        raise settings.error(source, f"gives no --{flag}: {error}") from None


def shown_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names as they may be seen: a line of a key that was pasted into a file looks like one."""
    fit = tuple(name for name in names if len(name) <= _LONGEST_NAME and _NAME.fullmatch(name))
    others = len(names) - len(fit)
    return (*fit, f"{others} that are no names of settings (not shown)") if others else fit


def _position(name: str) -> int:
    return _ORDER.get(name, len(_ORDER))
