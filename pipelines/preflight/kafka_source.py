"""What reading Kafka needs: topics whose records are still there; and which of them are read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from functools import partial
from operator import attrgetter

from pipelines import reaching
from pipelines.checks import check_again, run_all
from pipelines.facts import Facts, Found, Look
from pipelines.options import BACKFILL, Options
from pipelines.preflight import ranges
from pipelines.reaching import ACTION_S, CALL_S, Say
from transforms.errors import PreflightError
from transforms.kafka import topic_ids
from transforms.kafka.client import Admin, Offsets, OffsetStore, Partition, offsets_of
from transforms.kafka.client_rules import ASSIGNOR


def name(options: Options) -> str:
    """What an error calls this check."""
    return f"Kafka at {options.bootstrap_servers}"


def look(options: Options, known: Look) -> Found:
    """Looks at the topics, and works out where to begin and, of a finite run, where to end."""
    return check_again(partial(_look, options, known))


def note(options: Options, facts: Facts, say: Say) -> None:
    """Says what looks odd."""
    absent = sorted(set(facts.wanted.topics) - set(facts.topics)) if facts.wanted.night else []
    if absent:
        say(f"read {', '.join(absent)}: there was no such topic in the night {facts.wanted.night}")
    to_ms = facts.wanted.to_ms
    if to_ms is not None and to_ms > facts.now_ms:
        say("the range is not over: what is there now is moved")
    if facts.unfinished:
        names = ", ".join(f"{topic}/{n}" for topic, n in list(facts.unfinished)[:3])
        say(
            f"read {names}: {sum(facts.unfinished.values()):,} offsets lie behind the begin of a "
            "transaction that is not finished; they are in no finite run until it is"
        )
    if options.stop is not None and options.bounded and not facts.partitions:
        say(f"read {','.join(facts.topics)}: there is no such topic now, and nothing to read")
    if not facts.partitions and options.selection.is_pattern:
        say(f"read {','.join(facts.topics)}: no topic matches yet; waiting for one")


def act(options: Options, facts: Facts, say: Say, now_ms: int) -> Facts:
    """Moves the group to `--start`, if `--reset_offsets` says so; a backfill's own to its begin, if
    `--force` does."""
    if options.reset_offsets:
        action = f"reset group {facts.group_id}"
        run_all({action: partial(check_again, partial(_reset_offsets, options, facts))}, ACTION_S)
        say(f"{action}: all {len(facts.partitions)} partitions now begin at {options.start.kind}")
    if options.force and facts.committed:
        action = f"forget what {facts.group_id} has done"
        run_all({action: partial(check_again, partial(_forget, options, facts))}, ACTION_S)
        facts = facts.with_({"committed": {}})
    return facts


def _look(options: Options, known: Look) -> Found:
    backfills = options.pipeline == BACKFILL
    selection = options.selection
    topics = known.wanted.topics if backfills else selection.now()
    required = topics if backfills else selection.required
    group_id = f"{options.group_id}-backfill-{known.name}" if backfills else options.group_id
    with closing(reaching.open_kafka(options.kafka)) as admin:
        found = admin.topics(topics)
        if known.wanted.night and found:
            topics = tuple(found)  # not every program observes every night
        elif not topics[0].startswith("^") or not backfills:
            _refuse_missing(options, sorted(set(required) - set(found)))
        for info in found.values():
            reaching.require("READ", info)
        if not options.state:
            reaching.require_group(admin, group_id)
        if options.assignment == "group" and not backfills:
            _refuse_others(group_id, admin)
        facts: Found = {
            "cluster_id": admin.cluster_id(),
            "topics": topics if backfills else options.kafka_topics,
            "group_id": group_id,
            "largest": max(found.values(), key=attrgetter("max_message_bytes"), default=None),
        }
        partitions = admin.partitions(topics)
        committed = _committed(options, admin, group_id, partitions)
        if backfills:
            wanted = ranges.of_backfill(known.wanted, admin, partitions, known.now_ms)
            return facts | _finite(options, admin, wanted, committed)
        if options.reset_offsets:
            _refuse_members(group_id, admin)
            begin = set(partitions)
        else:
            there = {p: committed[p] for p in partitions if p in committed}
            _refuse_gaps(options, admin, there)
            begin = set(partitions) - set(committed)
        facts |= {
            "partitions": tuple(partitions),
            "start": _start(options, admin, begin, partitions),
        }
        if options.bounded and options.stop is not None:
            _refuse_members(group_id, admin)
            facts |= {
                "unfinished": _unfinished(admin, partitions),
                "ranges": ranges.to_stop(options.stop, admin, partitions, known.now_ms),
                "committed": {} if options.reset_offsets else committed,
            }
        return facts


def _finite(
    options: Options, admin: Admin, wanted: ranges.PerPartition, committed: Offsets
) -> Found:
    """What a backfill reads; offsets of it that are gone are refused before anything is read."""
    begin = {part: found.spans[0][0] for part, found in wanted.items()}
    done = {} if options.force else {p: at for p, at in committed.items() if p in wanted}
    _refuse_gaps(options, admin, {**begin, **done})
    return {
        "unfinished": _unfinished(admin, tuple(wanted)),
        "partitions": tuple(wanted),
        "start": begin,
        "ranges": wanted,
        "committed": {p: at for p, at in committed.items() if p in wanted},
    }


def _unfinished(admin: Admin, partitions: Collection[Partition]) -> dict[Partition, int]:
    """How many offsets of each are not to be read yet: a transaction before them is open."""
    stable = admin.end_offsets(partitions)
    ends = admin.end_offsets(partitions, open_transactions=True)
    return {part: end - stable[part] for part, end in ends.items() if end > stable[part]}


def _committed(
    options: Options, admin: Admin, group_id: str, partitions: Collection[Partition]
) -> dict[Partition, int]:
    """Where a run goes on; what a backfill did of a topic that was made anew since is not done."""
    if options.pipeline != BACKFILL:
        return offsets_of(admin.committed(group_id))
    if options.state:
        found = _file(options, group_id).committed(partitions)
        reaching.check_state(options.state)
    else:
        found = admin.committed(group_id)
    ids = admin.topic_ids(sorted({topic for topic, _ in partitions}))
    of = {part: topic_ids.from_metadata(committed.metadata) for part, committed in found.items()}
    return {
        part: committed.offset
        for part, committed in found.items()
        if not topic_ids.differ(of[part], ids.get(part[0], ""))
    }


def _file(options: Options, group_id: str) -> OffsetStore:
    from transforms.kafka.offset_file import OffsetFile

    reaching.use_files_as(options.impersonate_service_account)
    return OffsetFile(options.state, group_id, CALL_S)


def _refuse_missing(options: Options, missing: Collection[str]) -> None:
    if missing:
        what_to_do = "create it, correct --kafka_topics, or wait for it with a ^regex"
        if options.pipeline == BACKFILL:
            what_to_do = "correct --kafka_topics or --night; Kafka may have deleted it since"
        raise PreflightError(
            f"read {', '.join(missing)}: no such topic at {options.bootstrap_servers}; {what_to_do}"
        )


def _start(
    options: Options, admin: Admin, begin: Collection[Partition], existing: Collection[Partition]
) -> Offsets:
    """Explicit offsets for the partitions that `--start` is about; none means the first offset."""
    start = options.start
    if start.kind == "latest":
        return admin.end_offsets(begin)
    if start.kind == "timestamp":
        assert start.timestamp_ms is not None
        return admin.offsets_for_time(begin, start.timestamp_ms)
    if start.kind == "earliest":
        return {}
    given = start.offsets or {}
    ranges.refuse_strangers("start", given, existing, "correct the file of --start")
    wanted = {partition: offset for partition, offset in given.items() if partition in begin}
    ranges.refuse_outside(admin, "start", wanted, "correct the file of --start")
    return wanted


def _refuse_gaps(options: Options, admin: Admin, positions: Offsets) -> None:
    """Offsets to go on at whose records are gone, unless the run is to go on behind them."""
    if options.on_offset_gap == "continue":
        return
    what_to_do = "go on at the next one that exists with --on_offset_gap=continue, or "
    if options.pipeline == BACKFILL:
        what_to_do += "ask for what is still there"
    else:
        what_to_do += "choose where with --start and --reset_offsets"
    ranges.refuse_outside(admin, "continue", positions, what_to_do)


def _refuse_others(group_id: str, admin: Admin) -> None:
    """Members that share the group by another assignor keep the bridge out of it."""
    assignor = admin.group_assignor(group_id)
    if assignor not in ("", ASSIGNOR):
        members = ", ".join(admin.group_members(group_id)[:3])
        raise PreflightError(
            f"join group {group_id}: it has members ({members}) that share it by the "
            f"assignor {assignor}, and bridges share by {ASSIGNOR}; stop them first"
        )


def _refuse_members(group_id: str, admin: Admin) -> None:
    """Nobody but a member may commit for a group that has some."""
    members = admin.group_members(group_id)
    if members:
        raise PreflightError(
            f"commit for group {group_id}: it has members ({', '.join(members[:3])}); stop them "
            "first, or give another --group_id"
        )


def _reset_offsets(options: Options, facts: Facts) -> None:
    with closing(reaching.open_kafka(options.kafka)) as admin:
        first = admin.beginning_offsets(facts.partitions)
        admin.commit(facts.group_id, {**first, **facts.start})


def _forget(options: Options, facts: Facts) -> None:
    """Commits the beginning of what is wanted."""
    begin: Mapping[Partition, int] = facts.start
    if options.state:
        _file(options, facts.group_id).commit(begin)
        return
    with closing(reaching.open_kafka(options.kafka)) as admin:
        admin.commit(facts.group_id, begin)
