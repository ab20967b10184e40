"""`galaxy devices`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from galaxy_core_cli import options
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.text import count, duration, safe_line, table

if TYPE_CHECKING:
    from galaxy_core_cli.probing import Probed

#: Nobody looks longer.
MOST_S = 3600.0


@click.group()
def devices() -> None:
    """List the devices of an inventory, or see whether they answer."""


@devices.command("list")
@options.devices
@options.as_json
@options.plugins
@options.debug
def list_devices(devices: str | None, as_json: bool, block: tuple[str, ...], no_plugins: bool) -> int:
    """List devices and what is wrong with their settings. Connects to none.

    What is found by a discovery stands as NAME-*.
    """
    from galaxy_core_cli import files
    from galaxy_core_cli.probing import examined

    found = examined(files.read_inventory(devices), files.loaded(block, no_plugins))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for line in table(
            [_row(info) for info in found], ["DEVICE", "TRANSPORT", "TYPE", "AT ONCE", "CAPABILITIES", ""]
        ):
            click.echo(line)
        for info in found:
            if info["problem"]:
                click.echo(f"{click.style(safe_line(_name(info)), bold=True)}: {_problem(info['problem'])}")
    return Exit.REFUSED if any(info["problem"] for info in found) else Exit.OK


def _row(info: Mapping[str, Any]) -> list[str]:
    last = click.style("wrong, see below", fg="red") if info["problem"] else ""
    if info["discovery"] is not None and not last:
        patterns = ", ".join(f"{name} {pattern}" for name, pattern in info["match"].items())
        last = f"those that are found{f': {safe_line(patterns)}' if patterns else ''}"
    return [
        safe_line(_name(info)),
        safe_line(info["transport"]),
        safe_line(info["device_type"] or "?"),
        count(info["max_concurrency"], "slot"),
        safe_line(", ".join(info["capabilities"])),
        last,
    ]


def _name(info: Mapping[str, Any]) -> str:
    return str(info["device_id"] or f"{info['discovery']}-*")


def _problem(text: str) -> str:
    return click.style(safe_line(text), fg="red")


@devices.command(short_help="Connect to devices and ask each what it is.")
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
@click.option(
    "--find-s",
    metavar="S",
    type=click.FloatRange(min=0, max=MOST_S),
    default=2.0,
    show_default=True,
    help="Seconds that discoveries look for devices.",
)
@options.as_json
@options.plugins
@options.debug
def probe(
    device_ids: tuple[str, ...],
    devices: str | None,
    timeout_s: float,
    find_s: float,
    as_json: bool,
    block: tuple[str, ...],
    no_plugins: bool,
) -> int:
    """Connect to devices, all at once, and ask each what it is; by default to every one of the inventory.

    DEVICE may be the name of a discovery, too: that is all that it finds. What discoveries see and cannot use is told
    with the reasons.
    """
    import anyio

    from galaxy_core_cli import files
    from galaxy_core_cli.probing import Questions

    inventory = files.read_inventory(devices)
    registry = files.loaded(block, no_plugins)
    prefix = files.only_this_machine(devices)
    questions = Questions(inventory, registry, device_ids, timeout_s, find_s, prefix)
    found = anyio.run(questions.asked)
    if as_json:
        click.echo(json.dumps([_document(one) for one in found], indent=2))
    else:
        for one in found:
            _show(one)
    # What was seen need not be meant for us.
    return Exit.OK if all(one.error is None or one.seen is not None for one in found) else Exit.NOT_ALL


def _document(one: Probed) -> dict[str, Any]:
    return {
        "device_id": one.device_id,
        "discovery": one.discovery,
        "seen": one.seen,
        "transport": one.transport,
        "answers": one.error is None,
        "connect_s": one.connect_s,
        "probe_s": one.probe_s,
        "facts": dict(one.facts),
        "error": one.error,
    }


def _show(one: Probed) -> None:
    if one.device_id is None:
        what = "no use" if one.seen is not None else "none"
        name = f"discovery {one.discovery}" if one.seen is None else one.seen
        by = "" if one.seen is None else f", seen by {one.discovery}"
        colour = "yellow" if one.seen is not None else "red"
    else:
        what, name, colour = ("no answer", one.device_id, "red") if one.error else ("answers", one.device_id, "green")
        by = "" if one.discovery is None else f", found by {one.discovery}"
    head = f"{click.style(f'{what:<9}', fg=colour)}  {click.style(safe_line(name), bold=True)}"
    where = f"({safe_line(one.transport)}{safe_line(by)})"
    if one.error is not None:
        click.echo(f"{head} {where}: {safe_line(one.error)}")
        return
    connected = "" if one.connect_s is None else f"connected in {duration(one.connect_s)}, "
    click.echo(f"{head} {where}: {connected}answered in {duration(one.probe_s)}")
    for line in table([[safe_line(key), safe_line(value)] for key, value in one.facts.items()], indent=" " * 11):
        click.echo(line)
