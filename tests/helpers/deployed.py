"""What stands in deploy/, read as cron, systemd, Kubernetes and Cloud Scheduler read it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMMON = DEPLOY / "systemd" / "pubsub-bridge-.service.d" / "common.conf"
MANIFESTS = {path: yaml.safe_load(path.read_text()) for path in DEPLOY.glob("kubernetes/*.yaml")}
CRONTAB = DEPLOY / "cron" / "bridge-backfill"
LAUNCH = json.loads((DEPLOY / "scheduler" / "backfill.json").read_text())


def settings(unit: Path) -> dict[str, str]:
    """The settings of a service, those of the common drop-in among them; the last one of a name."""
    text = f"{COMMON.read_text()}\n{unit.read_text()}".replace("\\\n", " ")
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def command_line(unit: Path) -> list[str]:
    """The command line of a service, from the module's name on."""
    line = settings(unit)["ExecStart"].replace("${CREDENTIALS_DIRECTORY}", str(DEPLOY))
    unescaped = line.replace("%%", "")
    assert "%" not in unescaped, f"{unit.name}: a single % begins a specifier"
    assert "$" not in unescaped, f"{unit.name}: a $ begins a variable"
    return _after_m(line.replace("%%", "%"))


def cron_command() -> str:
    """What cron hands to the shell."""
    *settings, entry = (
        line for line in CRONTAB.read_text().splitlines() if not line.startswith("#")
    )
    assert all(re.fullmatch(r"\w+=.*", line) for line in settings)
    fields = re.fullmatch(r"(?:[0-9*/,-]+ ){5}([a-z-]+) (.*)", entry)
    assert fields is not None, "expected five fields, a user and a command"
    assert not re.search(r"(?<!\\)%", fields[2]), "an unescaped % ends the command"
    return fields[2].replace(r"\%", "%")


def pod(manifest: dict) -> dict:
    """The pod's specification in a Deployment or CronJob."""
    spec = manifest["spec"]
    return (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]["spec"]


def command_lines() -> dict[str, list[str]]:
    """Every command line of the bridge, from the module's name on, by the file it stands in."""
    found = {}
    for unit in UNITS:
        found[unit.name] = command_line(unit)
    for path, manifest in MANIFESTS.items():
        found[path.name] = _after_m(shlex.join(pod(manifest)["containers"][0]["args"]))
    found[CRONTAB.name] = _after_m(cron_command().partition(">>")[0])
    parameters = LAUNCH["launchParameter"]["parameters"]
    found["backfill.json"] = [
        "pipelines.backfill",
        *(f"--{name}={value}" for name, value in parameters.items()),
        "--runner=DataflowRunner",
        "--project=my-project",
        "--region=us-central1",
        f"--temp_location={LAUNCH['launchParameter']['environment']['tempLocation']}",
        f"--sdk_container_image={LAUNCH['launchParameter']['environment']['sdkContainerImage']}",
    ]
    return {
        name: [word.replace("/etc/bridge", str(DEPLOY)) for word in words]
        for name, words in found.items()
    }


def _after_m(command: str) -> list[str]:
    words = shlex.split(command)
    return words[words.index("-m") + 1 :]
