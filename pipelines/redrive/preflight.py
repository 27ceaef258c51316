"""What redrive needs: dead letters that can be read, and a destination; before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines import reaching
from pipelines.checks import check_again, quiet_clients, run_all
from pipelines.reaching import CALL_S, CHECKS_S
from pipelines.redrive.options import Options
from transforms.dead_letters.places import Place
from transforms.dead_letters.sources import check_folder
from transforms.errors import PreflightError
from transforms.kafka.client import TopicInfo
from transforms.pubsub import client as pubsub


@dataclass(frozen=True)
class Facts:
    """What is found.

    Attributes:
      ack_deadline_s: of the subscription that is read.
      topic: the Kafka topic that is written.
    """

    ack_deadline_s: int = 10
    topic: TopicInfo | None = None


def check(options: Options) -> Facts:
    """Checks both ends side by side, within 10 s with the start of Python.

    Raises:
      PreflightError: one line for each thing that is not as needed.
    """
    source, to = options.source, options.destination
    brokers = f"Kafka at {options.bootstrap_servers}"
    checks: dict[str, Callable[[], Any]] = {}
    if source.kind == "kafka" or (to is not None and to.kind == "kafka"):
        checks[brokers] = partial(check_again, partial(_kafka, options))
    if source.kind == "pubsub":
        checks[source.name] = partial(_subscription, options)
    if source.kind == "files":
        reaching.use_files_as(options.impersonate_service_account)
        checks[source.name] = partial(
            check_folder, source, options.state, not options.dry_run, CALL_S
        )
    if to is not None and to.kind == "pubsub":
        checks[to.name] = partial(_pubsub_topic, options, to.name)
    with quiet_clients(options.debug):
        found = run_all(checks, CHECKS_S)
    ack_deadline_s = found[source.name] if source.kind == "pubsub" else Facts.ack_deadline_s
    return Facts(ack_deadline_s, found.get(brokers))


def _kafka(options: Options) -> TopicInfo | None:
    """The topic to write, if there is one."""
    source, to = options.source, options.destination
    places = {"--from": source, "--to": to}
    names = {flag: p.name for flag, p in places.items() if p is not None and p.kind == "kafka"}
    with closing(reaching.open_kafka(options.kafka)) as admin:
        topics = admin.topics(list(names.values()))
        for flag, name in names.items():
            if name not in topics:
                operation = "read" if flag == "--from" else "write"
                raise PreflightError(
                    f"{operation} {name}: no such topic at {options.bootstrap_servers}; "
                    f"create it, or correct {flag}"
                )
            reaching.require("READ" if flag == "--from" else "WRITE", topics[name])
        if source.kind == "kafka":
            reaching.require_group(admin, options.group_id)
        if source.kind == "kafka" and (members := admin.group_members(options.group_id)):
            raise PreflightError(
                f"remember in group {options.group_id}: it has members ({', '.join(members[:3])}); "
                "choose another --group_id"
            )
    return topics[names["--to"]] if "--to" in names else None


def _subscription(options: Options) -> int:
    """Its ack deadline, in seconds."""
    name, to = options.source.name, options.destination
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        info = admin.subscription(name, pubsub.CONSUME)
    if info.detached:
        raise PreflightError(
            f"read {name}: it is detached from its topic and gets no messages; correct --from"
        )
    if to == Place("pubsub", info.topic):
        raise PreflightError(
            f"write {info.topic}: {name} reads this same topic; correct --to or --from"
        )
    return info.ack_deadline_s


def _pubsub_topic(options: Options, name: str) -> None:
    needs = () if options.dry_run else (pubsub.PUBLISH,)
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        admin.topic(name, *needs)
