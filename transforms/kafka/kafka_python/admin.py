"""Administration on kafka-python, whichever client carries the data."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from kafka import (
    IsolationLevel,
    KafkaAdminClient,
    OffsetSpec,
    TopicPartition,
    errors,
)
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.protocol.consumer import HeartbeatRequest

from transforms.deadlines import within
from transforms.errors import HiddenTopicError, PreflightError
from transforms.kafka.client import Committed, KafkaConfig, Offsets, Partition, TopicInfo
from transforms.kafka.client_errors import part_names
from transforms.kafka.client_rules import CLOSE_TIMEOUT_S, select_topics
from transforms.kafka.config import for_kafka_python, opened
from transforms.kafka.kafka_python.common import (
    committed_text,
    connect,
    connection,
    new_offsets,
    reason,
    timeout_ms,
)
from transforms.limits import PUBSUB_MAX_MESSAGE_BYTES

_Answer = TypeVar("_Answer")

_MAX_MESSAGE_BYTES = "max.message.bytes"
_CLEANUP_POLICY = "cleanup.policy"
_TIMESTAMP_TYPE = "message.timestamp.type"
_NO_MEMBER = "not-a-member"
_MAX_AHEAD_MS = "message.timestamp.after.max.ms"
_NO_IDS = (None, str(uuid.UUID(int=0)))
"""What older brokers answer, and what a broker that refuses to describe a topic does."""
_NO_SUCH_TOPIC = (
    errors.UnknownTopicOrPartitionError.errno,
    errors.InvalidTopicError.errno,
)
_NO_LEADER_S = 0.1
_UNKNOWN_MAX_BYTES = 2 * PUBSUB_MAX_MESSAGE_BYTES
"""Of a topic whose settings this user may not read: whatever comes from Pub/Sub is sent, and the
broker decides."""
_TOPIC_SETTINGS = [_MAX_MESSAGE_BYTES, _CLEANUP_POLICY, _TIMESTAMP_TYPE, _MAX_AHEAD_MS]


class KafkaPythonAdmin:
    """An `Admin`; see there for what each method promises."""

    def __init__(self, cluster: KafkaConfig, timeout_s: float) -> None:
        self._servers = cluster.bootstrap_servers
        self._timeout_s = timeout_s
        reader = for_kafka_python(opened(cluster.properties, "consumer", cluster.role), "consumer")
        isolation = reader.get("isolation_level", "read_committed")
        self._isolation = IsolationLevel.build_from(isolation)
        self._admin = connect(
            KafkaAdminClient,
            {
                **connection(cluster, "admin", timeout_s),
                "request_timeout_ms": timeout_ms(timeout_s),
            },
            PreflightError,
        )

    def _ask(self, what: str, call: Callable[[], _Answer]) -> _Answer:
        try:
            return within(self._timeout_s, call)
        except errors.AuthorizationError as error:
            raise PreflightError(f"{what} on {self._servers}: {_may_not(error)}") from error
        except (errors.KafkaError, TimeoutError, ValueError) as error:
            raise PreflightError(f"{what} on {self._servers}: {reason(error)}") from error

    def _describe(self, topics: Sequence[str]) -> list[dict[str, Any]]:
        """What the cluster says of the existing ones of these topics."""
        listed = None if topics and topics[0].startswith("^") else list(topics)
        known = self._ask("list topics", lambda: self._admin.describe_topics(listed))
        found = {}
        for topic in known:
            code = topic["error_code"]
            if code == errors.TopicAuthorizationFailedError.errno:
                raise HiddenTopicError(
                    f"describe topic {topic['name']} on {self._servers}: there is none, or this "
                    "user may not see it; create it, or allow Describe with an ACL"
                )
            if code not in _NO_SUCH_TOPIC:
                found[topic["name"]] = topic
        internal = {name for name, topic in found.items() if topic["is_internal"]}
        return [found[name] for name in select_topics(topics, found, internal)]

    def topics(self, topics: Sequence[str]) -> dict[str, TopicInfo]:
        described = self._describe(topics)
        if not described:
            return {}
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, topic["name"], _TOPIC_SETTINGS)
            for topic in described
        ]
        configs = self._ask(
            "describe topics",
            lambda: self._admin.describe_configs(resources, config_filter="all"),
        )["topic"]
        return {
            topic["name"]: _topic_info(
                topic["name"],
                len(topic["partitions"]),
                {name: found["value"] for name, found in configs[topic["name"]].items()},
                _operations(topic),
            )
            for topic in described
        }

    def cluster_id(self) -> str:
        return str(self._ask("describe cluster", self._admin.describe_cluster)["cluster_id"])

    def topic_ids(self, names: Sequence[str]) -> dict[str, str]:
        found = self._ask("describe topics", lambda: self._admin.describe_topics(list(names)))
        unknown = errors.UnknownTopicOrPartitionError.errno
        return {
            topic["name"]: "" if topic["topic_id"] in _NO_IDS else str(topic["topic_id"])
            for topic in found
            if topic["error_code"] != unknown
        }

    def create_topic(self, name: str, partitions: int, replication: int) -> None:
        def create() -> None:
            with contextlib.suppress(errors.TopicAlreadyExistsError):
                self._admin.create_topics(
                    {name: {"num_partitions": partitions, "replication_factor": replication}},
                    timeout_ms=timeout_ms(self._timeout_s),
                )
            self._admin.wait_for_topics([name], timeout_ms=timeout_ms(self._timeout_s))

        self._ask(f"create topic {name}", create)

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        return [
            (topic["name"], number)
            for topic in self._describe(topics)
            for number in sorted(part["partition_index"] for part in topic["partitions"])
        ]

    def beginning_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return self._offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))

    def end_offsets(
        self, partitions: Iterable[Partition], open_transactions: bool = False
    ) -> dict[Partition, int]:
        isolation = IsolationLevel.READ_UNCOMMITTED if open_transactions else self._isolation
        return self._offsets(dict.fromkeys(partitions, OffsetSpec.LATEST), isolation)

    def offsets_for_time(
        self, partitions: Iterable[Partition], timestamp_ms: int
    ) -> dict[Partition, int]:
        asked = list(partitions)
        ends = self.end_offsets(asked)
        found = self._offsets(dict.fromkeys(asked, timestamp_ms))
        return {part: ends[part] if offset < 0 else offset for part, offset in found.items()}

    def _offsets(
        self, specs: Mapping[Partition, Any], isolation: Any = None
    ) -> dict[Partition, int]:
        """Offsets by specification; -1 where a time is after the last record."""
        if not specs:
            return {}
        asked = {TopicPartition(*part): spec for part, spec in specs.items()}
        answer = self._ask(
            f"read offsets of {part_names(specs)}",
            lambda: self._list_offsets(asked, isolation or self._isolation),
        )
        return {(part.topic, part.partition): found.offset for part, found in answer.items()}

    def _list_offsets(self, asked: Mapping[TopicPartition, Any], isolation: Any) -> Any:
        """Waits for leaders: kafka-python does where one has moved, and not where there is none, as
        for a moment after a broker was away."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return self._admin.list_partition_offsets(
                    asked, isolation, timeout_ms(self._timeout_s)
                )
            except errors.UnknownBrokerIdError as error:
                if time.monotonic() + _NO_LEADER_S >= deadline:
                    raise errors.LeaderNotAvailableError("a partition has no leader") from error
                time.sleep(_NO_LEADER_S)

    def committed(self, group_id: str) -> dict[Partition, Committed]:
        answer = self._ask(
            f"read committed offsets of group {group_id}",
            lambda: self._admin.list_group_offsets(group_id),
        )
        return {
            (part.topic, part.partition): Committed(found.offset, committed_text(found.metadata))
            for part, found in answer[group_id].items()
            if found.offset >= 0
        }

    def commit(
        self, group_id: str, offsets: Offsets, metadata: Mapping[Partition, str] = {}
    ) -> None:
        if not offsets:
            return
        asked = new_offsets(offsets, metadata)
        what = f"set offsets of group {group_id}"
        answer = self._ask(what, lambda: self._admin.alter_group_offsets(group_id, asked))
        for part, error in answer.items():
            if error is errors.NoError:
                continue
            hint = "; stop its members" if error is errors.UnknownMemberIdError else ""
            refusal = error()
            raise PreflightError(
                f"{what}, {part.topic}/{part.partition}: {reason(refusal)}{hint}"
            ) from refusal

    def may_join(self, group_id: str) -> bool:
        """Of a group that does not exist yet, brokers do not tell what is allowed; the heartbeat of
        somebody who is no member, which takes the same permission, is refused in either way."""
        manager = self._admin._manager
        beat = HeartbeatRequest(
            group_id=group_id, generation_id=-1, member_id=_NO_MEMBER, group_instance_id=None
        )

        def ask() -> int:
            [coordinator] = manager.run(self._admin._find_coordinator_ids, [group_id]).values()
            code: int = manager.run(manager.send, beat, coordinator).error_code
            return code

        try:
            code = self._ask(f"ask for group {group_id}", ask)
        except PreflightError as error:
            if isinstance(error.__cause__, errors.GroupAuthorizationFailedError):
                return False
            raise
        return bool(code != errors.GroupAuthorizationFailedError.errno)

    def group_assignor(self, group_id: str) -> str:
        found = self._group(group_id)
        return str(found["protocol_data"]) if found["members"] else ""

    def group_members(self, group_id: str) -> list[str]:
        return [
            " ".join(f"{member['client_id']} ({member['client_host']})".split())
            for member in self._group(group_id)["members"]
        ]

    def _group(self, group_id: str) -> dict[str, Any]:
        what = f"describe group {group_id}"
        found = self._ask(what, lambda: self._admin.describe_groups([group_id]))
        group: dict[str, Any] = found[group_id]
        return group

    def close(self) -> None:
        with contextlib.suppress(TimeoutError):
            within(CLOSE_TIMEOUT_S, self._admin.close)


def _may_not(error: errors.AuthorizationError) -> str:
    kind = type(error).__name__.removesuffix("AuthorizationFailedError").lower()
    return f"this user may not; allow it with an ACL on the {kind}"


def _operations(described: Mapping[str, Any]) -> frozenset[str] | None:
    """What may be done with a topic; brokers before 2.3 do not say."""
    operations = described.get("authorized_operations")
    return frozenset(operations) if operations else None


def _topic_info(
    name: str, partitions: int, settings: Mapping[str, str], operations: frozenset[str] | None
) -> TopicInfo:
    """Brokers before 3.6 limit no timestamp unless asked to, and do not know the setting."""
    if _MAX_MESSAGE_BYTES not in settings:
        return TopicInfo(
            name, partitions, _UNKNOWN_MAX_BYTES, described=False, operations=operations
        )
    ahead_ms = int(settings.get(_MAX_AHEAD_MS, 2**63 - 1))
    by_broker = settings[_TIMESTAMP_TYPE] == "LogAppendTime"
    return TopicInfo(
        name,
        partitions,
        int(settings[_MAX_MESSAGE_BYTES]),
        "compact" in settings[_CLEANUP_POLICY],
        None if by_broker else ahead_ms,
        operations=operations,
    )
