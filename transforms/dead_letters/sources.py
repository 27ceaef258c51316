"""Opening the places that dead letters are read from. A system is imported when it is opened."""

from __future__ import annotations

from functools import partial

from transforms.dead_letter import DeadLetterSource
from transforms.dead_letters.places import Place
from transforms.errors import PreflightError, UsageError
from transforms.kafka.client import KafkaConfig
from transforms.pubsub.service import DEFAULT, Service


def open_source(
    place: Place,
    cluster: KafkaConfig,
    group_id: str,
    ack_deadline_s: int,
    state_url: str,
    service: Service = DEFAULT,
) -> DeadLetterSource:
    """Opens a place for reading; only a subscription is connected to at once.

    Args:
      cluster: where a Kafka topic is.
      group_id: whose offsets remember what is done of a Kafka topic.
      ack_deadline_s: a subscription's own.
      state_url: what remembers what is done of files; empty for `redriven.json` beside them.
      service: where a subscription is, and who reads it.
    Raises:
      UsageError: a package that is needed is not installed.
      PreflightError: there are no credentials.
    """
    if place.kind == "kafka":
        from transforms.dead_letters.kafka import KafkaDeadLetterSource

        return KafkaDeadLetterSource(cluster, place.name, group_id)
    if place.kind == "pubsub":
        from transforms.dead_letters.pubsub import PubsubDeadLetterSource

        return PubsubDeadLetterSource(place.name, ack_deadline_s, service=service)
    from transforms.dead_letters.files import FileDeadLetterSource

    return FileDeadLetterSource(place.name, state_url or None)


def check_folder(place: Place, state_url: str, remembers: bool, timeout_s: float) -> None:
    """Lists a folder; and writes and deletes a hidden file beside its state.

    Args:
      state_url: as for `open_source`.
      remembers: whether the state is going to be written.
      timeout_s: deadline of each of the two.
    Raises:
      PreflightError: the folder is not there, one of the two cannot be done, or a package that is
        needed is not installed.
    """
    from transforms import filesystem
    from transforms.dead_letters import files

    try:
        folder = filesystem.checked(place.name)
        listing = partial(filesystem.names, folder)
        filesystem.ask(PreflightError, "list", folder, listing, timeout_s)
        if remembers:
            beside = state_url.rpartition("/")[0] or "/"
            files.check(beside if state_url else folder, timeout_s)
    except UsageError as error:
        raise PreflightError(str(error)) from error
