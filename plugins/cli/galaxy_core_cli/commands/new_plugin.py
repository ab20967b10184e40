"""`galaxy new-plugin`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command("new-plugin")
@click.argument("kind", type=click.Choice(["strategy", "transport", "observer", "journal"]))
@click.argument("name", metavar="NAME")
@click.option("--dir", "folder", metavar="DIR", help="Make it there; default: galaxy-core-NAME in the current folder.")
@options.debug
def new_plugin(kind: str, name: str, folder: str | None) -> int:
    """Make the skeleton of a plugin.

    It is a distribution that installs, works, and has passing tests.

    NAME is that of the strategy, transport, observer or journal: letters,
    digits and '_'.
    """
    from galaxy_core_cli import say
    from galaxy_core_cli.skeletons import make

    made = make(kind, name, folder)
    click.echo(made.folder)
    say.note(
        f"Made {made.distribution}. Next, in the environment that has Galaxy:\n"
        f"  cd {made.folder}\n"
        f"  python -m pip install --no-deps -e .\n"
        f"  galaxy plugins explain {name}\n"
        f"  python -m pip install pytest anyio trio hypothesis && python -m pytest"
    )
    return 0
