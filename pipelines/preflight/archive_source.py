"""What reading an archive needs: files of what is asked for, and a file that remembers."""

from __future__ import annotations

import hashlib
from functools import partial

from pipelines import graph, reaching
from pipelines.facts import Facts, Found, Look
from pipelines.flags import End
from pipelines.options import Options
from pipelines.reaching import CALL_S, Say
from transforms.errors import CommitError, PreflightError
from transforms.registry import BridgeConfig


def name(options: Options) -> str:
    """What an error calls this check."""
    return options.from_archive


def look(options: Options, known: Look) -> Found:
    """Lists the files of what is asked for, and reads what is remembered."""
    from transforms import filesystem
    from transforms.archive import source

    reaching.use_files_as(options.impersonate_service_account)
    url = filesystem.checked(options.from_archive)
    found: Found = {
        "topics": known.wanted.topics,
        "state": reaching.state_url(options, url, known.name),
    }
    config = graph.archive_config(
        options, Facts(wanted=known.wanted, **found), BridgeConfig("look")
    )
    files = source.files(config)
    if not files:
        raise PreflightError(
            f"read {url}: there are no files of what is asked for; correct --from_archive, "
            "--kafka_topics or the range"
        )
    reaching.check_state(found["state"])
    digest = hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()
    left = None if options.force else source.total(config)
    if not options.force and _finished(found["state"]) == digest:
        left = 0
    return {
        **found,
        "archived_left": left,
        "archived_files": len(files),
        "files_digest": digest,
        "archived_ends": frozenset(map(_end_of, files)),
    }


def _end_of(path: str) -> End:
    from transforms.archive import layout

    file = layout.parse(path)
    return "pubsub" if file is not None and file.partition is None else "kafka"


_FINISHED = "{}.finished"
"""Beside the state: what a finished run has read, as a hash of its files' names."""


def _finished(state: str) -> str:
    from transforms import filesystem

    path = _FINISHED.format(state)
    there = filesystem.ask(PreflightError, "find", path, partial(filesystem.exists, path), CALL_S)
    if not there:
        return ""
    return filesystem.ask(
        PreflightError, "read", path, partial(filesystem.get, path), CALL_S
    ).decode("ascii", "replace")


def remember_finished(facts: Facts) -> None:
    """All of these files is delivered.

    Raises:
      CommitError: that cannot be remembered.
    """
    from transforms import filesystem

    path = _FINISHED.format(facts.state)
    put = partial(filesystem.put, path, facts.files_digest.encode())
    filesystem.ask(CommitError, "write", path, put, CALL_S)


def note(options: Options, facts: Facts, say: Say) -> None:
    """Nothing looks odd."""


def act(options: Options, facts: Facts, say: Say, now_ms: int) -> Facts:
    """Forgets what is done, if `--force` says so."""
    from transforms import filesystem

    if not options.force:
        return facts
    # In this order: after a kill in between it is not done, and begins where it was.
    for path in (_FINISHED.format(facts.state), facts.state):
        find, forget = partial(filesystem.exists, path), partial(filesystem.delete, path)
        if filesystem.ask(PreflightError, "find", path, find, CALL_S):
            filesystem.ask(PreflightError, "delete", path, forget, CALL_S)
            say(f"forget what {facts.name} has done: {path} is deleted")
    return facts
