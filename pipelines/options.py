"""A checked command line of the bridge: `parse` turns arguments into `Options`.

Every flag is declared once, in `flags_of_*.py`: with name, type, default, help, the pipelines that
take it, the runners on which it means something, and its type in a template. Help, the tables in
the documentation, the flag x runner check and the templates are all derived from that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines import (
    beam_flags,
    command_line,
    flag_rules,
    kafka_flags,
    range_rules,
    routes,
    template_rules,
    worker_rules,
)
from pipelines.flags import (
    ARCHIVE,
    BACKFILL,
    BRIDGES,
    KAFKA_TO_PS,
    PS_TO_KAFKA,
    Pipeline,
    Runner,
    declared,
)
from pipelines.flags_of_bounds import BoundFlags
from pipelines.flags_of_ends import EndFlags
from pipelines.flags_of_running import RunningFlags
from pipelines.routes import Route
from transforms.destinations import Template
from transforms.kafka.client import ClientName, KafkaConfig
from transforms.kafka.property_table import Role
from transforms.kafka.selection import Selection
from transforms.pubsub.service import Service

__all__ = [
    "ARCHIVE",
    "BACKFILL",
    "FLAGS",
    "KAFKA_TO_PS",
    "PS_TO_KAFKA",
    "Options",
    "Pipeline",
    "Runner",
    "parse",
]


@dataclass(frozen=True, kw_only=True)
class Options(RunningFlags, BoundFlags, EndFlags):
    """A checked command line: the flags, each under its own name, then what follows from them.

    Attributes:
      pipeline: the pipeline that is run.
      route: what it reads and writes.
      runner: the kind of runner; `runner_name` is Beam's name for it.
      beam_args: Beam's own flags, `--runner` among them, ready for `PipelineOptions`.
      demo: neither source nor destination was given: run on the embedded stack.
      pubsub_emulator_host: the emulator that PUBSUB_EMULATOR_HOST names, or empty.
      client: the Kafka client that carries the data, and in `client_reason` why.
      properties: all Kafka client properties, checked; secrets by reference.
      notes: what of the files of properties is left out, a line each.
    """

    pipeline: Pipeline
    route: Route
    runner: Runner
    beam_args: list[str] = field(repr=False)
    demo: bool
    pubsub_emulator_host: str
    client: ClientName
    client_reason: str
    properties: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def drops_returns(self) -> bool:
        """Whether messages are marked, and those that come back dropped."""
        return self.returns == "drop" and self.attributes != "none"

    @property
    def selection(self) -> Selection:
        """Which Kafka topics are read, by the clock."""
        return Selection(self.kafka_topics, self.change_hour, self.days_back)

    @property
    def kafka(self) -> KafkaConfig:
        """How to reach the cluster."""
        role = _role(self.route)
        return KafkaConfig(self.bootstrap_servers, self.client, self.properties, role)

    @property
    def uses_kafka(self) -> bool:
        """Whether a client of Kafka carries data."""
        letters = self.dead_letter is not None and self.dead_letter.kind == "kafka"
        return self.route.source == "kafka" or "kafka" in self.route.sinks or letters

    @property
    def template(self) -> Template | None:
        """What names the topic of each message; None where all go to one."""
        return template_rules.template(self.route, vars(self))

    @property
    def bounded(self) -> bool:
        """Whether the source has an end that is known at the start."""
        return self.pipeline == BACKFILL or range_rules.is_finite(self.stop)

    @property
    def pubsub(self) -> Service:
        """How this process reaches Pub/Sub."""
        return Service(self.pubsub_endpoint, self.impersonate_service_account)

    @property
    def workers_pubsub(self) -> Service:
        """How the processes that move messages reach Pub/Sub: those of Dataflow as themselves."""
        if self.runner is Runner.DATAFLOW:
            return self.pubsub._replace(impersonate="")
        return self.pubsub


FLAGS = declared(Options)
"""All declarations, in the order of help."""


def parse(pipeline: Pipeline, argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Checks a command line; contacts nothing. `--help` prints and exits 0.

    Args:
      argv: the arguments, without the program's name.
      environ: KAFKA_BOOTSTRAP_SERVERS, PUBSUB_EMULATOR_HOST and BRIDGE_DEMO are read from it.
    Raises:
      UsageError: one line that names the flag, what is wrong, and what would be right.
    """
    taken = command_line.take(pipeline, FLAGS, argv, environ)
    value: dict[str, Any] = taken.values
    beam_flags.check(taken.rest, value["runner_name"], [f.name for f in taken.flags])
    # Without source and destination, which a demo has none of, the pipeline itself says its route.
    route = routes.route(pipeline, value)
    kafka = kafka_flags.settle(value, taken.written, _role(route), _FROM_FILES[route.source])
    given = taken.given | kafka.filled_in
    demo = False
    if pipeline in BRIDGES:
        demo = flag_rules.is_demo(pipeline, taken.runner, value, given, environ)
    else:
        flag_rules.require_ends(pipeline, route, value)
    flag_rules.check(pipeline, taken, route)
    template_rules.check(pipeline, route, value)
    flag_rules.refuse_literal_secrets(taken.runner, kafka.properties)
    worker_rules.refuse_local_files(taken.runner, kafka.properties)
    emulator = flag_rules.emulator(taken.runner, environ)
    flag_rules.check_pubsub(value, emulator, demo)
    if demo:
        value["bootstrap_servers"] = emulator = ""
    value["seek"] = flag_rules.qualified(value["seek"], value["subscription"])
    return Options(
        **value,
        pipeline=pipeline,
        route=route,
        runner=taken.runner,
        beam_args=[f"--runner={value['runner_name']}", *taken.rest, *for_beam(value)],
        demo=demo,
        pubsub_emulator_host=emulator,
        client=kafka.client,
        client_reason=kafka.client_reason,
        properties=kafka.properties,
        notes=kafka.notes,
    )


def _role(route: Route) -> Role:
    """As what a run uses Kafka."""
    return "consumer" if route.source == "kafka" else "producer"


_FROM_FILES = {
    "kafka": ("bootstrap_servers", "group_id", "start"),
    "pubsub": ("bootstrap_servers",),
    "archive": ("bootstrap_servers",),
}
"""By what is read, the flags that a file of properties may give."""


def for_beam(value: Mapping[str, Any]) -> list[str]:
    """Our flags that are Beam's, too: it uses them for gs:// and for Dataflow's own API."""
    accounts = value["impersonate_service_account"]
    return [f"--impersonate_service_account={accounts}"] if accounts else []
