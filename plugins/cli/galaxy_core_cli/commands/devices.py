"""`galaxy devices`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from galaxy_core_cli import options
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.text import count, duration, safe_line, table

if TYPE_CHECKING:
    from galaxy_core_cli.probing import Probed


@click.group()
def devices() -> None:
    """List the devices of an inventory, or see whether they answer."""


@devices.command("list")
@options.devices
@options.as_json
@options.plugins
@options.debug
def list_devices(devices: str | None, as_json: bool, block: tuple[str, ...], no_plugins: bool) -> int:
    """List devices and what is wrong with their settings. Connects to none."""
    from galaxy_core_cli import files
    from galaxy_core_cli.probing import examined

    found = examined(files.read_devices(devices), files.loaded(block, no_plugins))
    if as_json:
        click.echo(json.dumps([info for info, _ in found], indent=2))
    else:
        rows = [
            [
                safe_line(info["device_id"]),
                safe_line(info["transport"]),
                safe_line(info["device_type"] or "?"),
                count(info["max_concurrency"], "slot"),
                safe_line(", ".join(info["capabilities"])),
                click.style(safe_line(info["problem"]), fg="red") if info["problem"] else "",
            ]
            for info, _ in found
        ]
        for line in table(rows, ["DEVICE", "TRANSPORT", "TYPE", "AT ONCE", "CAPABILITIES", ""]):
            click.echo(line)
    return Exit.REFUSED if any(info["problem"] for info, _ in found) else Exit.OK


@devices.command()
@click.argument("device_ids", metavar="[DEVICE]...", nargs=-1)
@options.devices
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds that each device gets.",
)
@options.as_json
@options.plugins
@options.debug
def probe(
    device_ids: tuple[str, ...],
    devices: str | None,
    timeout_s: float,
    as_json: bool,
    block: tuple[str, ...],
    no_plugins: bool,
) -> int:
    """Connect to devices, all at once, and ask each what it is; by default to every one of the inventory."""
    import anyio

    from galaxy_core_cli import files
    from galaxy_core_cli.probing import probed

    inventory = files.read_devices(devices)
    registry = files.loaded(block, no_plugins)
    prefix = files.only_this_machine(devices)
    found = anyio.run(partial(probed, inventory, registry, device_ids, timeout_s, prefix))
    if as_json:
        click.echo(json.dumps([_document(one) for one in found], indent=2))
    else:
        for one in found:
            _show(one)
    return Exit.OK if all(one.error is None for one in found) else Exit.NOT_ALL


def _document(one: Probed) -> dict[str, Any]:
    return {
        "device_id": one.device_id,
        "transport": one.transport,
        "answers": one.error is None,
        "connect_s": one.connect_s,
        "probe_s": one.probe_s,
        "facts": dict(one.facts),
        "error": one.error,
    }


def _show(one: Probed) -> None:
    name = click.style(safe_line(one.device_id), bold=True)
    if one.error is not None:
        click.echo(f"{click.style('no answer', fg='red')}  {name} ({safe_line(one.transport)}): {safe_line(one.error)}")
        return
    times = f"connected in {duration(one.connect_s)}, answered in {duration(one.probe_s)}"
    click.echo(f"{click.style('answers', fg='green')}    {name} ({safe_line(one.transport)}): {times}")
    for line in table([[safe_line(key), safe_line(value)] for key, value in one.facts.items()], indent=" " * 11):
        click.echo(line)
