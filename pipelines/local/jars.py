"""Apache Kafka's jars: which ones, and how they come from Maven Central into the cache."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from pipelines.local import cache
from pipelines.local.cache import DownloadError
from pipelines.local.status import Say, progress_bar
from transforms.errors import PreflightError

KAFKA_VERSION = "4.3.1"
_PINS = Path(__file__).with_name("kafka_jars.txt")
_AT_ONCE = 8


@dataclass(frozen=True)
class Pin:
    """One jar of one version.

    Attributes:
      sha256: lower-case hex.
      size_bytes: for the progress bar.
    """

    sha256: str
    size_bytes: int
    group: str
    artifact: str
    version: str

    @property
    def file_name(self) -> str:
        """Its name in the repository and in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def pins(text: str) -> list[Pin]:
    """Reads lines of `SHA-256 BYTES GROUP:ARTIFACT:VERSION`; `#` starts a comment line."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [Pin(sha256, int(size), *name.split(":")) for sha256, size, name in rows]


def kafka_jars(say: Say, folder: Path | None = None, more: Sequence[Pin] = ()) -> list[Path]:
    """The pinned jars in the cache, after downloading those that are missing or damaged.

    Args:
      say: gets one line when something is downloaded.
      folder: the cache; a folder of the user's by default.
      more: what else is wanted beside them.
    Raises:
      PreflightError: a jar could not be had, or is not the pinned one, after three tries.
    """
    folder = folder or cache.cache_folder() / f"kafka-{KAFKA_VERSION}"
    wanted = [*pins(_PINS.read_text()), *more]
    if _missing(wanted, folder):
        with cache.locked(folder, say) as unfinished:
            missing = _missing(wanted, folder)  # another process may have been here meanwhile
            if missing:
                _download(missing, folder, unfinished, say)
    return [folder / pin.file_name for pin in wanted]


def _missing(wanted: list[Pin], folder: Path) -> list[Pin]:
    paths = {pin: folder / pin.file_name for pin in wanted}
    return [
        pin
        for pin, path in paths.items()
        if not path.exists() or cache.sha256_of(path) != pin.sha256
    ]


def _download(missing: list[Pin], folder: Path, unfinished: Path, say: Say) -> None:
    total_bytes = sum(pin.size_bytes for pin in missing)
    say(
        f"downloading Apache Kafka {KAFKA_VERSION}: {len(missing)} jars, "
        f"{total_bytes / 1e6:.1f} MB, into {folder}"
    )

    def fetch(pin: Pin) -> Pin:
        # Its own folder for every try: JavaJarServer takes a file that is there for a whole one.
        own = Path(tempfile.mkdtemp(dir=unfinished))
        jar = _from_maven_central(pin, own)
        cache.check(jar, pin.sha256)
        os.replace(jar, folder / pin.file_name)
        return pin

    with deadline_and_silence(), progress_bar() as bar, ThreadPoolExecutor(_AT_ONCE) as pool:
        task = bar.add_task(f"Kafka {KAFKA_VERSION}", total=total_bytes)
        try:
            again = cache.download_again
            for done in as_completed([pool.submit(again, fetch, pin) for pin in missing]):
                bar.advance(task, done.result().size_bytes)
        except BaseException as error:
            pool.shutdown(cancel_futures=True)
            if not isinstance(error, DownloadError):
                raise
            raise PreflightError(
                f"download Apache Kafka {KAFKA_VERSION}: {error}; check the way to Maven Central, "
                f"put the jars into {folder}, or use docker-compose.yaml"
            ) from error


def _from_maven_central(pin: Pin, folder: Path) -> Path:
    """Downloads through Beam's own helper, which knows Maven Central and its mirror."""
    # Beam takes seconds to import, and is not needed when nothing is missing.
    from apache_beam.utils.subprocess_server import JavaJarServer

    url = JavaJarServer.path_to_maven_jar(pin.artifact, pin.group, pin.version)
    try:
        return Path(JavaJarServer.local_jar(url, str(folder)))
    except (OSError, RuntimeError, HTTPException) as error:
        # Its RuntimeError tells people to put the jar into a folder that is ours; what the network
        # said stands behind it.
        reason = error.__context__ or error
        raise DownloadError(f"{pin.file_name}: {reason}") from error


@contextlib.contextmanager
def deadline_and_silence() -> Iterator[None]:
    """JavaJarServer sets no deadline on its sockets, and logs a warning for every jar."""
    logger = logging.getLogger("apache_beam.utils.subprocess_server")
    silent, deadline_s = logger.disabled, socket.getdefaulttimeout()
    logger.disabled = True
    socket.setdefaulttimeout(cache.DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(deadline_s)
        logger.disabled = silent
