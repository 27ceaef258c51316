"""What all checks share: their deadlines, and reaching the brokers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Literal

from pipelines.options import Options, Runner
from transforms.errors import PreflightError
from transforms.kafka import clients as kafka
from transforms.kafka.client import Admin, KafkaConfig, Partition, TopicInfo
from transforms.kafka.config import opened
from transforms.kafka.login import handshake, login

CALL_S = 4.0
"""Deadline of one call to a service."""

CHECKS_S = 5.5
"""Deadline of all checks together; with the start and end of Python and Beam below 10 s."""

ACTION_S = 20.0
"""Deadline of one thing done after the checks; a new topic waits for its partitions' leaders."""

Say = Callable[[str], None]
"""Takes a line for people."""


def moved_here(options: Options, *permissions: str) -> Sequence[str]:
    """Permissions to move messages, if it is this account that moves them: Dataflow's workers have
    one of their own, of which only they could ask."""
    return () if options.runner is Runner.DATAFLOW else permissions


def check_state(url: str) -> None:
    """Refuses a place for a state file that cannot be written.

    Raises:
      PreflightError: says why.
    """
    from transforms import filesystem
    from transforms.dead_letters import files

    files.check(filesystem.checked(url).rpartition("/")[0] or ".", CALL_S)


def state_url(options: Options, archive: str, name: str) -> str:
    """The file that remembers a backfill from or to an archive, unless a group does."""
    if options.state or not archive:
        return options.state
    from transforms import filesystem

    return filesystem.join(filesystem.checked(archive), f"_backfill/{name}.json")


def use_files_as(accounts: str) -> None:
    """Has this process read and write gs:// as a service account; empty: as who is logged in."""
    if accounts:
        from transforms import filesystem

        filesystem.impersonate(accounts)


def open_kafka(cluster: KafkaConfig) -> Admin:
    """Says at once what a client would say only at its time-out, if ever: that nobody listens
    there, or why a log-in there cannot work.

    Raises:
      PreflightError: no broker can be used, or the log-in is refused.
      UsageError, UnavailableError: there is no ticket or token for it.
    """
    own = login(opened(cluster.properties, "admin", cluster.role))
    servers = cluster.bootstrap_servers.split(",")
    deaf: list[str] = []
    unfit: list[PreflightError] = []
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            handshake.check(host.strip("[]"), int(port), own, CALL_S / len(servers))
        except OSError as error:
            deaf.append(f"{server} ({_why(error)})")
        except PreflightError as error:
            unfit.append(error)
        else:
            return kafka.open_admin(cluster, CALL_S)
    if unfit:
        raise unfit[0]
    raise PreflightError(
        f"connect to Kafka: nobody listens at {', '.join(deaf)}; check --bootstrap_servers and the "
        "network"
    )


def readable(
    admin: Admin, topics: Sequence[str], bootstrap_servers: str, flag: str
) -> list[Partition]:
    """All partitions of topics: names, or one ^regex.

    Raises:
      PreflightError: one does not exist, or this user may not read it; names the flag.
    """
    for info in admin.topics(topics).values():
        require("READ", info)
    parts = admin.partitions(topics)
    is_pattern = topics[0].startswith("^")
    missing = [] if is_pattern else sorted(set(topics) - {topic for topic, _ in parts})
    if missing or not parts:
        raise PreflightError(
            f"read {', '.join(missing or topics)}: no such topic at {bootstrap_servers}; "
            f"correct {flag}"
        )
    return parts


def require(operation: Literal["READ", "WRITE"], topic: TopicInfo) -> None:
    """Refuses a topic that this user may not use so.

    Raises:
      PreflightError: names the operation and what to do.
    """
    if not topic.allows(operation):
        raise _not_allowed(f"{operation.lower()} {topic.name}", operation, "topic", topic.name)


def require_group(admin: Admin, group_id: str) -> None:
    """Refuses a group that this user may not join; errors as above."""
    if not admin.may_join(group_id):
        raise _not_allowed(f"join group {group_id}", "READ", "group", group_id)


def _not_allowed(what: str, operation: str, kind: str, name: str) -> PreflightError:
    return PreflightError(
        f"{what}: this user may not {operation} {kind} {name}; allow it with an ACL: kafka-acls "
        f"--add --allow-principal User:... --operation {operation.capitalize()} --{kind} {name}"
    )


def _why(error: OSError) -> str:
    return "no such host" if isinstance(error, socket.gaierror) else error.strerror or str(error)
