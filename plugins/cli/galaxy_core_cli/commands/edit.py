"""`galaxy edit`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@click.argument("run")
@click.argument("file", required=False)
@click.option("--preview", "mode", flag_value="preview", help="Say what would change, and change nothing.")
@click.option("--apply", "mode", flag_value="apply", help="Change the plan without asking.")
@click.option("--undo", metavar="EDIT", help="Take back an edit that was made with this command, instead of FILE.")
@click.option("--mermaid", is_flag=True, help="Draw the preview as a Mermaid flowchart.")
@options.as_json
@options.debug
def edit(run: str, file: str | None, mode: str | None, undo: str | None, mermaid: bool, as_json: bool) -> int:
    """Edit the plan of a run that another process runs.

    RUN is the id of a run, or a part of it that no other has. FILE holds a transaction as JSON, or is - for standard
    input. All of it takes effect at once, or nothing: then the exit code is 1, and every reason is told. Without --preview
    and --apply the preview is shown, and in a terminal it is asked whether to go on.
    """
    from galaxy_core_cli import editing

    if (file is None) == (undo is None):
        raise click.UsageError("Give the FILE of a transaction, or --undo and the id of an edit.")
    if undo is not None:
        if mode is not None or mermaid:
            raise click.UsageError("--undo goes without --preview, --apply and --mermaid.")
        return editing.undo(run, undo, as_json)
    assert file is not None
    text = editing.read(file)
    if mode == "apply":
        if mermaid:
            raise click.UsageError("--mermaid draws a preview: use it without --apply.")
        return editing.apply(run, text, as_json)
    may_ask = mode is None and file != "-" and not as_json and not mermaid
    return editing.show(run, text, editing.Look(as_json, mermaid), may_ask=may_ask)
