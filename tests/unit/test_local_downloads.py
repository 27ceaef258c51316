"""Kafka's jars and the emulator come whole and checked, or not at all; against a local server."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import socket
import tarfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.local import cache, emulator_jar, jars
from pipelines.local.cache import DownloadError
from transforms.errors import PreflightError

JAR = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.9.1-all.jar"


class Site:
    """What a server answers: `files[path]`, cut in the middle for the first `cuts[path]` times."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        self.asked[path] += 1
        content = self.files.get(path)
        if content is None:
            handler.send_error(404)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        cut = self.asked[path] <= self.cuts[path]
        handler.wfile.write(content[: len(content) // 2] if cut else content)


@pytest.fixture
def site():
    """A web server on this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def said() -> list[str]:
    return []


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def kept(folder: Path) -> set[str]:
    """The files in a cache folder, whole or not, without its lock."""
    return {path.name for path in folder.iterdir()} - {".lock"}


# --- Kafka's jars -------------------------------------------------------------------------------

JARS = {f"{name}-1.0.jar": os.urandom(100_000) for name in ("broker", "clients", "tools")}


@pytest.fixture
def three_jars(site, monkeypatch, tmp_path):
    """Three made-up jars are pinned, and JavaJarServer asks the local server for them."""
    from apache_beam.utils.subprocess_server import JavaJarServer

    site.files |= JARS
    pins = tmp_path / "pins.txt"
    lines = [
        f"{sha256(content)} {len(content)} org.example:{name.removesuffix('-1.0.jar')}:1.0"
        for name, content in JARS.items()
    ]
    pins.write_text("\n".join(["# a comment", *lines]))
    monkeypatch.setattr(jars, "_PINS", pins)
    monkeypatch.setattr(
        JavaJarServer,
        "path_to_maven_jar",
        lambda artifact, group, version: f"{site.url}/{artifact}-{version}.jar",
    )


@pytest.mark.usefixtures("three_jars")
def test_jars_are_downloaded_once(site, tmp_path, said):
    folder = tmp_path / "cache"
    for _ in range(2):
        paths = jars.kafka_jars(said.append, folder)
        assert {path.name: path.read_bytes() for path in paths} == JARS
    assert kept(folder) == set(JARS)
    assert site.asked == Counter(JARS.keys())
    assert len(said) == 1
    assert "3 jars, 0.3 MB" in said[0]


@pytest.mark.usefixtures("three_jars")
def test_several_at_once_download_every_jar_once(site, tmp_path, said):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(jars.kafka_jars, said.append, tmp_path / "c") for _ in range(4)]:
            done.result()
    assert site.asked == Counter(JARS.keys())
    assert kept(tmp_path / "c") == set(JARS)


@pytest.mark.usefixtures("three_jars")
def test_a_jar_that_was_cut_is_tried_again(site, tmp_path, said):
    site.cuts["tools-1.0.jar"] = 2
    jars.kafka_jars(said.append, tmp_path / "cache")
    assert site.asked["tools-1.0.jar"] == 3
    assert kept(tmp_path / "cache") == set(JARS)


@pytest.mark.usefixtures("three_jars")
def test_a_damaged_jar_in_the_cache_is_downloaded_again(site, tmp_path, said):
    (_, damaged, _) = jars.kafka_jars(said.append, tmp_path / "cache")
    damaged.write_bytes(b"half a jar")
    jars.kafka_jars(said.append, tmp_path / "cache")
    assert site.asked == Counter(JARS.keys()) + Counter([damaged.name])
    assert damaged.read_bytes() == JARS[damaged.name]


@pytest.mark.usefixtures("three_jars")
@pytest.mark.parametrize(
    ("content", "why"), [(b"another jar", "SHA-256"), (None, "HTTP Error 404")]
)
def test_a_jar_that_is_not_the_pinned_one_is_an_error(site, tmp_path, said, content, why):
    if content is None:
        del site.files["tools-1.0.jar"]
    else:
        site.files["tools-1.0.jar"] = content
    with pytest.raises(PreflightError, match=f"tools-1.0.jar.*{why}"):
        jars.kafka_jars(said.append, tmp_path / "cache")
    assert site.asked["tools-1.0.jar"] == 3
    assert kept(tmp_path / "cache") <= {"broker-1.0.jar", "clients-1.0.jar"}


def test_beams_downloader_gets_a_deadline_and_is_silent():
    logger = logging.getLogger("apache_beam.utils.subprocess_server")
    assert socket.getdefaulttimeout() is None
    with jars.deadline_and_silence():
        assert socket.getdefaulttimeout() == cache.DOWNLOAD_TIMEOUT_S
        assert logger.disabled
    assert socket.getdefaulttimeout() is None
    assert not logger.disabled


def test_the_pinned_jars_stay_below_40_mb():
    pins = jars.pins(jars._PINS.read_text())
    assert sum(pin.size_bytes for pin in pins) <= 40_000_000
    assert len({pin.file_name for pin in pins}) == len(pins) <= 35
    assert all(len(bytes.fromhex(pin.sha256)) == 32 for pin in pins)
    kafka = {pin.version for pin in pins if pin.group == "org.apache.kafka"}
    assert kafka == {jars.KAFKA_VERSION}


# --- the emulator -------------------------------------------------------------------------------


def publish(site: Site, members: dict[str, bytes], **overrides: object) -> str:
    """Puts a component archive and its manifest on the site; returns the manifest's address."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    archive = buffer.getvalue()
    data = {
        "type": "tar",
        "source": "components/google-cloud-sdk-pubsub-emulator-20260101000000.tar.gz",
        "size": len(archive),
        "checksum": sha256(archive),
        "contents_checksum": "0" * 64,
    }
    component = {
        "id": "pubsub-emulator",
        "data": data | overrides,
        "version": {"build_number": 20260101000000, "version_string": "0.9.1"},
    }
    core = {"id": "core", "version": {"build_number": 1, "version_string": "600.0.0"}}
    manifest = {"schema_version": {"version": 3, "url": ""}, "components": [core, component]}
    site.files["rapid/components-2.json"] = json.dumps(manifest).encode()
    site.files[f"rapid/{data['source']}"] = archive
    return f"{site.url}/rapid/components-2.json"


@pytest.fixture
def no_sdk(monkeypatch, tmp_path):
    """No Google Cloud SDK on this machine, and an empty cache."""
    monkeypatch.setattr(emulator_jar, "_USUAL_ROOTS", ())
    monkeypatch.delenv("CLOUDSDK_ROOT_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("no_sdk")
def test_the_emulator_is_downloaded_once(site, monkeypatch, tmp_path, said):
    url = publish(site, {"platform/pubsub-emulator/README": b"", JAR: b"the emulator"})
    monkeypatch.setenv(emulator_jar.MANIFEST_VARIABLE, url)
    first, second = emulator_jar.emulator_jar(said.append), emulator_jar.emulator_jar(said.append)
    assert (
        first == second == tmp_path / "cache/pubsub-kafka-bridge/pubsub-emulator" / Path(JAR).name
    )
    assert first.read_bytes() == b"the emulator"
    assert set(site.asked.values()) == {1}
    assert len(said) == 1


def test_only_the_jar_is_taken_out_of_the_archive(site, tmp_path, said):
    folder = tmp_path / "a" / "b"
    url = publish(site, {"../evil": b"evil", f"../{JAR}": b"evil", JAR: b"the emulator"})
    assert emulator_jar.download(said.append, folder, url).read_bytes() == b"the emulator"
    assert kept(folder) == {Path(JAR).name}
    everything = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert everything == {folder / ".lock", folder / Path(JAR).name}


def test_an_archive_that_was_cut_is_tried_again(site, tmp_path, said):
    url = publish(site, {JAR: os.urandom(1_000_000)})
    (archive,) = [path for path in site.files if path.endswith(".tar.gz")]
    site.cuts[archive] = 2
    emulator_jar.download(said.append, tmp_path, url)
    assert site.asked[archive] == 3


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("checksum", "SHA-256"),
        ("cut", "SHA-256|IncompleteRead|retrieval incomplete"),
        ("no archive", "404|Not Found"),
        ("no manifest", "404|Not Found"),
        ("no component", "no component 'pubsub-emulator'"),
        ("no jar", "has no platform"),
        ("not json", "no component"),
        ("newer schema", "schema version 4"),
        ("nobody there", "refused"),
    ],
)
def test_an_emulator_that_is_not_the_published_one_is_an_error(site, tmp_path, said, damage, why):
    overrides = {"checksum": "0" * 64} if damage == "checksum" else {}
    url = publish(site, {"README" if damage == "no jar" else JAR: b"emulator"}, **overrides)
    (archive,) = [path for path in site.files if path.endswith(".tar.gz")]
    manifest = "rapid/components-2.json"
    if damage == "cut":
        site.cuts[archive] = 3
    elif damage == "no archive":
        del site.files[archive]
    elif damage == "no manifest":
        del site.files[manifest]
    elif damage == "no component":
        site.files[manifest] = b'{"schema_version": {"version": 3}, "components": []}'
    elif damage == "not json":
        site.files[manifest] = b"<html>"
    elif damage == "newer schema":
        site.files[manifest] = b'{"schema_version": {"version": 4}, "components": []}'
    elif damage == "nobody there":
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as closed:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    with pytest.raises(DownloadError, match=why):
        emulator_jar.download(said.append, tmp_path / "cache", url)
    assert kept(tmp_path / "cache") == set()


@pytest.mark.usefixtures("no_sdk")
def test_without_sdk_and_download_the_error_says_what_was_tried_and_what_to_install(
    site, monkeypatch, said
):
    monkeypatch.setenv(emulator_jar.MANIFEST_VARIABLE, f"{site.url}/nothing.json")
    with pytest.raises(PreflightError) as caught:
        emulator_jar.emulator_jar(said.append)
    for part in ("gcloud on the PATH", "CLOUDSDK_ROOT_DIR", f"{site.url}/nothing.json", "install"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_sdk")
@pytest.mark.parametrize("way", ["variable", "path", "usual folder"])
def test_an_installed_sdk_comes_before_a_download(monkeypatch, tmp_path, said, way):
    root = tmp_path / "sdk"
    lib = root / "platform" / "pubsub-emulator" / "lib"
    lib.mkdir(parents=True)
    for version in ("0.8.9", "0.8.20"):
        (lib / f"cloud-pubsub-emulator-{version}-all.jar").touch()
    if way == "variable":
        monkeypatch.setenv("CLOUDSDK_ROOT_DIR", str(root))
    elif way == "path":
        (root / "bin").mkdir()
        (root / "bin" / "gcloud").touch(mode=0o755)
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "gcloud").symlink_to(root / "bin" / "gcloud")
    else:
        monkeypatch.setattr(emulator_jar, "_USUAL_ROOTS", (str(root),))
    assert emulator_jar.emulator_jar(said.append).name == "cloud-pubsub-emulator-0.8.20-all.jar"
    assert said == []


# --- the cache ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("xdg", "platform", "expected"),
    [
        ("/elsewhere", "linux", "/elsewhere/pubsub-kafka-bridge"),
        ("/elsewhere", "darwin", "/elsewhere/pubsub-kafka-bridge"),
        ("relative", "linux", "/home/me/.cache/pubsub-kafka-bridge"),
        ("", "linux", "/home/me/.cache/pubsub-kafka-bridge"),
        ("", "darwin", "/home/me/Library/Caches/pubsub-kafka-bridge"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(monkeypatch, xdg, platform, expected):
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(cache.sys, "platform", platform)
    assert cache.cache_folder() == Path(expected)


def test_the_lock_lets_one_in_at_a_time(tmp_path, said):
    with (
        cache.locked(tmp_path, said.append),
        pytest.raises(PreflightError, match="another process"),
        cache.locked(tmp_path, said.append, timeout_s=0),
    ):
        pass
    assert said == [f"waiting for another process that downloads into {tmp_path}"]
    with cache.locked(tmp_path, said.append, timeout_s=0):
        pass


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path, said):
    with cache.locked(tmp_path, said.append) as unfinished:
        pass
    unfinished.mkdir()
    (unfinished / "half.jar").touch()
    with cache.locked(tmp_path, said.append) as unfinished:
        assert list(unfinished.iterdir()) == []
    assert kept(tmp_path) == set()


def test_a_cache_that_cannot_be_written_is_an_error_that_says_what_to_set(tmp_path, said):
    (tmp_path / "file").touch()
    with (
        pytest.raises(PreflightError, match="XDG_CACHE_HOME"),
        cache.locked(tmp_path / "file" / "x", said.append),
    ):
        pass
