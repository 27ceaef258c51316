"""What a launch names is where the launcher and the workers are: in buckets and in Secret Manager.

Here, where nobody may be logged in, none of it is read: files of this machine stand in for it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from pipelines import resource_names
from pipelines.options import Options
from transforms import nights
from transforms.errors import UsageError
from transforms.kafka import config
from transforms.kafka.property_table import LOGIN

_OFFSETS = "offsets="


@contextlib.contextmanager
def stand_ins(values: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The same parameters with files of this machine in place of those at gs://.

    Raises:
      UsageError: a file is nowhere where a launcher could read it.
    """
    with tempfile.TemporaryDirectory() as folder:
        found, topic = dict(values), _a_topic(values.get("kafka_topics", ""))
        contents = {
            # As if it had all that a file may have, since it may.
            "kafka_properties": "bootstrap.servers=of-a-file:9092\ngroup.id=of-a-file\n",
            "offsets": f'{{"{topic}": {{"0": "0-1"}}}}',
            **dict.fromkeys(("start", "stop", "from", "to"), f'{{"{topic}": {{"0": 1}}}}'),
        }
        for name, content in contents.items():
            text = values.get(name, "")
            before = _OFFSETS if text.startswith(_OFFSETS) else ""
            if not (before or (text and name in ("kafka_properties", "offsets"))):
                continue
            for path in text.removeprefix(before).split(","):
                _require_bucket(name, path)
            file = Path(folder) / name
            file.write_text(content)
            found[name] = f"{before}{file}"
            if name != "kafka_properties" and "^" in values.get("kafka_topics", ""):
                found["kafka_topics"] = f"{values['kafka_topics']}|"  # has any topic, too
        yield found


def _a_topic(text: str) -> str:
    """One of those that are read, as far as can be told."""
    first = resource_names.brokers_and_topics(text)[1].partition(",")[0]
    if not first or first.startswith("^"):
        return "of-a-file"
    try:
        return nights.names([first], date(2000, 1, 1))[0] if nights.is_template(first) else first
    except ValueError:
        return first


def _require_bucket(name: str, path: str) -> None:
    if not path.startswith("gs://"):
        raise UsageError(
            f"{name}: {path} is not at gs://, and the launcher has no file of this machine; copy "
            "it into a bucket and name it gs://..."
        )


def refuse_references(options: Options) -> None:
    """Refuses references to what only this machine has.

    Raises:
      UsageError: names the parameter, and what a launcher could fetch.
    """
    for name, value in options.properties.items():
        entry = LOGIN.get(config.without_prefix(name)[1])
        if not (entry and entry.file and value.startswith("file:")):  # which an image may have
            _require_secret(f"kafka_config: {name}", value)
    _require_secret("schema_registry_login", options.schema_registry_login)


def _require_secret(name: str, value: str) -> None:
    if value.startswith(("env:", "file:")):
        raise UsageError(
            f"{name}: {value} is on this machine, if anywhere, and not where the job runs; give "
            "secret:projects/P/secrets/S/versions/V"
        )
