"""`galaxy devices` lists what there is, and asks it whether it lives."""

from __future__ import annotations

import json

from galaxy_core_cli.exits import Exit

from .asking import Galaxy, Install, Write

DEVICES = """
    devices:
      here: {capabilities: [posix], max_concurrency: 2}
      gone: {settings: {root: /no/such/folder}}
"""


def test_without_an_inventory_there_is_this_machine(galaxy: Galaxy) -> None:
    done = galaxy("devices", "list")
    assert (done.code, done.err) == (0, "")
    heading, here = done.out.splitlines()
    assert heading.split() == ["DEVICE", "TRANSPORT", "TYPE", "AT", "ONCE", "CAPABILITIES"]
    assert here.split()[:2] == ["here", "local"]


def test_a_list_says_what_is_wrong_with_a_device(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", "devices: {a: {transport: loca}, b: {settings: {rot: x}}, c: {}}")
    done = galaxy("devices", "list", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    a, b, c, of_a, of_b = done.out.splitlines()[1:]
    assert a.endswith("  wrong, see below")
    assert b.endswith("  wrong, see below")
    assert c.split() == ["c", "local", c.split()[2], "1", "slot"]
    assert of_a.startswith("a: ")
    assert "did you mean 'local'?" in of_a
    assert of_b.startswith("b: ")
    assert "rot" in of_b


def test_without_an_inventory_a_task_that_fits_no_device_is_told_of_that(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [x], requires: [wings]}}")
    alone = (
        "without an inventory (--devices FILE, or GALAXY_DEVICES) there is this machine alone: No device fits task 'a'"
    )
    for what in ("validate", "run"):
        done = galaxy(what, "plan.yaml")
        assert done.code == Exit.REFUSED
        assert alone in done.out + done.err


def test_without_an_inventory_that_is_said_once_however_many_tasks_fit_no_device(galaxy: Galaxy, write: Write) -> None:
    tasks = ", ".join(f"{name}: {{run: [x], requires: [wings]}}" for name in "abcd")
    write("plan.yaml", f"tasks: {{{tasks}, e: {{run: [x], device: pixel}}}}")
    for what in ("validate", "run"):
        done = galaxy(what, "plan.yaml")
        assert done.code == Exit.REFUSED
        said = done.out + done.err
        assert said.count("No device fits task") == 4
        assert said.count("without an inventory (--devices FILE, or GALAXY_DEVICES)") == 1
        assert "alone: No device fits task 'a'" in said


def test_the_inventory_can_be_named_by_the_environment(process: Galaxy, write: Write) -> None:
    path = write("devices.yaml", DEVICES)
    done = process("devices", "list", "--json", env={"GALAXY_DEVICES": str(path)})
    assert [one["device_id"] for one in json.loads(done.out)] == ["here", "gone"]


def test_a_probe_says_who_answers_with_what_and_who_does_not(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", DEVICES)
    done = galaxy("devices", "probe", "--devices", "devices.yaml")
    assert (done.code, done.err) == (Exit.NOT_ALL, "")
    assert "answers    here (local): connected in " in done.out
    assert "hostname" in done.out
    assert "no answer  gone (local): " in done.out
    assert "/no/such/folder" in done.out


def test_single_devices_can_be_probed(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", DEVICES)
    done = galaxy("devices", "probe", "here", "--devices", "devices.yaml", "--json")
    assert done.code == 0
    [answer] = json.loads(done.out)
    assert (answer["device_id"], answer["answers"], answer["error"]) == ("here", True, None)
    assert answer["facts"]["root"]
    done = galaxy("devices", "probe", "hree", "--devices", "devices.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "did you mean 'here'?" in done.err


def test_without_an_inventory_an_unknown_device_is_told_of_that(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [x], device: pixel}}")
    for arguments in (("devices", "probe", "pixel"), ("validate", "plan.yaml"), ("run", "plan.yaml")):
        done = galaxy(*arguments)
        assert done.code == Exit.REFUSED
        assert (
            "without an inventory (--devices FILE, or GALAXY_DEVICES) there is this machine alone"
            in done.out + done.err
        )
    write("devices.yaml", DEVICES)
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert "without an inventory" not in done.out
    assert "registered: 'gone', 'here'" in done.out


ODD = """
    from contextlib import asynccontextmanager
    import anyio
    from galaxy_core import DeviceLostError, hookimpl

    class Odd:
        name, settings_model, requests, actions, device_type = "odd", None, frozenset({"run"}), {}, None

        @asynccontextmanager
        async def open(self, device, settings):
            if device.device_id == "silent":
                await anyio.sleep_forever()
            if device.device_id == "far":
                raise DeviceLostError("far", "nothing is plugged in")
            if device.device_id == "evil":
                raise RuntimeError("no\\x1b[2J")
            yield self

        async def execute(self, attempt):
            raise AssertionError

        async def probe(self):
            raise OSError("it is\\ngone")

    @hookimpl
    def galaxy_transports():
        return [Odd()]
"""


def test_devices_that_misbehave_are_told_of_and_hold_up_no_other(
    galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("odd", ODD)
    write(
        "devices.yaml",
        "devices: {silent: {transport: odd}, evil: {transport: odd}, rude: {transport: odd}, far: {transport: odd}, here: {}, unknown: {transport: nix}}",
    )
    done = galaxy("devices", "probe", "--devices", "devices.yaml", "--timeout", "1")
    assert done.code == Exit.NOT_ALL
    assert "no answer  silent (odd): no answer within 1 s" in done.out
    assert r"no\x1b[2J" in done.out
    assert r"rude (odd): OSError: it is\ngone" in done.out
    assert "no answer  far (odd): nothing is plugged in\n" in done.out
    assert "answers    here" in done.out
    assert "no answer  unknown (nix): " in done.out
