"""Devices that are found: every command that reads an inventory looks for them, or says that they may come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Galaxy, Install, Write, command
from .found import FINDING, LOCKED, NOKIA, PIXEL, Pipe, inventory
from .terminal import CTRL_C, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the searches of these tests read named pipes")
PLAN = """
    tasks:
      hello: {run: [echo, hello], device: here}
      shoot: {run: [shoot], requires: [camera]}
      again: {run: [shoot], requires: [camera]}
"""
WAIT_NOT = ", wait_s: 0"


@pytest.fixture(autouse=True)
def finding(install: Install, write: Write) -> None:
    install("finding", FINDING)
    write("plan.yaml", PLAN)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    found = Pipe(tmp_path / "pipe")
    yield found
    found.close()


# ----------------------------------------------------------------------------------------------- before anything runs
def test_a_plan_that_only_a_found_device_fits_is_valid_and_that_is_said(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory())
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert (done.code, done.out) == (0, "plan.yaml: 3 tasks, nothing wrong\n")
    assert done.err == (
        "plan.yaml:3: tasks.shoot: no device that is named fits; a device of discovery 'phones' may fit, "
        "as for 1 other task\n"
    )
    told = json.loads(galaxy("validate", "plan.yaml", "--devices", "devices.yaml", "--json").out)
    assert (told["valid"], [note["place"] for note in told["notes"]]) == (True, ["tasks.shoot"])


def test_a_task_that_not_even_a_found_device_fits_is_refused(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory())
    write("plan.yaml", "tasks: {a: {run: [x], requires: [camera, wings]}, b: {run: [x], requires: [camera]}}")
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert "tasks.a.requires: No device fits task 'a'" in done.out
    assert "tasks.b" not in done.out + done.err


def test_what_a_found_device_would_not_take_is_said(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory())
    write("plan.yaml", "tasks: {a: {shell: x, requires: [camera]}}")
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert "device 'phones-*': transport 'finding' does not take 'shell'" in done.out


def test_a_pin_on_a_device_that_is_yet_to_be_found_is_refused_with_what_to_do(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory())
    write("plan.yaml", "tasks: {a: {run: [x], device: phones-p1}}")
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert "cannot be pinned to a device that is yet to be found: require a capability" in done.out


@pytest.mark.parametrize(
    ("search", "place", "text"),
    [
        ("{transport: fnding}", "transport", "discovery 'phones' wants transport 'fnding', which no plugin brings"),
        ("{transport: fnding}", "transport", "did you mean 'finding'?"),
        ("{transport: local}", "transport", "finds no devices by itself"),
        ("{transport: finding, settings: {pip: x}}", "settings.pip", "did you mean 'pipe'?"),
    ],
)
def test_a_search_that_cannot_be_made_is_told_of_with_its_place(
    search: str, place: str, text: str, galaxy: Galaxy, write: Write
) -> None:
    write("devices.yaml", f"devices: {{here: {{}}}}\ndiscover:\n  phones: {search}\n")
    for done in (galaxy(name, "plan.yaml", "--devices", "devices.yaml") for name in ("validate", "plan", "run")):
        assert done.code == Exit.REFUSED
        assert f"devices.yaml:3: discover.phones.{place}: " in done.out + done.err
        assert text in done.out + done.err
    done = galaxy("devices", "list", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert text in done.out
    done = galaxy("devices", "probe", "--devices", "devices.yaml")
    assert done.code == Exit.NOT_ALL
    assert "none       discovery phones (" in done.out
    assert text in done.out


def test_a_preview_has_one_device_for_each_search_that_the_plan_needs(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory() + "  others: {transport: finding}\n")
    done = galaxy("plan", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == 0
    assert "shoot  phones-*" in done.out
    assert "phones-*: 2 tasks, 2.0s of work on 1 slot" in done.out
    assert "as if one device were found by 'phones'\n" in done.out
    told = json.loads(galaxy("plan", "plan.yaml", "--devices", "devices.yaml", "--json").out)
    assert told["awaited"] == {"phones-*": "phones"}


def test_an_inventory_may_have_nothing_but_searches(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", f"discover: {{phones: {{transport: finding, settings: {json.dumps({'sees': [PIXEL]})}}}}}")
    write("plan.yaml", "tasks: {a: {run: [x]}}")
    assert galaxy("validate", "plan.yaml", "--devices", "devices.yaml").code == 0
    assert galaxy("plan", "plan.yaml", "--devices", "devices.yaml").code == 0
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert (done.code, done.out) == (0, '"done on it"\n')


# ----------------------------------------------------------------------------------------------- devices
def test_a_list_has_a_row_for_each_search(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory(LOCKED))
    done = galaxy("devices", "list", "--devices", "devices.yaml")
    assert done.code == 0
    assert done.out.splitlines()[2].split() == [
        *("phones-*", "finding", "android", "1", "slot", "camera"),
        *("those", "that", "are", "found:", "model", "Pixel*"),
    ]
    here, phones = json.loads(galaxy("devices", "list", "--devices", "devices.yaml", "--json").out)
    assert (here["device_id"], here["discovery"]) == ("here", None)
    assert (phones["device_id"], phones["discovery"], phones["match"]) == (None, "phones", {"model": "Pixel*"})


def test_a_probe_says_what_was_found_and_what_was_seen_and_not_taken(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory(PIXEL, NOKIA, LOCKED))
    done = galaxy("devices", "probe", "--devices", "devices.yaml", "--find-s", "0.3")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("answers    phones-p1 (finding, found"))
    assert [line.split() for line in lines[place + 1 : place + 4]] == [
        ["model", "Pixel", "8"],
        ["android", "14"],
        ["battery", "80"],
    ]
    assert "no use     n1 (finding, seen by phones): it is not one of those that are meant: " in done.out
    assert "its model is 'Nokia 3310', not 'Pixel*'" in done.out
    assert r"no use     l1\x1b[2J (finding, seen by phones): unauthorized: agree on its screen" in done.out


def test_a_probe_as_json_tells_devices_from_what_was_only_seen(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory(PIXEL, LOCKED))
    done = galaxy("devices", "probe", "--devices", "devices.yaml", "--find-s", "0.3", "--json")
    here, pixel, locked = json.loads(done.out)
    assert (here["device_id"], here["discovery"], here["seen"]) == ("here", None, None)
    assert (pixel["device_id"], pixel["discovery"], pixel["answers"]) == ("phones-p1", "phones", True)
    assert (pixel["connect_s"], pixel["facts"]["model"]) == (None, "Pixel 8")
    assert (locked["device_id"], locked["seen"], locked["answers"]) == (None, LOCKED["key"], False)


@pytest.mark.parametrize("wanted", ["phones", "phones-p1"])
def test_a_probe_may_be_of_a_search_or_of_what_it_finds(wanted: str, galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory(PIXEL))
    done = galaxy("devices", "probe", wanted, "--devices", "devices.yaml", "--find-s", "0.3", "--json")
    assert [one["device_id"] for one in json.loads(done.out)] == ["phones-p1"]
    done = galaxy("devices", "probe", "phones-p2", "--devices", "devices.yaml", "--find-s", "0.1")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "did you mean 'phones-p1'" in done.err


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "none       discovery phones (finding): no device was found within 0.2 s"),
        ({"breaks": "no server"}, "none       discovery phones (finding): ConnectionRefusedError: no server"),
        (
            {"sees": [{"key": "p1", "facts": {"model": "Mute"}}]},
            "no answer  phones-p1 (finding, found by phones): OSError: it says nothing",
        ),
    ],
    ids=["nothing is there", "the search is broken", "it does not answer"],
)
def test_a_probe_fails_when_a_search_brings_nothing_that_answers(
    settings: dict[str, object], text: str, galaxy: Galaxy, write: Write
) -> None:
    search = f"{{transport: finding, settings: {json.dumps(settings)}}}"
    write("devices.yaml", f"devices: {{here: {{}}}}\ndiscover: {{phones: {search}}}\n")
    done = galaxy("devices", "probe", "--devices", "devices.yaml", "--find-s", "0.2")
    assert (done.code, done.err) == (Exit.NOT_ALL, "")
    assert text in done.out


# ----------------------------------------------------------------------------------------------- runs
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_uses_what_is_found_and_says_what_that_is(backend: str, galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory(PIXEL))
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--backend", backend)
    assert done.code == 0
    assert "done      shoot on phones-p1" in done.err
    assert "discovery 'phones' has found device 'phones-p1': Pixel 8, 14\n" in done.err
    assert "waiting" not in done.err


def test_a_run_without_a_fitting_device_says_what_was_seen_and_why_it_was_not_taken(
    galaxy: Galaxy, write: Write
) -> None:
    write("devices.yaml", inventory(NOKIA, LOCKED, more=", wait_s: 0.2"))
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "No device fits task" in done.err
    assert (
        "Discovery 'phones' sees, and cannot take, 'n1' (it is not one of those that are meant: its model" in done.err
    )
    assert "unauthorized: agree on its screen" in done.err
    assert "\x1b" not in done.err
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--json")
    assert done.events[-1]["error_type"] == "NoFittingDeviceError"
    assert "agree on its screen" in done.events[-1]["error"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [({}, "has seen nothing."), ({"breaks": "no server"}, "does not work: ConnectionRefusedError: no server.")],
    ids=["nothing is there", "the search is broken"],
)
def test_a_run_for_which_nothing_is_found_says_so(
    settings: dict[str, str], text: str, galaxy: Galaxy, write: Write
) -> None:
    write("devices.yaml", inventory(more=WAIT_NOT if not settings else ", wait_s: 0.3", **settings))
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert f"Discovery 'phones' {text}" in done.err


def test_a_run_that_waits_for_a_device_says_so_and_goes_on_once_it_comes(write: Write, pipe: Pipe) -> None:
    write("devices.yaml", inventory(LOCKED, pipe=pipe.path))
    words = command("run", "plan.yaml", "--devices", "devices.yaml")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        told = ""
        while "cannot take" not in told:
            line = run.stderr.readline()
            assert line, told
            told += line
        pipe.say(PIXEL)
        rest = run.communicate(timeout=TIMEOUT_S)[1]
    assert "waiting up to 1:00 for a device of discovery 'phones' (for shoot, again)\n" in told
    assert "unauthorized: agree on its screen" in told
    assert "done      shoot on phones-p1" in rest
    assert run.returncode == 0


def test_a_run_waits_for_a_device_for_one_task_while_another_fits_already(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory(NOKIA, more=", wait_s: 1.5"))
    write("plan.yaml", "tasks: {a: {run: [echo, x]}, b: {run: [shoot], requires: [camera]}}")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert "waiting up to 1.5s for a device of discovery 'phones' (for b)\n" in done.err
    assert "No device fits task 'b'" in done.err


def test_a_device_that_comes_while_a_plan_runs_is_told_of_and_used(write: Write, tmp_path: Path, pipe: Pipe) -> None:
    write("devices.yaml", inventory(pipe=pipe.path))
    write("plan.yaml", "tasks: {a: {run: [cat, go], device: here}, b: {run: [x]}}")
    with closing(Pipe(tmp_path / "here" / "go")), Terminal("run", "plan.yaml", "--devices", "devices.yaml") as terminal:
        terminal.until(r"a +here +running")  # until it is cancelled: nobody closes the pipe
        pipe.say(PIXEL)
        terminal.until(r"discovery 'phones' has found device 'phones-p1': Pixel 8, 14")
        terminal.until(r"b +phones-p1 +done")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == Exit.CANCELLED


def test_a_run_that_waits_for_a_device_can_be_cancelled(write: Write, pipe: Pipe) -> None:
    write("devices.yaml", inventory(pipe=pipe.path))
    with Terminal("run", "plan.yaml", "--devices", "devices.yaml") as terminal:
        terminal.until(r"waiting up to 1:00 for a device of discovery 'phones'")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == Exit.CANCELLED
        assert "cancelled before anything was started" in terminal.text


def test_a_found_device_is_an_event_like_any_other(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", inventory(PIXEL))
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--json")
    assert done.code == 0
    assert ("phones-p1", "idle") in {
        (event["device"], event["status"]) for event in done.events if event["type"] == "device_status_changed"
    }


def test_a_run_of_an_inventory_of_searches_alone_says_once_what_they_saw(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [x]}}")
    write("devices.yaml", inventory(NOKIA, more=", wait_s: 0.2").replace("devices: {here: {}}\n", ""))
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert "none is registered; discovery 'phones' sees, and cannot take, 'n1' (it is not one of those" in done.err
    assert done.err.count("sees, and cannot take, 'n1'") == 1
