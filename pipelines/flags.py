"""What a flag declaration is, which pipelines and runners there are, and how they meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, Literal

from pipelines import flag_values as values

Pipeline = Literal["ps_to_kafka", "kafka_to_ps", "archive", "backfill"]
PS_TO_KAFKA: Pipeline = "ps_to_kafka"
KAFKA_TO_PS: Pipeline = "kafka_to_ps"
ARCHIVE: Pipeline = "archive"
BACKFILL: Pipeline = "backfill"
BRIDGES = (PS_TO_KAFKA, KAFKA_TO_PS)
PIPELINES = (*BRIDGES, ARCHIVE, BACKFILL)

End = Literal["kafka", "pubsub", "archive"]
"""What a pipeline reads or writes."""


class Runner(Enum):
    """The kinds of runner that the bridge tells apart."""

    IN_PROCESS = "in-process"
    PRISM = "Prism"
    DATAFLOW = "Dataflow"
    PORTABLE = "other portable"


RUNNERS = {
    "DirectRunner": Runner.IN_PROCESS,
    "FnApiRunner": Runner.IN_PROCESS,
    "PrismRunner": Runner.PRISM,
    "DataflowRunner": Runner.DATAFLOW,
    "FlinkRunner": Runner.PORTABLE,
    "SparkRunner": Runner.PORTABLE,
    "PortableRunner": Runner.PORTABLE,
}
"""Beam's name of each runner that the bridge accepts."""

Where = Mapping[Pipeline, frozenset[Runner]]
"""The pipelines that take a flag, and for each the runners on which it means something."""

ANY_RUNNER = frozenset(Runner)
ONE_MACHINE_RUNNERS = frozenset({Runner.IN_PROCESS, Runner.PRISM})
PORTABLE_RUNNERS = frozenset({Runner.PORTABLE})
NATIVE_PULL_RUNNERS = frozenset({Runner.DATAFLOW})
BACKFILL_RUNNERS = ONE_MACHINE_RUNNERS | NATIVE_PULL_RUNNERS
"""Where a backfill from Pub/Sub runs."""
OWN_PULL_RUNNERS = ANY_RUNNER - NATIVE_PULL_RUNNERS
"""Where Pub/Sub is read by the bridge itself; Dataflow reads it natively, but for a backfill."""


def where(*pipelines: Pipeline, runners: frozenset[Runner] = ANY_RUNNER) -> Where:
    """These pipelines, on these runners."""
    return dict.fromkeys(pipelines, runners)


EVERYWHERE = where(*PIPELINES)
ONE_MACHINE = where(*PIPELINES, runners=ONE_MACHINE_RUNNERS)
READS_PUBSUB = where(PS_TO_KAFKA, ARCHIVE, BACKFILL)
READS_KAFKA = where(KAFKA_TO_PS, ARCHIVE, BACKFILL)
LIVE_KAFKA = where(KAFKA_TO_PS, ARCHIVE)
LIVE_PUBSUB = where(PS_TO_KAFKA, ARCHIVE)
WRITES_KAFKA = where(PS_TO_KAFKA, BACKFILL)
WRITES_PUBSUB = where(KAFKA_TO_PS, BACKFILL)
MAPS = where(*BRIDGES, BACKFILL)
NATIVE_PULL = where(*LIVE_PUBSUB, runners=NATIVE_PULL_RUNNERS)
OWN_PULL = {**where(*LIVE_PUBSUB, runners=OWN_PULL_RUNNERS), **where(BACKFILL)}
OWN_SOURCE = {**EVERYWHERE, **where(PS_TO_KAFKA, runners=OWN_PULL_RUNNERS)}


@dataclass(frozen=True)
class Flag:
    """One declared flag.

    Attributes:
      name: as on the command line, without the dashes; `dest` is its field of `Options`.
      default: the value where the flag is not given, or a function of pipeline and runner.
      default_text: the default as help shows it, where its own text would not do.
      help: what the flag does, without its default.
      help_in: what is said of it in some pipelines beside that.
      form_help: what a template's form says instead, where a command line is another matter.
      group: the heading under which help shows it.
      where: pipelines and runners that know it.
      side: what a run has to do for the flag to mean something, such as `reads kafka`; empty for
        any run.
      parse: from text to value, raises ValueError; `boolean` makes the value optional.
      metavar: the form of the value.
      bare: the value where the flag stands alone; empty where it must have one.
      repeatable: may be given more than once; `parse` makes a tuple of each, the value has all.
      secret: kept out of `repr`.
      negation: the flag that says false, for a boolean that is neither by default.
      env: the environment variable that stands in for the flag.
      beams_too: Beam has a flag of this name, which the other pipelines take.
      template: type of the parameter in a Dataflow flex template; empty where it is none.
      parent: `NAME=VALUE|VALUE...` of a flag: with other values of that, this one means nothing.
    """

    name: str
    default: Any
    help: str
    group: str
    where: Where
    side: str = ""
    dest: str = ""
    default_text: str = ""
    parse: Callable[[str], Any] = values.text_value
    metavar: str = ""
    bare: str = ""
    repeatable: bool = False
    secret: bool = False
    negation: str = ""
    env: str = ""
    help_in: Mapping[Pipeline, str] = field(default_factory=dict)
    form_help: str = ""
    beams_too: bool = False
    template: str = "TEXT"
    parent: str = ""

    @property
    def is_boolean(self) -> bool:
        """Whether the flag may stand without a value."""
        return self.parse is values.boolean

    def help_for(self, pipeline: Pipeline) -> str:
        """What the flag does in a pipeline."""
        return " ".join(filter(None, (self.help, self.help_in.get(pipeline))))

    def default_for(self, pipeline: Pipeline, runner: Runner) -> Any:
        """The value where the flag is not given."""
        return self.default(pipeline, runner) if callable(self.default) else self.default

    def shown_default(self) -> str:
        """The default as people read it; empty where there is none."""
        if self.default_text or self.default in (None, "", (), False) or self.default == {}:
            return self.default_text
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    def shown_runners(self, pipeline: Pipeline) -> str:
        """Where the flag means nothing, in words; empty where it means something everywhere."""
        return {
            ANY_RUNNER: "",
            OWN_PULL_RUNNERS: "not on Dataflow",
            NATIVE_PULL_RUNNERS: "only on Dataflow",
            BACKFILL_RUNNERS: "only with DirectRunner, PrismRunner and DataflowRunner",
            ONE_MACHINE_RUNNERS: "only with DirectRunner and PrismRunner",
            PORTABLE_RUNNERS: "only with PortableRunner, FlinkRunner and SparkRunner",
        }[self.where[pipeline]]


def flag(default: Any, help: str, *, group: str, where: Where = EVERYWHERE, **more: Any) -> Any:
    """Declares one flag as a field of a dataclass; `more` as in `Flag`."""
    declared = Flag(
        name=more.pop("name", ""), default=default, help=help, group=group, where=where, **more
    )
    return field(repr=not declared.secret, metadata={"flag": declared})


def declared(options: type[Any]) -> tuple[Flag, ...]:
    """The flags that a dataclass declares, in the order of help."""
    return tuple(
        replace(f.metadata["flag"], name=f.metadata["flag"].name or f.name, dest=f.name)
        for f in fields(options)
        if "flag" in f.metadata
    )


def choice(default: Any, help: str, *words: str, **more: Any) -> Any:
    """Declares a flag that takes one of a few words."""
    form = "|".join(words)
    return flag(default, help, parse=values.one_of(*words), metavar=form, template="ENUM", **more)
