"""`galaxy simulate`."""

from __future__ import annotations

from pathlib import Path

import click

from galaxy_core_cli import options

#: More of a kind than this is a slip.
MOST = 1000


@click.command()
@click.argument("kinds", metavar="KIND...", nargs=-1, required=True)
@click.option(
    "--count",
    metavar="N",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="How many of each kind.",
)
@click.option(
    "--out",
    metavar="FILE",
    default="simulated.yaml",
    show_default=True,
    help="The inventory that is written, and removed at the end.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE, whoever has written it.")
@click.option(
    "--folder",
    metavar="DIR",
    help="Have the devices store there what they store, and leave it; default: a temporary folder, removed at the end.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document, in one line, instead of text for people.")
@options.plugins
@options.debug
def simulate(
    kinds: tuple[str, ...],
    count: int,
    out: str,
    force: bool,
    folder: str | None,
    as_json: bool,
    block: tuple[str, ...],
    no_plugins: bool,
) -> int:
    """Start simulated devices and write an inventory for them.

    So that anyone can try a plan without hardware: galaxy run PLAN --devices simulated.yaml

    KIND is phone, windows or ssh, or what else plugins simulate; several may be named. 'here' is this machine, 'all' one of
    each and this machine. Ctrl-C ends them and removes everything.
    """
    from galaxy_core_cli import files
    from galaxy_core_cli.simulating.inventory import InventoryFile
    from galaxy_core_cli.simulating.kinds import chosen
    from galaxy_core_cli.simulating.serve import Order, serve

    registry = files.loaded(block, no_plugins)
    wanted = chosen(kinds, registry)
    file = InventoryFile(Path(out), force)
    return serve(Order(wanted, count, file, registry, None if folder is None else Path(folder), as_json))
