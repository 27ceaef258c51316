"""The layers of the project: who may import whom, in no circle, and what a pipeline module may
define."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for layer in ("pipelines", "transforms")
    for path in sorted((ROOT / layer).rglob("*.py"))
}

SDK_OWNERS = {
    "confluent_kafka": "transforms/kafka/librdkafka",
    "kafka": "transforms/kafka/kafka_python",
    "google": ("transforms/pubsub/client", "transforms/secret_manager.py"),
    "grpc": "transforms/pubsub/client",
    "gssapi": "transforms/kafka/login/kerberos.py",
    "cryptography": "transforms/kafka/login/tls.py",
    "requests": (
        "transforms/http.py",
        "transforms/kafka/login/oauth.py",
        "transforms/schema_registry.py",
    ),
    "urllib3": "transforms/http.py",
    "fastavro": (
        "transforms/avro/",
        "transforms/archive/",
        "transforms/dead_letters/avro.py",
        "pipelines/alerts.py",
    ),
    "cramjam": "transforms/avro/codecs.py",
    "zstandard": "transforms/avro/codecs.py",
    "numpy": ("transforms/audit/", "transforms/delivered.py"),
}
"""The file, or the files whose path begins so, that may import an SDK."""

PURE = {
    "transforms/limits.py": (),
    "transforms/errors.py": (),
    "transforms/records.py": (),
    "transforms/times.py": (),
    **dict.fromkeys(
        (
            "transforms/attributes.py",
            "transforms/origins.py",
            "transforms/mapping.py",
            "transforms/lossless/__init__.py",
            "transforms/lossless/record.py",
            "transforms/lossless/message.py",
            "transforms/lossless/text.py",
        ),
        (
            "transforms.records",
            "transforms.limits",
            "transforms.errors",
            "transforms.attributes",
            "transforms.origins",
            "transforms.lossless",
        ),
    ),
    "transforms/nights.py": (),
    "transforms/topic_names.py": ("transforms.limits",),
    "transforms/destinations.py": (
        "transforms.topic_names",
        "transforms.records",
        "transforms.limits",
        "transforms.errors",
    ),
    "pipelines/resource_names.py": (
        "transforms.nights",
        "transforms.topic_names",
        "transforms.destinations",
    ),
    "pipelines/flag_values.py": (
        "pipelines.resource_names",
        "transforms.nights",
        "transforms.limits",
        "transforms.secrets",
        "transforms.named_files",
        "transforms.dead_letters.places",
    ),
}
"""Modules of the standard library alone, but for what is named; so without Beam and network."""


def imports(source: str) -> Iterator[str]:
    """The full names of all modules that are imported, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def violations(path: str, source: str) -> list[str]:
    """What breaks a rule in one module."""
    found = []
    for name in imports(source):
        package = name.partition(".")[0]
        if path.startswith("transforms/") and package == "pipelines":
            found.append(f"imports {name} from the layer above")
        if package in SDK_OWNERS and not path.startswith(SDK_OWNERS[package]):
            found.append(f"imports {name}, which belongs to {SDK_OWNERS[package]}")
        if path in PURE and package not in sys.stdlib_module_names:
            allowed = any(name == a or name.startswith(f"{a}.") for a in PURE[path])
            found += [] if allowed else [f"imports {name}"]
    if path.startswith("pipelines/"):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Lambda):
                found.append(f"line {node.lineno}: a lambda")
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                if "DoFn" in bases:
                    found.append(f"line {node.lineno}: a DoFn")
    return found


def circle(layer: str, modules: Mapping[str, str]) -> list[str]:
    """Units of a layer (its modules and packages) each of which imports the next, the last one the
    first; empty if there are none. An import counts wherever it stands, in a function too."""
    graph: dict[str, set[str]] = {}
    for path, source in modules.items():
        if path.startswith(f"{layer}/"):
            unit = path.removesuffix(".py").split("/")[1]
            names = [name.split(".") for name in imports(source)]
            others = {name[1] for name in names if name[0] == layer and len(name) > 1}
            graph.setdefault(unit, set()).update(others - {unit})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


@pytest.mark.parametrize("path", MODULES)
def test_every_module_keeps_to_its_layer(path: str) -> None:
    assert violations(path, MODULES[path]) == []


@pytest.mark.parametrize("sdk", SDK_OWNERS)
def test_every_sdk_is_used_by_its_owner(sdk: str) -> None:
    users = [p for p, s in MODULES.items() if any(n.partition(".")[0] == sdk for n in imports(s))]
    assert users, f"nothing imports {sdk}: is the rule out of date?"


@pytest.mark.parametrize("layer", ["pipelines", "transforms"])
def test_no_units_import_each_other_in_a_circle(layer: str) -> None:
    assert circle(layer, MODULES) == []


@pytest.mark.parametrize("path", PURE)
def test_every_pure_module_exists(path: str) -> None:
    assert path in MODULES


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("transforms/kafka/source.py", "from pipelines import options"),
        ("transforms/kafka/source.py", "def f():\n    import confluent_kafka"),
        ("transforms/kafka/source.py", "from kafka.errors import KafkaError"),
        ("pipelines/reaching.py", "from google.cloud import pubsub"),
        ("transforms/avro_rows.py", "import fastavro"),
        ("transforms/limits.py", "from transforms import errors"),
        ("transforms/mapping.py", "import apache_beam as beam"),
        ("transforms/mapping.py", "from transforms.kafka import client"),
        ("pipelines/runtime.py", "class F(beam.DoFn): pass"),
        ("pipelines/runtime.py", "sorted(x, key=lambda y: y)"),
    ],
)
def test_a_broken_rule_is_noticed(path: str, source: str) -> None:
    assert violations(path, source)


@pytest.mark.parametrize(
    "back",
    ["from transforms import sink", "def f():\n    from transforms.sink import WriteFn"],
)
def test_a_circle_is_noticed(back: str) -> None:
    modules = {
        "transforms/sink.py": "from transforms.registry import Bridge",
        "transforms/registry.py": "import transforms.kafka.client",
        "transforms/kafka/client.py": "from transforms.kafka import writer",
        "transforms/kafka/writer.py": back,
    }
    first, *rest = circle("transforms", modules)
    assert rest[-1] == first
    assert set(pairwise([first, *rest])) == {
        ("sink", "registry"),
        ("registry", "kafka"),
        ("kafka", "sink"),
    }
    assert circle("pipelines", modules) == []
