"""The benchmark's command, with few messages: the bridge beside the bare loop, both ways."""

from __future__ import annotations

import json
import subprocess
import sys

from ends import ROOT

from benchmarks.cells import BARE, BRIDGE

ROWS = ("kafka_to_ps/instant/1kB", "ps_to_kafka/emulator/1kB")


def test_both_systems_move_everything_and_have_figures_both_ways(tmp_path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", f"--only={','.join(ROWS)}"]
    ended = subprocess.run(
        [*command, "--no_peers", f"--out={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    # A run that lost a message, or ended before all had come, has a problem and no figures.
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "results.json").read_text())
    assert not found["complete"]
    assert {(row["name"], row["system"]) for row in found["rows"]} == {
        (name, system) for name in ROWS for system in (BRIDGE, BARE)
    }
    for row in found["rows"]:
        assert not row["problem"]
        for unit in ("msg/s", "MB/s", "CPU us/msg", "peak RSS MB"):
            assert all(value > 0 for value in row["figures"][unit]), row
    assert {path.name for path in tmp_path.glob("*.png")} == {"kafka_to_ps.png", "ps_to_kafka.png"}
