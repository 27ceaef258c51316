"""templates/Dockerfile, taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).parents[2] / "templates" / "Dockerfile"


class Step(NamedTuple):
    """One instruction: `stage` is the name of the image it helps to make."""

    stage: str
    instruction: str
    value: str


def steps() -> Iterator[Step]:
    """All instructions, in their order."""
    text = re.sub(r"^#.*\n", "", PATH.read_text(encoding="utf-8"), flags=re.MULTILINE)
    stage = ""
    for line in text.replace("\\\n", "").splitlines():
        if line:
            instruction, _, value = line.partition(" ")
            if instruction == "FROM":
                stage = value.rpartition(" AS ")[2]
            yield Step(stage, instruction, " ".join(value.split()))


def of(instruction: str) -> list[Step]:
    return [step for step in steps() if step.instruction == instruction]
