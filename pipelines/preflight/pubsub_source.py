"""What reading Pub/Sub needs: a subscription to pull from, which may have to be made or moved."""

from __future__ import annotations

from contextlib import closing
from functools import partial

from pipelines import backfill_state, reaching
from pipelines.checks import check_again, run_all
from pipelines.facts import Facts, Found, Look
from pipelines.options import BACKFILL, Options
from pipelines.reaching import ACTION_S, CALL_S, Say
from transforms.errors import PreflightError
from transforms.pubsub import client as pubsub
from transforms.times import rfc3339

_ACK_DEADLINE_S = 10
_EXPIRES_AFTER_S = 7 * 86_400
_SEEK_MARGIN_MS = 1_000
"""A seek is not exact at its edge; the source leaves out what is too old."""


def name(options: Options) -> str:
    """What an error calls this check."""
    return options.subscription or options.create_subscription_from


def look(options: Options, known: Look) -> Found:
    """Looks at the subscription, or at the topic that one is to be made for."""
    _refuse_future(options, known.now_ms)
    if options.create_subscription_from:
        return _topic(options, known)
    needs = reaching.moved_here(options, pubsub.CONSUME)
    if options.seek or options.pipeline == BACKFILL:
        needs = [pubsub.CONSUME]
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        info = admin.subscription(options.subscription, *needs)
    if info.detached:
        raise PreflightError(
            f"read {info.name}: it is detached from its topic and gets no messages; create another"
        )
    return {
        "subscription": info.name,
        "pubsub_topic": info.topic,
        "ack_deadline_s": info.ack_deadline_s,
        "ordered": info.ordered,
        "backoff_s": info.backoff_s,
        "state": reaching.state_url(options, options.archive, known.name),
    }


def _topic(options: Options, known: Look) -> Found:
    topic = options.create_subscription_from
    project, _, topic_id = topic.partition("/topics/")
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        retention_s = admin.retention_s(topic, pubsub.ATTACH)
    if not retention_s:
        raise PreflightError(
            f"read the past of {topic}: it keeps none; give --subscription, or let it keep what "
            f"comes from now on: gcloud pubsub topics update {topic} "
            "--message-retention-duration=7d"
        )
    return {
        "subscription": f"{project}/subscriptions/{topic_id}-backfill-{known.name}",
        "pubsub_topic": topic,
        "ack_deadline_s": _ACK_DEADLINE_S,
        "kept_since_ms": known.now_ms - retention_s * 1000,
        "state": reaching.state_url(options, options.archive, known.name),
    }


def note(options: Options, facts: Facts, say: Say) -> None:
    """Says what looks odd."""
    wanted_ms = facts.wanted.from_ms
    if facts.kept_since_ms and (wanted_ms is None or wanted_ms < facts.kept_since_ms):
        say(
            f"read {facts.pubsub_topic}: it keeps messages since {rfc3339(facts.kept_since_ms)}; "
            "what was published before is not there any more"
        )
    if options.key.kind == "ordering_key" and not facts.ordered:
        say(
            f"read {facts.subscription}: it has no message ordering, so that messages of one "
            "ordering key may be written in another order; only a new one can have it: "
            "--enable-message-ordering"
        )


def act(options: Options, facts: Facts, say: Say, now_ms: int) -> Facts:
    """Moves the subscription, if `--seek` says so; makes and moves that of a backfill, unless an
    earlier run has."""
    if options.pipeline == BACKFILL:
        return _begin_backfill(options, facts, say)
    if options.seek:
        action = f"seek {facts.subscription}"
        run_all({action: partial(_seek, options, now_ms)}, ACTION_S)
        say(f"{action}: moved to {_target(options)}, for every reader of this subscription")
    return facts


def _begin_backfill(options: Options, facts: Facts, say: Say) -> Facts:
    if facts.status in ("begun", "writing", "paused") and not options.force:
        action = f"go on with {facts.name}"
        run_all({action: partial(_go_on, options, facts)}, ACTION_S)
    if facts.status and not options.force:
        return facts
    action = f"begin {facts.subscription}"
    run_all({action: partial(_make_and_move, options, facts)}, ACTION_S)
    whose = "" if options.create_subscription_from else ", for every reader of this subscription"
    begin_ms = facts.wanted.from_ms
    where = "its oldest message" if begin_ms is None else rfc3339(begin_ms)
    say(f"{action}: moved to {where}{whose}")
    return facts


def status(options: Options, facts: Facts) -> Facts:
    """How far an earlier run of the same backfill got.

    Raises:
      PreflightError: that cannot be read, or not be written.
    """
    action = f"look what {facts.name} has done"
    load = partial(check_again, partial(backfill_state.load, options, facts))
    found, marked = run_all({action: load}, ACTION_S)[action]
    if facts.state:
        run_all({facts.state: partial(reaching.check_state, facts.state)}, ACTION_S)
    return facts.with_({"status": found, "marked": marked})


def _go_on(options: Options, facts: Facts) -> None:
    try:
        with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
            admin.subscription(facts.subscription)
    except PreflightError as error:
        raise PreflightError(f"{error}; --force begins backfill {facts.name} anew") from error
    if facts.status != "writing":
        backfill_state.save(options, facts, "begun")


def _make_and_move(options: Options, facts: Facts) -> None:
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        if options.create_subscription_from:
            admin.ensure_subscription(
                facts.subscription,
                facts.pubsub_topic,
                ack_deadline_s=_ACK_DEADLINE_S,
                expires_after_s=_EXPIRES_AFTER_S,
            )
        admin.seek(facts.subscription, max(0, (facts.wanted.from_ms or 0) - _SEEK_MARGIN_MS))
    backfill_state.save(options, facts, "begun")


def _refuse_future(options: Options, now_ms: int) -> None:
    """Seeking to a time to come would acknowledge every message until then."""
    seek = options.seek
    if seek and seek.timestamp_ms is not None and seek.timestamp_ms > now_ms:
        raise PreflightError(
            f"seek {options.subscription}: the time lies ahead and would drop every message until "
            "then; use --seek=now or an earlier time"
        )


def _seek(options: Options, now_ms: int) -> None:
    assert options.seek is not None
    seek = options.seek
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        if seek.kind == "snapshot":
            admin.seek(options.subscription, snapshot=seek.snapshot)
        else:
            admin.seek(
                options.subscription,
                timestamp_ms=now_ms if seek.kind == "now" else seek.timestamp_ms,
            )


def _target(options: Options) -> str:
    assert options.seek is not None
    if options.seek.kind == "snapshot":
        return options.seek.snapshot
    if options.seek.kind == "now":
        return "now"
    return rfc3339(options.seek.timestamp_ms or 0)
