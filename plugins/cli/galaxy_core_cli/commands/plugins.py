"""`galaxy plugins`."""

from __future__ import annotations

import json

import click

from galaxy_core_cli import options, say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.text import safe, safe_line, table


@click.group()
def plugins() -> None:
    """List, explain and examine plugins."""


@plugins.command("list")
@options.as_json
@options.plugins
@options.debug
def list_plugins(as_json: bool, block: tuple[str, ...], no_plugins: bool) -> int:
    """List installed plugins from their metadata. Imports none of them."""
    from attrs import asdict

    from galaxy_core_cli import files

    found = files.registry(block, no_plugins).describe()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return Exit.OK
    rows = [
        [
            safe_line(one.name),
            safe_line(f"{one.distribution or '?'} {one.version or ''}".strip()),
            one.status,
            safe_line(one.module),
        ]
        for one in found
    ]
    for line in table(rows, ["PLUGIN", "DISTRIBUTION", "STATUS", "MODULE"]):
        click.echo(line)
    return Exit.OK


@plugins.command(short_help="Explain a plugin, or one thing that it brings.")
@click.argument("name", metavar="NAME")
@options.plugins
@options.debug
def explain(name: str, block: tuple[str, ...], no_plugins: bool) -> int:
    """Explain a plugin, a strategy or a transport: what it brings, and what it takes. Imports the plugins."""
    from galaxy_core.errors import nearest
    from galaxy_core_cli import files
    from galaxy_core_cli.plugin_pages import page, subjects

    registry = files.registry(block, no_plugins)
    with say.listening(lambda _text: None, options.State()):  # what is wrong with others is not asked for
        registry.load()
        known = subjects(registry)
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            say.error(
                f"there is no plugin, strategy, transport or journal {name!r}{hint}; known are {', '.join(sorted(known))}"
            )
            return Exit.REFUSED
        for line in page(registry, name):
            click.echo(safe(line))
        mine = [one for one in registry.describe() if name in {one.name, one.distribution}]
    return Exit.BROKEN if any(one.status == "failed" for one in mine) else Exit.OK


@plugins.command(short_help="Load every plugin and report what is wrong.")
@options.plugins
@options.debug
def doctor(block: tuple[str, ...], no_plugins: bool) -> int:
    """Load every plugin and report what is wrong, and what can be done about it. Exit code 3 when anything is."""
    from galaxy_core_cli import files
    from galaxy_core_cli.plugin_pages import diagnosis, surroundings

    registry = files.registry(block, no_plugins)
    logged: list[str] = []
    with say.listening(logged.append, options.State()):
        registry.load()
        problems = diagnosis(registry)
    for line in table([[safe_line(key), safe_line(value)] for key, value in surroundings()]):
        click.echo(line)
    colors = {"loaded": "green", "failed": "red", "blocked": "yellow"}
    for one in registry.describe():
        kinds = {
            "strategies": one.strategies,
            "transports": one.transports,
            "journals": one.journals,
            "simulators": one.simulators,
        }
        brings = "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names)
        bringing = f": {brings}" if brings else ""
        click.echo(
            f"{click.style(one.status, fg=colors.get(one.status))}  {safe_line(one.name)} "
            f"({safe_line(one.distribution or one.module)} {safe_line(one.version or '')}){safe_line(bringing)}"
        )
    unknown = [text for text in logged if "no plugin is called that" in text]
    for text in [*problems, *unknown]:
        click.echo(f"{click.style('problem', fg='red', bold=True)}  {safe_line(text)}")
    click.echo("nothing wrong" if not problems and not unknown else "")
    return Exit.BROKEN if problems else Exit.REFUSED if unknown else Exit.OK
