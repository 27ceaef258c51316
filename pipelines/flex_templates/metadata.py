"""The metadata of the flex templates, made from the declared flags; as Dataflow reads them.

Source: https://cloud.google.com/dataflow/docs/reference/rest/v1b3/TemplateMetadata
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipelines import flag_rules, options
from pipelines.command_line import WHAT
from pipelines.flags import BACKFILL, Flag, Pipeline, Runner
from pipelines.flex_templates.patterns import alternatives, pattern

_TITLES: dict[Pipeline, str] = {
    "ps_to_kafka": "Pub/Sub to Kafka",
    "kafka_to_ps": "Kafka to Pub/Sub",
    "archive": "Kafka or Pub/Sub to an archive",
    "backfill": "Backfill between Kafka, Pub/Sub and an archive",
}


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
        "description": WHAT[pipeline],
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
    form = "true|false" if f.is_boolean else f.metavar
    default = default_value(pipeline, f)
    found: dict[str, Any] = {
        "name": f.name,
        "label": _label(f),
        "helpText": " ".join(_help(f, form, default)),
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


def default_value(pipeline: Pipeline, f: Flag) -> str:
    """A value that says what leaving the flag out says; empty where none does."""
    default = f.default_for(pipeline, Runner.DATAFLOW)
    for candidate in (f.default_text, f"{default:g}" if isinstance(default, float) else default):
        said = str(candidate).lower() if isinstance(candidate, bool) else str(candidate)
        try:
            if said and f.parse(said) == default:
                return said
        except ValueError:
            pass
    return ""


def _help(f: Flag, form: str, default: str) -> Iterator[str]:
    yield f.help
    if f.template not in ("ENUM", "BOOLEAN", "NUMBER"):
        yield f"Form: {' or '.join(alternatives(form))}"
    if not default and f.default_text:
        yield f"(default: {f.default_text})"


_WORDS = {
    "pubsub": "Pub/Sub",
    "kafka": "Kafka",
    "krb5": "Kerberos",
    "conf": "configuration",
    "id": "ID",
    "s": "(seconds)",
    "ms": "(milliseconds)",
    "bytes": "(bytes)",
    "max": "most",
}


def _label(f: Flag) -> str:
    words = " ".join(_WORDS.get(word, word) for word in f.name.split("_"))
    return words[0].upper() + words[1:]
