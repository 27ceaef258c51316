"""Where the program of Prism is, Beam's runner for one machine: found, never downloaded."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import (
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
)

from transforms.errors import UsageError

_BUILT = Path(__file__).resolve().parents[1] / "build" / "bin"
"""Where `make prism` puts it."""

_MARK = b"github.com/apache/beam/sdks/v2"
"""Stands in every program that is built from Beam's Go modules; others are called prism, too."""


def find(environ: Mapping[str, str], home: Path | None = None) -> str:
    """The path of Beam's `prism`: on the PATH, in Go's folder, or where `make prism` puts it; empty
    where there is none."""
    home = home or Path(os.path.expanduser("~"))
    go = environ.get("GOPATH", "").split(os.pathsep)[0] or str(home / "go")
    folders = [environ.get("GOBIN", ""), os.path.join(go, "bin"), str(_BUILT)]
    for folder in [*environ.get("PATH", "").split(os.pathsep), *folders]:
        path = shutil.which("prism", path=folder) if folder else None
        if path is not None and _is_beams(path):
            return path
    return ""


def _is_beams(path: str) -> bool:
    try:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return content.find(_MARK) >= 0
    except (OSError, ValueError):
        return False


def located(beam_args: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Beam's arguments, with `--prism_location` in any case, so that Beam looks for nothing.

    Raises:
      UsageError: there is no such program.
    """
    options = PipelineOptions(list(beam_args))
    if options.view_as(PortableOptions).job_endpoint:
        return list(beam_args)
    given = options.view_as(PrismRunnerOptions).prism_location
    if given and "://" not in given and not (_is_beams(given) and os.access(given, os.X_OK)):
        raise UsageError(f"--prism_location: {given} is not Beam's prism; make prism builds one")
    if given:
        return list(beam_args)
    if found := find(environ):
        return [*beam_args, f"--prism_location={found}"]
    raise UsageError(
        "--runner: there is no prism on the PATH, in Go's bin folder or in build/bin; run make "
        "prism (needs Go), or say where it is with --prism_location"
    )
