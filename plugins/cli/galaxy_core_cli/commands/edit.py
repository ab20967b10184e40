"""`galaxy edit`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@click.argument("run")
@click.argument("file", required=False)
@click.option("--preview", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--apply", "do_apply", is_flag=True, help="Change the plan without asking.")
@click.option("--undo", metavar="EDIT", help="Take back an edit that was made with this command, instead of FILE.")
@click.option("--mermaid", is_flag=True, help="Draw the preview as a Mermaid flowchart.")
@options.as_json
@options.debug
def edit(
    run: str,
    file: str | None,
    preview: bool,
    do_apply: bool,
    undo: str | None,
    mermaid: bool,
    as_json: bool,
) -> int:
    """Edit the plan of a run that another process runs.

    RUN is the id of a run under way, or the name of its plan, or the end of its id, or `last`. FILE holds a
    transaction as JSON, or is - for standard input. All of it takes effect at once, or nothing: then the exit code is 1, and every reason is told.
    Without --preview and --apply the preview is shown, and in a terminal it is asked whether to go on; elsewhere the exit
    code is 2. `galaxy schema transaction` says what a transaction may hold.
    """
    from galaxy_core_cli import editing
    from galaxy_core_cli.kept.newest import meant
    from galaxy_core_cli.kept.steering import reaching

    if (file is None) == (undo is None):
        raise click.UsageError("Give the FILE of a transaction, or --undo and the id of an edit.")
    if undo is not None:
        if preview or do_apply or mermaid:
            raise click.UsageError("--undo goes without --preview, --apply and --mermaid.")
        run = meant(run)
        with reaching(run):
            return editing.undo(run, undo, as_json)
    if preview and do_apply:
        raise click.UsageError("--preview changes nothing, and --apply does: give one of them.")
    if do_apply and mermaid:
        raise click.UsageError("--mermaid draws a preview: use it without --apply.")
    assert file is not None
    text, name = editing.read(file, as_json=as_json)
    run = meant(run)  # once, so that what was previewed is what is edited
    with reaching(run):
        if do_apply:
            return editing.apply(run, text, name, as_json)
        look = editing.Look(as_json, mermaid)
        if preview:
            return editing.show(run, text, name, look)
        return editing.propose(run, text, name, look, may_ask=file != "-" and not as_json)
