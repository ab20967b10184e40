"""`galaxy prune`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@click.option("--older-than", metavar="AGE", help="Runs whose last sign of life is older: 30d, 12h, 90m, 2w.")
@click.option("--keep", metavar="N", type=click.IntRange(min=0), help="All but the N newest.")
@click.option("--unfinished", is_flag=True, help="Those, too, that could go on, or cannot be read.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.journal
@options.as_json
@options.debug
def prune(
    older_than: str | None,
    keep: int | None,
    unfinished: bool,
    dry_run: bool,
    yes: bool,
    journal: str | None,
    as_json: bool,
) -> int:
    """Remove runs that were kept.

    What they recorded goes, with the files that they collected. With both --older-than and --keep, a run goes that both
    name. A run that is under way never goes, nor, without --unfinished, one that is not over.
    """
    from galaxy_core_cli.kept.pruning import Wanted, prune_runs

    if older_than is None and keep is None:
        raise click.UsageError("Say what may go: --older-than AGE, --keep N, or both.")
    return prune_runs(Wanted(older_than, keep, unfinished), journal, dry_run=dry_run, yes=yes, as_json=as_json)
