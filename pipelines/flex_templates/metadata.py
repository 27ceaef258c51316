"""The metadata of the flex templates, made from the declared flags; as Dataflow reads them.

Source: https://cloud.google.com/dataflow/docs/reference/rest/v1b3/TemplateMetadata
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pipelines import flag_rules, options
from pipelines.command_line import WHAT
from pipelines.flags import BACKFILL, Flag, Pipeline, Runner
from pipelines.flex_templates.patterns import pattern, shown

_TITLES: dict[Pipeline, str] = {
    "ps_to_kafka": "Pub/Sub to Kafka",
    "kafka_to_ps": "Kafka to Pub/Sub",
    "archive": "Kafka or Pub/Sub to an archive",
    "backfill": "Backfill between Kafka, Pub/Sub and an archive",
}


_BROKERS = (
    "Kafka needs bootstrap servers, unless they stand before the topic, or in a file of Kafka "
    "properties."
)
_TOGETHER: dict[Pipeline, str] = {
    "ps_to_kafka": _BROKERS,
    "kafka_to_ps": _BROKERS,
    "archive": f"Give either a subscription, or Kafka topics and a group ID. {_BROKERS}",
    "backfill": "Give one source: Kafka topics and a group ID, a subscription, a topic to create a "
    "subscription from, or an archive to read; at least one destination: a Kafka topic, a Pub/Sub "
    "topic or an archive; and at most one way to say what is backfilled: a night, offsets, or from "
    f"and to. {_BROKERS}",
}
"""What is required together, which no field can say by itself."""

_BLANK = "Whatever else is blank means its default, or nothing."


def parameters(pipeline: Pipeline) -> list[Flag]:
    """The flags that a launch may give: those that mean something on Dataflow, in the order of
    help, but for what the launcher says itself."""
    return [
        f
        for f in options.FLAGS
        if f.template and Runner.DATAFLOW in f.where.get(pipeline, frozenset())
    ]


def metadata(pipeline: Pipeline) -> dict[str, Any]:
    """The template's `TemplateMetadata`."""
    found: dict[str, Any] = {
        "name": _TITLES[pipeline],
        "description": f"{WHAT[pipeline]} {_TOGETHER[pipeline]} {_BLANK}",
        "streaming": pipeline != BACKFILL,
    }
    if pipeline != BACKFILL:
        # Both have to be true for a default to be taken. Nothing shuffles, and no more than at
        # least once is promised: what exactly-once mode does beside it costs, and keeps nothing.
        found |= {
            "supportsAtLeastOnce": True,
            "supportsExactlyOnce": True,
            "defaultStreamingMode": "AT_LEAST_ONCE",
        }
    return found | {"parameters": [_parameter(pipeline, f) for f in parameters(pipeline)]}


def text(pipeline: Pipeline) -> str:
    """The content of the template's file."""
    return json.dumps(metadata(pipeline), indent=2, ensure_ascii=False) + "\n"


def _parameter(pipeline: Pipeline, f: Flag) -> dict[str, Any]:
    """The `ParameterMetadata` of one flag."""
    form = _form(f)
    default = default_value(pipeline, f)
    found: dict[str, Any] = {
        "name": f.name,
        "label": _label(f),
        "helpText": " ".join(_help(pipeline, f, form, default)),
        "paramType": f.template,
        "regexes": [pattern(form)],
    }
    if f.name not in flag_rules.REQUIRED[pipeline]:
        found["isOptional"] = True
    if f.template == "ENUM":
        found["enumOptions"] = [{"value": word, "label": word} for word in form.split("|")]
    if default:
        found["defaultValue"] = default
    if not f.parent:
        return found | {"groupName": f.group[0].upper() + f.group[1:]}
    parent, _, values = f.parent.partition("=")
    return found | {"parentName": parent, "parentTriggerValues": values.split("|")}


def _form(f: Flag) -> str:
    return "true|false" if f.is_boolean else f.metavar


def form_of(f: Flag) -> str:
    """The form of a flag's value in a template, for people."""
    return shown(_form(f))


def default_value(pipeline: Pipeline, f: Flag) -> str:
    """A value that says what leaving the flag out says; empty where none does."""
    default = f.default_for(pipeline, Runner.DATAFLOW)
    for candidate in (f.default_text, f"{default:g}" if isinstance(default, float) else default):
        said = str(candidate).lower() if isinstance(candidate, bool) else str(candidate)
        try:
            if said and f.parse(said) == default:
                return said
        except ValueError:
            continue  # words such as `what is there when the backfill begins`
    return ""


_UNTOLD = ("TEXT", "NUMBER", "BOOLEAN", "ENUM")
"""Types that do not tell the side by themselves."""

_SIDES = {
    "reads kafka": "Only from Kafka.",
    "reads pubsub": "Only from Pub/Sub.",
    "writes kafka": "Only to Kafka.",
    "writes pubsub": "Only to Pub/Sub.",
    "writes archive": "Only with an archive.",
}


_ENDS: dict[Pipeline, tuple[str, ...]] = {
    "ps_to_kafka": ("reads pubsub", "writes kafka"),
    "kafka_to_ps": ("reads kafka", "writes pubsub"),
    "archive": ("writes archive",),
    "backfill": (),
}
"""What a pipeline does however it is launched."""


def _help(pipeline: Pipeline, f: Flag, form: str, default: str) -> Iterator[str]:
    yield _of_a_form(f.form_help or f.help_for(pipeline))
    if f.side and f.side not in _ENDS[pipeline] and f.template in _UNTOLD:
        yield _SIDES[f.side]
    if f.template not in ("ENUM", "BOOLEAN"):
        yield f"Form: {shown(form)}."
    if not default and f.default_text:
        yield f"Default: {_of_a_form(f.default_text)}."


def _of_a_form(text: str) -> str:
    """Without what belongs to a command line, or lies beside it."""
    return re.sub(r"--(?=[a-z])| \(docs/\w+\.md\)", "", text)


_WORDS = {
    "pubsub": "Pub/Sub",
    "kafka": "Kafka",
    "krb5": "Kerberos",
    "conf": "configuration",
    "id": "ID",
    "s": "(seconds)",
    "ms": "(milliseconds)",
}


_LABELS = {
    "change_hour": "Hour at which a night begins (UTC)",
    "create_topics": "Create the Kafka topic",
    "days_back": "Nights before tonight",
    "file_bytes": "Largest file",
    "file_seconds": "Oldest file (seconds)",
    "force": "Repeat what is done",
    "from": "From this time, or these offsets",
    "from_archive": "Archive to read",
    "key": "Kafka key",
    "max_in_flight_bytes": "Most bytes in flight",
    "max_lease_s": "Longest lease (seconds)",
    "partition": "Kafka partition",
    "returns": "Messages that come back",
    "state": "File of the state",
    "to": "To this time, or these offsets",
}
"""Where the name alone would say too little."""


def _label(f: Flag) -> str:
    if f.name in _LABELS:
        return _LABELS[f.name]
    words = " ".join(_WORDS.get(word, word) for word in f.name.split("_"))
    return words[0].upper() + words[1:]
