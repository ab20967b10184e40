"""`galaxy why`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@click.argument("run")
@click.argument("task")
@options.as_json
@options.debug
def why(run: str, task: str, as_json: bool) -> int:
    """Say why a task of a run stands where it stands.

    What it waits for, where it runs, or how it ended.

    RUN is the id of a run under way, or the name of its plan, or the end of its id, or `last`; TASK is the id of a task.
    """
    from galaxy_core_cli.kept.newest import meant
    from galaxy_core_cli.kept.steering import reaching
    from galaxy_core_cli.reaching import ask, print_json

    run = meant(run)
    with reaching(run):
        answer = ask(run, {"do": "why", "task": task})
    if as_json:
        print_json(answer)
    else:
        from galaxy_core_cli.text import safe

        click.echo(safe(answer["text"]))
    return 0
