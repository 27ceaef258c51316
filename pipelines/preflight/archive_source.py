"""What reading an archive needs: a folder with files in it, and a file that remembers."""

from __future__ import annotations

from functools import partial

from pipelines.options import Options
from pipelines.preflight import common
from pipelines.preflight.common import CALL_S, Facts, Found, Look, Say
from transforms.errors import PreflightError

_STATE = "_backfill/{}.json"


def name(options: Options) -> str:
    """What an error calls this check."""
    return options.from_archive


def look(options: Options, known: Look) -> Found:
    """Looks at the folder; its files are opened when they are read."""
    from transforms import filesystem

    common.use_files_as(options.impersonate_service_account)
    url = filesystem.checked(options.from_archive)
    filesystem.ask(PreflightError, "list", url, partial(filesystem.below, url), CALL_S)
    state = options.state or filesystem.join(url, _STATE.format(known.name))
    return {"topics": known.wanted.topics, "state": state}


def note(options: Options, facts: Facts, say: Say) -> None:
    """Nothing looks odd."""


def act(options: Options, facts: Facts, say: Say, now_ms: int) -> Facts:
    """Forgets what is done, if `--force` says so."""
    from transforms import filesystem

    if options.force and filesystem.exists(facts.state):
        forget = partial(filesystem.delete, facts.state)
        filesystem.ask(PreflightError, "delete", facts.state, forget, CALL_S)
        say(f"forget what {facts.name} has done: {facts.state} is deleted")
    return facts
