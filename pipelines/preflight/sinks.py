"""What the destinations need: a topic that may be written, a folder that takes files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

from pipelines import reaching
from pipelines.checks import check_again, run_all
from pipelines.facts import Facts, Found
from pipelines.options import Options
from pipelines.preflight import templates
from pipelines.reaching import ACTION_S, CALL_S, Say
from transforms.errors import PreflightError
from transforms.kafka.client import TopicInfo
from transforms.pubsub import client as pubsub


def checks(options: Options) -> dict[str, Callable[[], Found]]:
    """One check for each destination, by what an error calls it."""
    found: dict[str, Callable[[], Found]] = {}
    for sink in options.route.sinks:
        if sink == "archive":
            found["archive"] = partial(_archive, options)
        elif options.template is not None:
            found[options.template.text] = partial(templates.reach, options, options.template)
        elif sink == "kafka":
            name = f"Kafka at {options.bootstrap_servers}"
            found[name] = partial(check_again, partial(_kafka_topic, options))
        else:
            found[options.pubsub_topic] = partial(_pubsub_topic, options)
    return found


def act(options: Options, facts: Facts, say: Say) -> Facts:
    """Creates the Kafka topic that is missing, if `--create_topics` says so."""
    if not facts.new_topic:
        return facts
    action = f"create {options.kafka_topic}"
    created: TopicInfo = run_all({action: partial(_create_topic, options)}, ACTION_S)[action]
    say(f"{action}: done, with {created.partitions} partitions")
    return facts.with_({"topic": created, "new_topic": False})


def _pubsub_topic(options: Options) -> Found:
    needs = reaching.moved_here(options, pubsub.PUBLISH)
    with closing(pubsub.open_admin(CALL_S, options.pubsub)) as admin:
        admin.topic(options.pubsub_topic, *needs)
    return {}


def _kafka_topic(options: Options) -> Found:
    name = options.kafka_topic
    with closing(reaching.open_kafka(options.kafka)) as admin:
        info = admin.topics([name]).get(name)
        cluster_id = admin.cluster_id()
    if info is not None:
        reaching.require("WRITE", info)
        return {"topic": info, "cluster_id": cluster_id}
    if options.create_topics is None:
        raise PreflightError(
            f"write {name}: no such topic at {options.bootstrap_servers}; create it, correct "
            "--kafka_topic, or set --create_topics=PARTITIONS:REPLICATION"
        )
    return {"new_topic": True, "cluster_id": cluster_id}


def _create_topic(options: Options) -> TopicInfo:
    assert options.create_topics is not None
    name, layout = options.kafka_topic, options.create_topics
    with closing(reaching.open_kafka(options.kafka)) as admin:
        admin.create_topic(name, layout.partitions, layout.replication)
        return admin.topics([name])[name]


def _archive(options: Options) -> Found:
    from transforms.dead_letters import files

    reaching.use_files_as(options.impersonate_service_account)
    files.check(options.archive, CALL_S)
    return {}
