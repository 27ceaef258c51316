"""Settings that Google's sink and source share: Pub/Sub's endpoint, and who logs in there."""

from __future__ import annotations

from pipelines.migrate.settings import Draft, Kind
from pipelines.migrate.table import Row, boolean, number, set_number

CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
EMULATOR = "PUBSUB_EMULATOR_HOST"

_DEFAULT_ENDPOINT = "pubsub.googleapis.com:443"
_FILES = ("gcp.sa.credentials.file.path", "gcp.credentials.file.path")
_JSON = ("gcp.sa.credentials.json", "gcp.credentials.json")

_IN_FLIGHT = Row(Kind.SAME, flag="max_in_flight_bytes", at_least=1_000_000, at_most=8_000_000_000)


def take_google(draft: Draft, emulator_host: str) -> None:
    """Takes endpoint and credentials.

    Args:
      emulator_host: PUBSUB_EMULATOR_HOST of the worker's environment, or empty.
    Raises:
      UsageError: a value makes no sense.
    """
    endpoint = draft.own.peek("cps.endpoint")
    if endpoint and ":" not in endpoint:
        endpoint += ":443"
    if boolean(draft.own, "cps.useEmulator"):
        draft.environment[EMULATOR] = emulator_host or endpoint or _DEFAULT_ENDPOINT
        text = f"{EMULATOR} stands in front of the command"
        names = [name for name in ("cps.useEmulator", "cps.endpoint") if name in draft.own]
        draft.note(Kind.SAME, text, draft.own, *names)
    elif "cps.useEmulator" in draft.own:
        text = f"the bridge uses the emulator where {EMULATOR} is set, and only there"
        draft.note(Kind.SAME, text, draft.own, "cps.useEmulator")
    if endpoint == _DEFAULT_ENDPOINT:
        draft.note(Kind.SAME, "it is the default", draft.own, "cps.endpoint")
    elif endpoint and EMULATOR not in draft.environment:
        draft.flag("pubsub_endpoint", endpoint, draft.own, "cps.endpoint")
    _take_credentials(draft)


def _take_credentials(draft: Draft) -> None:
    """A file is named in front of the command; a key that stands in the settings is never shown.

    Of several the connector takes those of the service account first, files before JSON.
    """
    own = draft.own
    given = [name for pair in zip(_FILES, _JSON, strict=True) for name in pair if own.peek(name)]
    for name in given[1:]:
        draft.note_names(Kind.SAME, f"the connector takes {given[0]} in its place", own, name)
    if given and given[0] in _FILES:
        path = own.take(given[0])
        if "${" in path:
            text = f"set {CREDENTIALS} to the path of the file that it names"
            draft.note_names(Kind.FIRST, text, own, given[0])
        else:
            draft.environment[CREDENTIALS] = path
    elif given:
        draft.note_names(
            Kind.FIRST,
            f"put the key into a file that only the bridge's user can read, and set {CREDENTIALS} "
            "to its path",
            own,
            given[0],
        )
    for name in (*_FILES, *_JSON):
        if name in own and not own.peek(name):
            draft.note_names(Kind.SAME, "it is empty", own, name)


def take_in_flight(draft: Draft, name: str) -> None:
    """Takes a number of bytes that a task of the connector has under way at most.

    Raises:
      UsageError: it is no number.
    """
    if name not in draft.own:
        return
    if number(draft.own, name) > _IN_FLIGHT.at_most:
        draft.note(
            Kind.DIFFERS,
            "what is in flight is always bounded, by --max_in_flight_bytes",
            draft.own,
            name,
        )
        return
    set_number(draft, draft.own, name, _IN_FLIGHT)
    text = (
        "it counts all that one bridge has read and that is not confirmed; the connector counts it "
        "per task"
    )
    draft.note(Kind.DIFFERS, text, draft.own, name)
