"""What a backfill would move, for people: `--dry_run`, and its title."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.facts import Facts
from pipelines.options import Options
from transforms.times import rfc3339

_ANY_WIDTH = 1_000


def title(options: Options, facts: Facts) -> str:
    """What is moved, from where and to where, in a few words."""
    source = {
        "kafka": ",".join(facts.topics),
        "pubsub": facts.subscription,
        "archive": options.from_archive,
    }[options.route.source]
    destination = options.pubsub_topic or options.kafka_topic or options.archive
    wanted = facts.wanted
    what = f"backfill {facts.name}"
    if wanted.night:
        what += f" of the night {wanted.night}"
    times = [
        f"{word} {rfc3339(ms).replace('.000', '')}"
        for word, ms in (("from", wanted.from_ms), ("to", wanted.to_ms))
        if ms is not None
    ]
    return " ".join([f"{what}: {source} -> {destination}", *times])


def going_on(facts: Facts) -> str:
    """That an earlier run has done a part, and which."""
    if facts.status in ("begun", "writing"):
        return "; goes on"
    wanted = sum(ranges.count for ranges in (facts.ranges or {}).values())
    done = wanted - sum(ranges.count for ranges in facts.left.values())
    return f"; goes on: {done:,} of {wanted:,} offsets are done already" if done else ""


def plan(options: Options, facts: Facts) -> None:
    """Prints what would be moved."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_ANY_WIDTH)
    console.print(Text(title(options, facts), "bold"), soft_wrap=True)
    if options.route.source == "kafka":
        _offsets(console, facts)
    elif options.route.source == "archive":
        left = facts.archived_left
        amount = "some of what they hold" if left is None else f"at most {left:,} records"
        console.print(f"{facts.archived_files:,} files; {amount} to move")
    elif facts.status == "done":
        console.print("done already; --force repeats it")
    elif options.route.source == "pubsub":
        begun = "begun already, goes on" if facts.status else "not begun"
        console.print(f"{begun}; how many messages there are, Pub/Sub does not tell")
        if options.subscription and not facts.status:
            console.print(f"{facts.subscription} would be moved to the begin, for all its readers")
    console.print("nothing was moved", style="dim")


def _offsets(console: Console, facts: Facts) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("partition")
    for name in ("offsets", "to move", "done already"):
        table.add_column(name, justify="right")
    total = done = 0
    left = facts.left
    for part, ranges in sorted((facts.ranges or {}).items()):
        to_move = left[part].count
        total, done = total + to_move, done + ranges.count - to_move
        table.add_row(
            f"{part[0]}/{part[1]}",
            _short(str(ranges)),
            f"{to_move:,}",
            f"{ranges.count - to_move:,}",
        )
    console.print(table)
    console.print(f"{total:,} offsets to move, at most as many records; {done:,} are done already")


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
