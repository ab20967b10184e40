"""`galaxy replay`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@options.run_kept
@click.option(
    "--until", metavar="N", type=click.IntRange(min=1), help="As it was after record N; the first is record 0."
)
@click.option("--mermaid", is_flag=True, help="Draw the plan as a Mermaid flowchart, with how its tasks stood.")
@click.option("--json", "as_json", is_flag=True, help="The whole plan as one JSON document.")
@click.option("--sound", is_flag=True, help="Of a journal that is damaged, up to the damage.")
@options.debug
def replay(run: str, journal: str | None, until: int | None, mermaid: bool, as_json: bool, sound: bool) -> int:
    """Show the plan of a run as it was.

    RUN is the id of a run, or `last`, or the name of its plan if only one run of that is kept, or
    the end of its id. Without --until it is shown as it was last.
    """
    from galaxy_core_cli.kept.replaying import Look, replay_run

    if mermaid and as_json:
        raise click.UsageError("--mermaid and --json are two formats: give one of them.")
    return replay_run(run, journal, until, Look(mermaid, as_json, sound))
