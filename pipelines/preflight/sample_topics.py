"""Where the messages of a sample would go; a topic that they name is looked up once."""

from __future__ import annotations

from contextlib import closing

from pipelines import reaching
from pipelines.facts import Facts
from pipelines.options import Options
from pipelines.policies import resolved
from pipelines.reaching import CALL_S
from transforms.errors import RefusedError
from transforms.kafka.client import TopicInfo
from transforms.pubsub import client as pubsub
from transforms.records import KafkaRecord, PubsubRecord


class Topics:
    """The destinations of a bridge that is not run."""

    def __init__(self, options: Options, facts: Facts) -> None:
        self._options = options
        self._facts = facts
        self._template = resolved(options, facts)
        self._found: dict[str, TopicInfo | None] = {}

    def of(self, record: KafkaRecord | PubsubRecord) -> TopicInfo:
        """The topic of a message; of one of Pub/Sub nothing but the name.

        Raises:
          UnmappableError: the message names none.
          RefusedError: the topic is not there.
          PreflightError: it cannot be looked for.
        """
        options = self._options
        if self._template is None:
            if "kafka" in options.route.sinks:
                return self._facts.topic._replace(name=options.kafka_topic)
            return _pubsub_info(options.pubsub_topic)
        name = self._template.name_for(record)
        if name not in self._found:
            in_kafka = self._template.system == "kafka"
            self._found[name] = self._in_kafka(name) if in_kafka else self._in_pubsub(name)
        found = self._found[name]
        if found is None:
            raise RefusedError(f"write {name}: no such topic")
        return found

    def _in_kafka(self, name: str) -> TopicInfo | None:
        with closing(reaching.open_kafka(self._options.kafka)) as admin:
            return admin.topics([name]).get(name)

    def _in_pubsub(self, name: str) -> TopicInfo | None:
        with closing(pubsub.open_admin(CALL_S, self._options.pubsub)) as admin:
            return _pubsub_info(name) if admin.has_topic(name) else None


def _pubsub_info(name: str) -> TopicInfo:
    return TopicInfo(name, 0, 0)
