"""Files on local disks, at `gs://` and `s3://`, through Beam's filesystems, with deadlines."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.value_provider import RuntimeValueProvider

from transforms.deadlines import within
from transforms.errors import BridgeError, UsageError

_Answer = TypeVar("_Answer")


def checked(url: str) -> str:
    """The URL as Beam's filesystems take it."""
    if any(character in url for character in "*?["):
        raise UsageError(f"use {url}: it has *, ? or [ in it; choose a path without")
    if url.startswith("s3://") and not importlib.util.find_spec("boto3"):
        raise UsageError(f"use {url}: the package boto3 is not installed; pip install .[s3]")
    return url.removeprefix("file://")


def impersonate(accounts: str) -> None:
    """Has Beam read and write gs:// as a service account, from the first time on.

    Args:
      accounts: as `Service.impersonate` has them.
    """
    option = f"--impersonate_service_account={accounts}"
    FileSystems.set_options(PipelineOptions([option]))


def _of(path: str) -> Any:
    """Beam's filesystem for a path; that for S3 wants options, if only empty ones."""
    if FileSystems._pipeline_options is None and RuntimeValueProvider.runtime_options is None:
        FileSystems.set_options(PipelineOptions([]))
    return FileSystems.get_filesystem(path)


def join(folder: str, name: str) -> str:
    """The path of a file in a folder."""
    return str(_of(folder).join(folder, name))


def names(folder: str) -> list[str]:
    """The names of all containers, sorted."""
    system = _of(folder)
    if system.has_dirs() and not os.path.isdir(folder):
        raise FileNotFoundError("there is no such folder")
    [matched] = system.match([system.join(folder, "*.avro")])
    return sorted(file.path.rpartition("/")[2] for file in matched.metadata_list)


def below(folder: str) -> list[str]:
    """The paths of all containers in a folder and the folders in it, sorted; without those where a
    name begins with `.` or `_`."""
    system = _of(folder)
    if system.has_dirs() and not os.path.isdir(folder):
        raise FileNotFoundError("there is no such folder")
    [matched] = system.match([system.join(folder, "**")])
    paths = [file.path for file in matched.metadata_list if file.path.endswith(".avro")]
    return sorted(path for path in paths if not _HIDDEN.search(path[len(folder.rstrip("/")) :]))


_HIDDEN = re.compile(r"/[._]")


def open_read(path: str) -> Any:
    """Opens a file to be read bit by bit."""
    return _of(path).open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def nearest(folder: str) -> str:
    """The folder, or the one above it that is there; an object store has no folders to make."""
    while _of(folder).has_dirs() and not os.path.exists(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    return folder


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return bool(_of(path).exists(path))


def delete(path: str) -> None:
    """Deletes a file."""
    _of(path).delete([path])


def get(path: str) -> bytes:
    """All of a file."""
    with _of(path).open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return bytes(file.read())


def put(path: str, data: bytes) -> None:
    """Writes or replaces a file, as a whole or not at all, also where others write it meanwhile."""
    system = _of(path)
    if not system.has_dirs():
        with system.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(data)
        return
    folder, name = system.split(path)
    above = _above_missing(folder)
    hidden = system.join(folder, f".{name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with system.create(hidden, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        system.rename([hidden], [path])
        for changed in (folder, *above):
            _sync_folder(changed)
    except Exception:
        with contextlib.suppress(Exception):
            system.delete([hidden])
        raise


_PIECE_BYTES = 4_000_000


def publish(source: str, path: str, on_progress: Callable[[], None]) -> None:
    """Gives a complete local file its place and name, as a whole or not at all.

    A local one is renamed, so that it has to lie on the same disk; others are copied.

    Args:
      on_progress: called after every 4 MB.
    """
    system = _of(path)
    if system.has_dirs():
        folder = os.path.dirname(os.path.abspath(path))
        above = _above_missing(folder)
        os.makedirs(folder, exist_ok=True)
        if os.path.exists(source) or not os.path.exists(path):  # else an attempt before has done it
            with open(source, "rb") as file:
                os.fsync(file.fileno())
            os.replace(source, path)
        for changed in (folder, *above):
            _sync_folder(changed)
        return
    with open(source, "rb") as file:
        target = system.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
        try:
            while piece := file.read(_PIECE_BYTES):
                target.write(piece)
                on_progress()
            target.close()
        except BaseException:
            _abandon(target)
            raise


def _abandon(target: Any) -> None:
    """Ends an upload without an object. Closing is what makes one, and whoever collects garbage
    closes what was left open: in any thread, at any time, over a later one of that name."""
    with contextlib.suppress(Exception):
        if hasattr(target, "terminate"):  # Google's
            target.terminate()
        else:
            uploader = target.raw._uploader
            uploader.put = uploader.finish = lambda *_: None
            target.close()


def _above_missing(folder: str) -> list[str]:
    """The folders in which one has to be made for this one to be there."""
    above = []
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
        above.append(folder)
    return above


def is_local(path: str) -> bool:
    """Whether a path lies on a disk of this machine, or what looks like one."""
    return bool(_of(path).has_dirs())


def matching(folder: str, pattern: str = "**") -> list[str]:
    """The paths of the files in a folder, and with `**` of those in the folders in it, sorted; none
    where there is no such folder."""
    system = _of(folder)
    [matched] = system.match([system.join(folder, pattern)])
    return sorted(file.path for file in matched.metadata_list)


def _sync_folder(folder: str) -> None:
    """A new name in a folder outlives a power cut only after this."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ask(
    failure: type[BridgeError],
    operation: str,
    path: str,
    call: Callable[[], _Answer],
    timeout_s: float,
) -> _Answer:
    """Calls a filesystem, which raises whatever it likes, and gives it a deadline."""
    causes: list[BaseException] = []

    def run() -> _Answer:
        _this_call.causes = causes
        return call()

    try:
        return within(timeout_s, run)
    except Exception as error:
        why = _reason(error)
        if isinstance(error, TimeoutError) and causes:
            why += f": {_reason(causes[-1])}"
        remote = FileSystems.get_scheme(path) is not None
        hint = "bucket, credentials and network" if remote else "the path, its rights and the space"
        raise failure(f"{operation} {path}: {why}; check {hint}") from error


_this_call = threading.local()


def _keep_cause(_: logging.LogRecord) -> bool:
    """Beam logs each failed attempt with its traceback: what matters of it is kept for the error.

    Lets pass what other threads log.
    """
    causes = getattr(_this_call, "causes", None)
    if causes is not None and (cause := sys.exc_info()[1]) is not None:
        causes.append(cause)
    return causes is None


for _logger in (logging.getLogger(), logging.getLogger("apache_beam.utils.retry")):
    _logger.addFilter(_keep_cause)


def _reason(error: BaseException) -> str:
    """One line; Beam wraps the cause in dictionaries."""
    while details := getattr(error, "exception_details", None):
        error = next(iter(details.values()))
    texts = (getattr(error, "strerror", None), getattr(error, "message", None), str(error))
    text = str(next(filter(None, texts), type(error).__name__))
    return " ".join(text.split())[:300].rstrip(".")
