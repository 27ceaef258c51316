"""From the form of a flag's value, as help shows it, to a regular expression of such values. Pure.

They keep to what RE2 knows, and say less than the flags' parsers, which have the last word: they
refuse in a form, at once, what a launcher would refuse minutes later.
"""

from __future__ import annotations

import re

from transforms.limits import (
    KAFKA_MAX_TOPIC_NAME_CHARACTERS,
    PUBSUB_MAX_NAME_CHARACTERS,
    PUBSUB_MIN_NAME_CHARACTERS,
)
from transforms.topic_names import PROJECT

_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)"
_HOST_PORT = rf"{_HOST}:[0-9]{{1,5}}"
_TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EXPONENT = r"(?:[eE][+-]?[0-9]{1,3})?"
_NUMBER = rf"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+){_EXPONENT}"
_ABOVE_0 = rf"\+?(?:[0-9]*[1-9][0-9]*\.?[0-9]*|[0-9]*\.[0-9]*[1-9][0-9]*){_EXPONENT}"
_FIELD = r"\{[^{}]+\}"
_EMAIL = r"(?:[A-Za-z0-9._-]+@[A-Za-z0-9._-]+|[0-9]+)"
_ANY = r"(?:.*\S.*)"
_KAFKA = rf"[A-Za-z0-9._-]{{1,{KAFKA_MAX_TOPIC_NAME_CHARACTERS}}}"
_PUBSUB = rf"[A-Za-z0-9._~+%-]{{{PUBSUB_MIN_NAME_CHARACTERS},{PUBSUB_MAX_NAME_CHARACTERS}}}"

_BROKERS = rf"(?:{_HOST_PORT}(?:,{_HOST_PORT})*;)?"
"""As the form of a `KAFKA_..._TOPIC` has it before the topic."""

_MANAGED = r"projects/[^/\s]+/locations/[^/\s]+/clusters/[^/\s]+/topics/[^/\s]+"

_FORMS = {
    "projects/P/subscriptions/S": rf"projects/{PROJECT}/subscriptions/{_PUBSUB}",
    "projects/P/topics/T": rf"projects/{PROJECT}/topics/(?:[A-Za-z0-9._~+%-]|{_FIELD})+",
    "T": rf"{_BROKERS}(?:[A-Za-z0-9._-]|{_FIELD})+|{_MANAGED}",
    "T1,T2": rf"{_BROKERS}[A-Za-z0-9._%-]+(?:,[A-Za-z0-9._%-]+)*|{_MANAGED}",
    "^REGEX": rf"{_BROKERS}\^.+",
    "H:PORT[,H:PORT...]": rf"{_HOST_PORT}(?:,{_HOST_PORT})*",
    "HOST[:PORT]": rf"{_HOST}(?::[0-9]{{1,5}})?",
    "EMAIL[,EMAIL...]": rf"{_EMAIL}(?:,{_EMAIL})*",
    "G": _ANY,
    "NAME": _ANY,
    "PARTITIONS:REPLICATION": r"[0-9]{1,6}:[0-9]{1,4}",
    "H": r"0*(?:1?[0-9]|2[0-3])",
    "N": r"[0-9]{0,14}[1-9][0-9]{0,14}",
    "NIGHTS": r"0*[0-9]{1,3}",
    "-N": r"-[1-9][0-9]{0,4}",
    "S": _ABOVE_0,
    "MS": _NUMBER,
    "SIZE": r"[0-9]+\s*(?:[kKmMgG][iI]?[bB])?",
    "YYYY-MM-DD": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "RFC3339": _TIME,
    "timestamp=RFC3339": f"timestamp={_TIME}",
    "offsets=gs://...": r"offsets=gs://[^*?\[]+",
    "snapshot=NAME": rf"snapshot=(?:projects/{PROJECT}/snapshots/)?{_PUBSUB}",
    "attribute:NAME": r"attribute:.+",
    "kafka://T": f"kafka://{_KAFKA}",
    "pubsub://projects/P/topics/T": rf"pubsub://projects/{PROJECT}/topics/{_PUBSUB}",
    "gs://...": r"gs://[^*?\[]+",
    "http(s)://...": r"https?://[^\s@?#]+",
    "secret:projects/P/secrets/S/versions/V": r"secret:projects/[^/\s]+(?:/locations/[^/\s]+)?"
    r"/secrets/[^/\s]+/versions/[^/\s]+",
    "KEY=VALUE": r"\s*[^\s={][^=]*=(?:.|\n)*",
    "JSON": r"\s*\{(?:.|\n)*\}\s*",
    "gs://...[,gs://...]": r"gs://[^,*?\[]+(?:,gs://[^,*?\[]+)*",
    "true|false": r"(?i:true|false)",
}
_NOT_THERE = ("FOLDER", "FILE", "s3://...", "env:NAME", "file:PATH", "night_end")
"""What a launcher or its workers do not have, or no log-in for; the other alternatives remain."""

_IN_A_BUCKET = {"offsets=FILE": "offsets=gs://...", "FILE[,FILE...]": "gs://...[,gs://...]"}
"""Where files are that a launcher reads."""

_SHOWN = {
    "T": "TOPIC or HOST:PORT,...;TOPIC",
    "T1,T2": "TOPIC,TOPIC,... or HOST:PORT,...;TOPIC,TOPIC,...",
    "H:PORT[,H:PORT...]": "HOST:PORT, several with commas between them",
    "gs://...": "gs://BUCKET/PATH",
    "gs://...[,gs://...]": "gs://BUCKET/PATH, several with commas between them",
    "offsets=gs://...": "offsets=gs://BUCKET/PATH",
    "http(s)://...": "https://HOST[:PORT][/PATH]",
    "SIZE": "a number of bytes, or such as 100MB",
    "N": "a whole number above 0",
    "NIGHTS": "a whole number",
    "H": "a whole number from 0 to 23",
    "S": "a number above 0",
    "MS": "a number",
    "G": "any text",
    "NAME": "any text",
}
"""How a form is shown to people who see no usage."""


def pattern(form: str) -> str:
    """What matches all of a value of this form.

    Args:
      form: alternatives with `|` between them; lower-case words stand for themselves.
    Raises:
      KeyError: an alternative has no expression here.
    """
    return f"^(?:{'|'.join(map(_of, alternatives(form)))})$"


def alternatives(form: str) -> list[str]:
    """What a form admits in a template."""
    parts = [form] if form in _FORMS else form.split("|")
    return [_IN_A_BUCKET.get(each, each) for each in parts if each not in _NOT_THERE]


def shown(form: str) -> str:
    """The same for people."""
    return " or ".join(_SHOWN.get(each, each) for each in alternatives(form))


def _of(alternative: str) -> str:
    if re.fullmatch(r"[a-z_-]+", alternative):
        return alternative
    return _FORMS[alternative]
