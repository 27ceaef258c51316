"""Reads the files of a Kafka Connect installation; tells their kinds apart by what is in them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.migrate.properties import is_known
from pipelines.migrate.settings import Settings
from transforms.errors import UsageError
from transforms.kafka import jaas
from transforms.kafka.properties_file import parse_properties

_MOST_BYTES = 1_000_000
"""Above any file of settings; one that is larger is the wrong one."""

CLASS = "connector.class"
_OF_CONNECTORS = ("cps.", "pubsublite.")
_AROUND = ("name", "config", "tasks", "type")
"""What Connect's REST interface has around a connector's settings."""

_NOTHING = "there are no settings in it; ask for /connectors?expand=info"
_DROPPED = re.compile(r"^\s*([\w.]+)\s*[=:](?:[^\\\n]|\\\\)*\\[^\\tnrfu=:#!\s]", re.MULTILINE)
"""A line with a backslash that Java drops: one before a letter that means nothing with it."""

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
      odd: a line each about connectors whose settings make no sense.
    """

    connectors: list[Settings] = field(default_factory=list)
    workers: list[Settings] = field(default_factory=list)
    jaas: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


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
    elif (variables := _variables(text)) is not None:
        names = {setting(name): name for name in variables}
        values = {name: variables[variable] for name, variable in names.items()}
        files.workers.append(Settings(path, values, variables=names))
    else:
        dropped = _DROPPED.findall(text)
        _add_properties(files, path, path, parse_properties(text), dropped)


def _add_properties(
    files: Files, where: str, path: str, values: Mapping[str, str], dropped: Sequence[str] = ()
) -> None:
    if CLASS in values:
        files.connectors.append(Settings(where, values, dropped=dropped))
    elif any(name.startswith(_OF_CONNECTORS) for name in values):
        raise ValueError(f"{CLASS} is missing")
    elif any(is_known(name) for name in values):
        # A pipe is empty once it has been read; its settings become flags.
        referable = path if path and Path(path).is_file() else ""
        files.workers.append(Settings(where, values, referable))
    else:
        raise ValueError(f"it has neither {CLASS} nor bootstrap.servers")


# -- environment variables -------------------------------------------------------------------------

_PREFIX = "CONNECT_"

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_TELLING = re.compile(r"CONNECT_|KAFKA_OPTS$")
_SIGNS = {1: ".", 2: "_", 3: "-"}


def _variables(text: str) -> dict[str, str] | None:
    """The variables of a file; None if it is no file of variables for Connect.

    A value may stand in quotation marks, as a shell wants it.
    """
    found: dict[str, str] = {}
    for line in _lines(text):
        match = _LINE.fullmatch(line)
        if match is None and any(map(_TELLING.match, found)):
            raise ValueError(
                f"the line after {list(found)[-1]} is no NAME=VALUE; write a value of several "
                "lines into one"
            )
        if match is None:
            return None
        found[match[1]] = _unquoted(match[2].strip())
    return found if any(_TELLING.match(name) for name in found) else None


def setting(variable: str) -> str:
    """The setting that a variable stands for: `CONNECT_A_B__C___D` is `a.b_c-d`; or the variable
    itself, if it is none of Connect's.

    Source: https://docs.confluent.io/platform/current/installation/docker/config-reference.html
    """
    if not variable.startswith(_PREFIX):
        return variable
    return re.sub("_+", _sign, variable.removeprefix(_PREFIX)).lower()


def _lines(text: str) -> Iterator[str]:
    """Lines without blanks and comments; one that ends in a backslash goes on in the next."""
    for line in re.sub(r"\\\r?\n", "", text).splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield stripped


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r'\\(["\\$`])', r"\1", value[1:-1])
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    return value


def _sign(underscores: re.Match[str]) -> str:
    return _SIGNS.get(len(underscores[0]), underscores[0])


# -- JSON ------------------------------------------------------------------------------------------


def _add_json(files: Files, path: str, text: str) -> None:
    """Adds each connector; one that makes no sense among others is named.

    Raises:
      ValueError: none makes sense.
    """
    try:
        content = json.loads(text, object_pairs_hook=_without_repetition)
        found = list(_configs(content))
        json.dumps(content, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON in line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("it has one half of a character; give both") from None
    odd = []
    for name, values in found:
        try:
            _add_properties(files, path, "", _texts(values))
        except ValueError as error:
            odd.append(f"{name or 'a connector'}: {error}" if len(found) > 1 else str(error))
    if odd and len(odd) == len(found):
        raise ValueError("; ".join(odd))
    files.odd += [f"{path}: {each}; it is not migrated" for each in odd]


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in seen.items() if count > 1)
        raise ValueError(f"{repeated!r} stands there more than once")
    return found


def _configs(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and settings of each connector, in any of the forms of Connect's REST interface, or as
    the resource that Strimzi has of it."""
    if isinstance(content, list):
        for each in content:
            yield from _configs(each)
    elif not isinstance(content, dict):
        raise ValueError(_NOTHING)
    elif isinstance(content.get("kind"), str) and "apiVersion" in content:
        yield from _of_resource(content)
    elif content and all(map(_is_answer, content.values())):
        for each in content.values():
            yield from _configs(each.get("info"))
    elif isinstance(content.get("info"), dict):
        yield from _configs(content["info"])
    elif isinstance(content.get("connector"), dict):  # the answer about a status
        raise ValueError(_NOTHING)
    elif isinstance(content.get("config"), dict):
        beside = {name: value for name, value in content.items() if name not in _AROUND}
        named = {"name": content["name"]} if "name" in content else {}
        yield str(content.get("name", "")), beside | named | content["config"]
    else:
        yield str(content.get("name", "")), content


def _is_answer(value: Any) -> bool:
    """Whether it is what `?expand=info&expand=status` has of one connector."""
    return isinstance(value, dict) and bool(value) and value.keys() <= {"info", "status"}


def _of_resource(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Strimzi's KafkaConnector, or a list of them."""
    if isinstance(content.get("items"), list):
        yield from _configs(content["items"])
        return
    spec, metadata = content.get("spec"), content.get("metadata")
    if content["kind"] != "KafkaConnector" or not isinstance(spec, dict):
        raise ValueError("of Kubernetes' resources a KafkaConnector with its spec is understood")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    standard = {"name": name, CLASS: spec.get("class"), "tasks.max": spec.get("tasksMax")}
    config = spec.get("config")
    own = config if isinstance(config, dict) else {}
    more = {
        f"spec.{key}": value if isinstance(value, (str, bool)) else json.dumps(value)
        for key, value in spec.items()
        if key not in ("class", "tasksMax", "config")
    }
    yield str(name or ""), own | more | {k: v for k, v in standard.items() if v is not None}


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
