"""Finds the Pub/Sub emulator's jar: in an installed Google Cloud SDK, else from Google."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pipelines.local import cache
from pipelines.local.cache import DownloadError
from pipelines.local.status import Say, progress_bar
from transforms.errors import PreflightError

MANIFEST_URL = "https://dl.google.com/dl/cloudsdk/channels/rapid/components-2.json"
"""Google's list of all components. Source: googlecloudsdk/core/config.json of the SDK."""
MANIFEST_VARIABLE = "CLOUDSDK_COMPONENT_MANAGER_SNAPSHOT_URL"
"""Names another one; gcloud's own variable for it (property component_manager/snapshot_url)."""
_COMPONENT = "pubsub-emulator"
_NEWEST_SCHEMA = 3
_JAR = "cloud-pubsub-emulator-*-all.jar"
_IN_SDK = Path("platform", "pubsub-emulator", "lib")
_USUAL_ROOTS = (
    "~/google-cloud-sdk",
    "/usr/lib/google-cloud-sdk",  # Debian and Red Hat packages
    "/usr/share/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "/opt/homebrew/share/google-cloud-sdk",
    "/usr/local/share/google-cloud-sdk",
)
_CHUNK_BYTES = 1 << 18


def emulator_jar(say: Say) -> Path:
    """The jar of an installed SDK, else the one in the cache, else downloaded into the cache.

    Raises:
      PreflightError: none of the three; says what was tried and what to install.
    """
    folder = cache.cache_folder() / _COMPONENT
    found = next((jar for root in sdk_roots() for jar in _newest(root / _IN_SDK)), None)
    found = found or next(_newest(folder), None)
    if found:
        return found
    try:
        return download(say, folder, os.environ.get(MANIFEST_VARIABLE) or MANIFEST_URL)
    except DownloadError as error:
        raise PreflightError(
            "find the Pub/Sub emulator: no Google Cloud SDK with it (tried gcloud on the PATH, "
            f"CLOUDSDK_ROOT_DIR and the usual folders), and no download ({error}); "
            "install it with 'gcloud components install pubsub-emulator' or the package "
            "google-cloud-cli-pubsub-emulator, or use docker-compose.yaml"
        ) from error


def sdk_roots() -> Iterator[Path]:
    """Folders where a Google Cloud SDK may be, the most explicit first."""
    named = os.environ.get("CLOUDSDK_ROOT_DIR")
    if named:
        yield Path(named)
    gcloud = shutil.which("gcloud")
    if gcloud:
        yield Path(gcloud).resolve().parents[1]  # ROOT/bin/gcloud
    yield from (Path(root).expanduser() for root in _USUAL_ROOTS)


def download(say: Say, folder: Path, manifest_url: str) -> Path:
    """Downloads the emulator's component, checks it against its manifest, and keeps its jar.

    Args:
      folder: where the jar is to stay.
      manifest_url: of `components-2.json`; the component's own address is relative to it.
    Raises:
      DownloadError: no answer, no such component, or a wrong checksum, after three tries.
    Source: googlecloudsdk/core/updater/schemas.py and snapshots.py of the SDK.
    """
    with cache.locked(folder, say) as unfinished:
        found = next(_newest(folder), None)  # another process may have been here meanwhile
        if found:
            return found
        component = _component(cache.download_again(_read, manifest_url))
        source, sha256, version = _archive_of(component)
        url = urllib.parse.urljoin(manifest_url, source)
        size = component["data"].get("size")
        archive = unfinished / "component.tar.gz"
        say(f"downloading the Pub/Sub emulator {version} into {folder}")
        cache.download_again(_fetch, url, archive, sha256, size)
        jar = _unpack(archive, unfinished)
        return Path(shutil.move(jar, folder / jar.name))


def _newest(folder: Path) -> Iterator[Path]:
    """The emulator's jars in `folder`, the highest version first."""

    def version(jar: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", jar.name)]

    return iter(sorted(folder.glob(_JAR), key=version, reverse=True))


def _component(manifest: bytes) -> dict[str, Any]:
    try:
        content = json.loads(manifest)
        schema = content["schema_version"]["version"]
        if schema > _NEWEST_SCHEMA:
            raise DownloadError(
                f"manifest has schema version {schema}; {_NEWEST_SCHEMA} is understood"
            )
        component: dict[str, Any]
        (component,) = (each for each in content["components"] if each["id"] == _COMPONENT)
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(f"manifest has no component '{_COMPONENT}': {error!r}") from error
    return component


def _archive_of(component: dict[str, Any]) -> tuple[str, str, str]:
    """Returns the archive's address, its SHA-256 and the component's version."""
    try:
        data = component["data"]
        return data["source"], data["checksum"], component["version"]["version_string"]
    except (KeyError, TypeError) as error:
        raise DownloadError(f"manifest lacks {error} of component '{_COMPONENT}'") from error


def _open(url: str) -> Any:
    try:
        return urllib.request.urlopen(url, timeout=cache.DOWNLOAD_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise DownloadError(f"{url}: {getattr(error, 'reason', error)}") from error


def _read(url: str) -> bytes:
    try:
        with _open(url) as answer:
            content: bytes = answer.read()
            return content
    except (OSError, HTTPException) as error:
        raise DownloadError(f"{url}: {error}") from error


def _fetch(url: str, archive: Path, sha256: str, size_bytes: int | None) -> None:
    with _open(url) as answer, archive.open("wb") as file, progress_bar() as bar:
        task = bar.add_task("Pub/Sub emulator", total=size_bytes)
        digest = hashlib.sha256()
        try:
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                bar.advance(task, len(chunk))
        except (OSError, HTTPException) as error:
            raise DownloadError(f"{url}: {error}") from error
    cache.check(archive, sha256)


def _unpack(archive: Path, folder: Path) -> Path:
    """Takes the jar alone out of the archive; no other member is written anywhere."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name)
                if member.isfile() and name.parent == _IN_SDK and name.match(_JAR):
                    jar = folder / name.name
                    content = tar.extractfile(member)
                    assert content is not None
                    with content, jar.open("wb") as file:
                        shutil.copyfileobj(content, file)
                    return jar
    except tarfile.TarError as error:
        raise DownloadError(f"{archive.name}: {error}") from error
    raise DownloadError(f"{archive.name} has no {_IN_SDK / _JAR}")
