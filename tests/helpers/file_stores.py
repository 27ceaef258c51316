"""Places for files that go away and come back: a folder, S3, Google Cloud Storage."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from proxy import Proxy

from transforms import filesystem

PROJECT = "test"


class Folder:
    """A folder on a disk; when that is away there is a file in its place."""

    def __init__(self, parent: Path) -> None:
        self._mounted, self._disk, self._none = (parent / n for n in ("mounted", "disk", "none"))
        self._disk.mkdir()
        self._none.touch()
        self._mount(self._disk)
        self.url = f"{self._mounted}/kept/archive"

    def _mount(self, what: Path) -> None:
        link = self._mounted.with_name("new")
        link.symlink_to(what)
        link.rename(self._mounted)

    def go_away(self) -> None:
        self._mount(self._none)

    def come_back(self) -> None:
        self._mount(self._disk)


class Bucket:
    """A bucket behind a proxy."""

    def __init__(self, url: str, proxy: Proxy) -> None:
        self.url = url
        self._proxy = proxy

    def go_away(self) -> None:
        self._proxy.cut(refuse_s=math.inf)

    def come_back(self) -> None:
        self._proxy.heal()


Store = Folder | Bucket


def names(store: Store) -> list[str]:
    """What everybody sees there, below the URL."""
    paths = filesystem.matching(store.url)
    below = [path.removeprefix(store.url).lstrip("/") for path in paths]
    return [name for name in below if not name.startswith(".")]


@contextlib.contextmanager
def s3() -> Iterator[Proxy]:
    """An S3, for as long as it is used; everybody in this process uses it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with contextlib.closing(Proxy()) as proxy, pytest.MonkeyPatch.context() as patch:
        proxy.target = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.address}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield proxy
    server.stop()


def s3_bucket(proxy: Proxy, name: str) -> Bucket:
    """A new one."""
    import boto3

    boto3.client("s3").create_bucket(Bucket=name)
    return Bucket(f"s3://{name}/kept/archive", proxy)


@contextlib.contextmanager
def gcs() -> Iterator[Proxy]:
    """A Google Cloud Storage, likewise."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    with contextlib.closing(Proxy()) as proxy, pytest.MonkeyPatch.context() as patch:
        proxy.target = server._api._httpd.server_address
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://{proxy.address}")
        patch.setenv("NO_GCE_CHECK", "true")
        yield proxy
    server.stop()


def gcs_bucket(proxy: Proxy, name: str) -> Bucket:
    """A new one."""
    from google.cloud import storage

    storage.Client.create_anonymous_client().create_bucket(name, project=PROJECT)
    return Bucket(f"gs://{name}/kept/archive", proxy)


def bucket_name(unique: str) -> str:
    """A name that all accept."""
    return unique.replace("_", "-")[-60:].strip("-")
