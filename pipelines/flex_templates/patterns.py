"""From the form of a flag's value, as help shows it, to a regular expression of such values. Pure.

They keep to what RE2 knows, and say less than the flags' parsers, which have the last word: they
refuse in a form, at once, what a launcher would refuse minutes later.
"""

from __future__ import annotations

import re

from transforms.topic_names import PROJECT

_HOST_PORT = r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}"
_TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_NUMBER = r"[0-9.eE+-]+"
_FIELD = r"\{[^{}]+\}"
_EMAIL = r"(?:[A-Za-z0-9._-]+@[A-Za-z0-9._-]+|[0-9]+)"
_ANY = r"(?:.*\S.*)"

_BROKERS = rf"(?:{_HOST_PORT}(?:,{_HOST_PORT})*;)?"
"""As the form of a `KAFKA_..._TOPIC` has it before the topic."""

_MANAGED = r"projects/[^/\s]+/locations/[^/\s]+/clusters/[^/\s]+/topics/[^/\s]+"

_FORMS = {
    "projects/P/subscriptions/S": rf"projects/{PROJECT}/subscriptions/[A-Za-z0-9._~+%-]{{3,255}}",
    "projects/P/topics/T": rf"projects/{PROJECT}/topics/(?:[A-Za-z0-9._~+%-]|{_FIELD})+",
    "T": rf"{_BROKERS}(?:[A-Za-z0-9._-]|{_FIELD})+|{_MANAGED}",
    "T1,T2": rf"{_BROKERS}[A-Za-z0-9._%-]+(?:,[A-Za-z0-9._%-]+)*|{_MANAGED}",
    "^REGEX": rf"{_BROKERS}\^.+",
    "H:PORT[,H:PORT...]": rf"{_HOST_PORT}(?:,{_HOST_PORT})*",
    "HOST[:PORT]": r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?",
    "EMAIL[,EMAIL...]": rf"{_EMAIL}(?:,{_EMAIL})*",
    "G": _ANY,
    "NAME": _ANY,
    "PARTITIONS:REPLICATION": r"[0-9]{1,6}:[0-9]{1,4}",
    "H": r"[0-9]{1,2}",
    "N": r"[0-9]{1,15}",
    "-N": r"-[1-9][0-9]{0,4}",
    "S": _NUMBER,
    "MS": _NUMBER,
    "SIZE": r"[0-9]+\s*(?:[kKmMgG][iI]?[bB])?",
    "YYYY-MM-DD": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "RFC3339": _TIME,
    "timestamp=RFC3339": f"timestamp={_TIME}",
    "offsets=FILE": f"offsets={_ANY}",
    "snapshot=NAME": rf"snapshot=(?:projects/{PROJECT}/snapshots/)?[A-Za-z0-9._~+%-]{{3,255}}",
    "attribute:NAME": r"attribute:.+",
    "kafka://T": r"kafka://[A-Za-z0-9._-]{1,249}",
    "pubsub://projects/P/topics/T": rf"pubsub://projects/{PROJECT}/topics/[A-Za-z0-9._~+%-]{{3,255}}",
    "gs://...": r"gs://[^*?\[]+",
    "s3://...": r"s3://[^*?\[]+",
    "http(s)://...": r"https?://[^\s@?#]+",
    "env:NAME": r"env:[A-Za-z_][A-Za-z0-9_]*",
    "file:PATH": r"file:.+",
    "secret:projects/P/secrets/S/versions/V": r"secret:projects/[^/\s]+(?:/locations/[^/\s]+)?"
    r"/secrets/[^/\s]+/versions/[^/\s]+",
    "KEY=VALUE": r"\s*[^\s={][^=]*=(?:.|\n)*",
    "JSON": r"\s*\{(?:.|\n)*\}\s*",
    "FILE[,FILE...]": _ANY,
    "true|false": r"(?i:true|false)",
}
_LOCAL = ("FOLDER", "FILE")
"""Of one machine: the other alternatives remain."""


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
    return [form] if form in _FORMS else [each for each in form.split("|") if each not in _LOCAL]


def _of(alternative: str) -> str:
    if re.fullmatch(r"[a-z_-]+", alternative):
        return alternative
    return _FORMS[alternative]
