"""Reads the files of a Kafka Connect installation; tells their kinds apart by what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.migrate import environment
from pipelines.migrate.properties import is_known
from pipelines.migrate.settings import Settings
from transforms.errors import UsageError
from transforms.kafka import jaas
from transforms.kafka.properties_file import parse_properties

_MOST_BYTES = 1_000_000
"""Above any file of settings; one that is larger is the wrong one."""

CLASS = "connector.class"
_OF_CONNECTORS = ("cps.", "pubsublite.")
_AROUND = ("name", "config", "tasks", "type", "info", "status")
"""What Connect's REST interface has around a connector's settings."""

_WANTED = (
    "give a worker's or a connector's .properties, the JSON of Connect's REST interface, a file of "
    "CONNECT_* variables, or a JAAS file"
)


@dataclass
class Files:
    """What the files say.

    Attributes:
      connectors: the settings of each connector.
      workers: the settings of workers: of properties and of environment variables.
      jaas: paths of JAAS files.
    """

    connectors: list[Settings] = field(default_factory=list)
    workers: list[Settings] = field(default_factory=list)
    jaas: list[str] = field(default_factory=list)


def read(paths: Sequence[str]) -> Files:
    """Reads files in any order.

    Raises:
      UsageError: a file cannot be read or is not understood (named, with the reason), or two of
        them configure one connector.
    """
    files = Files()
    for path in dict.fromkeys(paths):
        text = _text(path)
        try:
            _add(files, path, text)
        except ValueError as error:
            raise UsageError(f"read {path}: {error}; {_WANTED}") from None
    _refuse_twice(files.connectors)
    return files


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise UsageError(f"read {path}: it is over {_MOST_BYTES:,} bytes; {_WANTED}")
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"read {path}: {reason}; {_WANTED}") from None
    if "\0" in text or not text.strip():
        wrong = "it is empty" if not text.strip() else "it holds zero bytes"
        raise UsageError(f"read {path}: {wrong}; {_WANTED}")
    return text


def _add(files: Files, path: str, text: str) -> None:
    """Adds what one file says.

    Raises:
      ValueError: it is not understood.
    """
    if text.lstrip()[0] in "{[":
        _add_json(files, path, text)
    elif jaas.is_jaas_file(text):
        jaas.understand_file(text)
        files.jaas.append(path)
    elif (variables := environment.variables(text)) is not None:
        names = {environment.setting(name): name for name in variables}
        values = {name: variables[variable] for name, variable in names.items()}
        files.workers.append(Settings(path, values, variables=names))
    else:
        _add_properties(files, path, path, parse_properties(text))


def _add_properties(files: Files, where: str, path: str, values: Mapping[str, str]) -> None:
    if CLASS in values:
        files.connectors.append(Settings(where, values))
    elif any(name.startswith(_OF_CONNECTORS) for name in values):
        raise ValueError(f"{CLASS} is missing")
    elif any(is_known(name) for name in values):
        # A pipe is empty once it has been read; its settings become flags.
        referable = path if path and Path(path).is_file() else ""
        files.workers.append(Settings(where, values, referable))
    else:
        raise ValueError(f"it has neither {CLASS} nor bootstrap.servers")


# -- JSON ------------------------------------------------------------------------------------------


def _add_json(files: Files, path: str, text: str) -> None:
    try:
        configs = list(_configs(json.loads(text, object_pairs_hook=_without_repetition)))
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON in line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    for values in configs:
        _add_properties(files, path, "", values)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{', '.join(map(repr, repeated))} stands there more than once")
    return found


def _configs(content: Any) -> Iterator[dict[str, str]]:
    """The settings of each connector, in any of the forms that Connect's REST interface has."""
    if isinstance(content, list):
        for each in content:
            yield from _configs(each)
    elif not isinstance(content, dict) or ("status" in content and "info" not in content):
        raise ValueError("there are no settings in it; ask for /connectors?expand=info")
    elif isinstance(content.get("config"), dict):
        yield _named(content)
    elif isinstance(content.get("info"), dict):
        yield from _configs(content["info"])
    elif content and all(isinstance(each, dict) for each in content.values()):
        for each in content.values():
            yield from _configs(each)
    else:
        yield _texts(content)


def _named(content: Mapping[str, Any]) -> dict[str, str]:
    """The settings under `config`, with the name beside them."""
    unknown = [name for name in content if name not in _AROUND]
    beside = _texts({name: content[name] for name in unknown} | {"name": content.get("name")})
    return beside | _texts(content["config"])


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as Connect has them, all texts; null is as if it were not there."""
    found = {}
    for name, value in values.items():
        if isinstance(value, (dict, list)):
            raise ValueError(f"{name!r} is no text")
        if value is not None:
            found[name] = value if isinstance(value, str) else json.dumps(value)
    return found


def _refuse_twice(connectors: Sequence[Settings]) -> None:
    seen: dict[str, str] = {}
    for settings in connectors:
        name = settings.peek("name")
        if name and name in seen:
            places = " and ".join(dict.fromkeys((seen[name], settings.where)))
            raise UsageError(
                f"read {places}: connector {name!r} is configured twice; give one of the two"
            )
        seen[name] = settings.where
