"""`galaxy replay`: the plan of a run as it was after some record."""

from __future__ import annotations

import json

import click
from attrs import frozen

from galaxy_core_cli import say
from galaxy_core_cli.drawing.mermaid import mermaid
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.kept.finding import found
from galaxy_core_cli.kept.journals import journal_of
from galaxy_core_cli.kept.page import long_texts, tasks
from galaxy_core_cli.kept.reading import Kept, read
from galaxy_core_cli.text import count, safe_line


@frozen
class Look:
    """How it is shown; with `sound`, a journal that is damaged is read up to the damage."""

    mermaid: bool = False
    as_json: bool = False
    sound: bool = False


def replay_run(wanted: str, journal: str | None, until: int | None, look: Look) -> int:
    """Show the plan as it was after record `until`, or last."""
    kept_in = journal_of(journal)
    kept = read(kept_in, found(wanted, kept_in), until=until, sound=look.sound)
    if until is not None and until >= kept.records:
        say.note(f"the last record is {kept.records - 1:,}: this is how the plan was then")
    if look.as_json:
        click.echo(
            json.dumps({"record": kept.replay.count - 1, "records": kept.records, **kept.replay.document()}, indent=2)
        )
    elif look.mermaid:
        for line in (*mermaid(kept.constellation), *_classes(kept)):
            click.echo(line)
    else:
        click.echo(
            f"{safe_line(kept.name)}, run {safe_line(kept.run_id)}, after record {kept.replay.count - 1:,} of {kept.records - 1:,}: "
            f"revision {kept.constellation.revision}, {count(kept.constellation.task_count, 'task')}"
        )
        for line in (*tasks(kept), *long_texts(kept)):
            click.echo(line)
    if kept.damage is not None:
        say.warning(f"damaged after that: {kept.damage.why}")
    return Exit.OK


_STYLES = {
    "completed": "fill:#dafbe1,stroke:#1a7f37",
    "failed": "fill:#ffebe9,stroke:#cf222e",
    "unknown": "fill:#fbefff,stroke:#8250df",
    "skipped": "fill:#fff8c5,stroke:#9a6700",
    "cancelled": "fill:#fff8c5,stroke:#9a6700",
    "running": "fill:#ddf4ff,stroke:#0969da",
}


def _classes(kept: Kept) -> list[str]:
    """How each task stood, as a colour; what had not begun has none."""
    numbers: dict[str, list[str]] = {}
    for number, task in enumerate(kept.constellation.get_all_tasks()):
        status = "running" if task.task_id in kept.replay.in_flight else task.status.value
        if status in _STYLES:
            numbers.setdefault(status, []).append(f"n{number}")
    found = [f"  class {','.join(ids)} {status}" for status, ids in numbers.items()]
    return [*found, *(f"  classDef {status} {_STYLES[status]}" for status in numbers)]
