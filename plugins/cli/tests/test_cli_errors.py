"""What somebody is told when a place cannot be used, or when several errors come at once, or one that says nothing."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from galaxy_core import GalaxyError, PlanError
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.options import State
from galaxy_core_cli.reasons import why
from galaxy_core_cli.running.keeping import refusal

from .asking import TIMEOUT_S, Galaxy, Install, Write, command

GROUP = "unhandled errors in a TaskGroup"
KEEPING = "tasks: {a: {shell: 'touch ran; echo hi > it.txt', outputs: [it.txt]}}"
# Each mode is a place at which a transport may raise several errors at once.
ODD = """
    import anyio
    from contextlib import asynccontextmanager
    from pydantic import BaseModel
    from galaxy_core import Completed, hookimpl
    class Settings(BaseModel):
        mode: str
    async def fail(error):
        raise error
    async def several():
        async with anyio.create_task_group() as group:
            group.start_soon(fail, ValueError("boom"))
            group.start_soon(fail, KeyError("host"))
    class Session:
        def __init__(self, mode):
            self.mode = mode
        async def execute(self, attempt):
            if self.mode == "execute":
                await several()
            raise anyio.BrokenResourceError
        async def probe(self):
            await several()
    class Odd:
        name, settings_model, requests, actions, device_type = "odd", Settings, frozenset({"run"}), {}, None
        @asynccontextmanager
        async def open(self, device, settings):
            if settings.mode == "open":
                await several()
            yield Session(settings.mode)
    @hookimpl
    def galaxy_transports():
        return [Odd()]
"""


def devices(write: Write, mode: str) -> None:
    write("devices.yaml", f"devices: {{it: {{transport: odd, settings: {{mode: {mode}}}}}}}")


# --------------------------------------------------------------------------------------------------- where files go


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("file", "it is a file, not a folder"),
        ("file/below/it", "'file' is a file, not a folder"),
        ("dangling", "it is a link that leads nowhere"),
        ("dangling/below", "'dangling' is a link that leads nowhere"),
        ("x" * 300, "File name too long"),
        ("", "the path is empty"),
    ],
)
def test_a_folder_that_cannot_be_had_is_refused_before_anything_runs(
    path: str, reason: str, galaxy: Galaxy, write: Write, folder: Path
) -> None:
    write("file", "x")
    (folder / "dangling").symlink_to("nowhere")
    write("plan.yaml", KEEPING)
    done = galaxy("run", "plan.yaml", "--artifacts", path)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert f"--artifacts {path!r} cannot be used: {reason}. Name a folder that" in done.err
    assert not (folder / "ran").exists()
    [event] = galaxy("run", "plan.yaml", "--artifacts", path, "--json").events
    assert (event["type"], event["error"].partition(" cannot")[0]) == ("error", f"--artifacts {path!r}")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system where nothing can be made")
def test_a_folder_is_tried_because_permissions_say_little(galaxy: Galaxy, write: Write, folder: Path) -> None:
    write("plan.yaml", KEEPING)
    done = galaxy("run", "plan.yaml", "--artifacts", "/proc/galaxy/below")
    assert done.code == Exit.REFUSED
    assert "nothing can be made in '/proc'" in done.err
    assert not (folder / "ran").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything can be written by root")
def test_a_folder_that_is_not_writable_is_no_place_for_files(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o500)
    assert refusal(str(closed)) == "Permission denied"
    assert refusal(str(closed / "a" / "b")) == f"nothing can be made in {str(closed)!r}: Permission denied"


def test_trying_a_folder_leaves_nothing_behind(galaxy: Galaxy, write: Write, folder: Path) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    assert galaxy("run", "plan.yaml", "--artifacts", "new/below").code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["plan.yaml"]


def test_a_folder_that_goes_while_the_plan_runs_costs_the_files_alone(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'rm -rf keep; touch keep; seq 1 300000'}}")
    done = galaxy("run", "plan.yaml", "--artifacts", "keep", "--json")
    assert done.code == 0
    [ended] = [event for event in done.events if event["type"] == "task_completed"]
    assert ended["metadata"]["stdout_file_error"] == "Not a directory"
    done = galaxy("run", "plan.yaml", "--artifacts", "keep2")  # the shell takes away the first
    assert "a: stdout is cut to the first 1,048,576 of 1,988,895 bytes; a file has all of it\n" in done.err


def test_files_are_passed_on_within_a_folder_that_is_named_by_a_way_up(galaxy: Galaxy, write: Write) -> None:
    write(
        "plan.yaml",
        "tasks: {a: {shell: 'echo hi > o', outputs: [o]}, b: {run: [cat, p], files: {p: {from: a, value: file.o}}}}",
    )
    done = galaxy("run", "plan.yaml", "--artifacts", "../kept")
    assert (done.code, done.out) == (0, "hi\n"), done.err


def test_output_that_is_cut_and_cannot_be_kept_is_said_to_be_lost(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'rm -rf keep; touch keep; seq 1 300000'}}")
    done = galaxy("run", "plan.yaml", "--artifacts", "keep")
    assert done.code == 0
    why = "the rest is lost, because no file could be written: Not a directory"
    assert f"a: stdout is cut to the first 1,048,576 of 1,988,895 bytes; {why}\n" in done.err


# -------------------------------------------------------------------------------------------------- several at once


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_several_errors_of_a_transport_are_each_told(
    backend: str, galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("odd", ODD)
    devices(write, "execute")
    write("plan.yaml", "tasks: {a: {run: [x]}}")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--backend", backend)
    assert done.code == Exit.NOT_ALL
    assert GROUP not in done.err
    assert "a on it: " in done.err
    assert "ValueError: boom" in done.err
    assert "KeyError: 'host'" in done.err
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--backend", backend, "--json")
    assert GROUP not in done.out
    [failed] = [event for event in done.events if event["type"] == "task_failed"]
    assert set(failed["error"].split("; ")) == {"ValueError: boom", "KeyError: 'host'"}


def test_an_error_without_words_is_told_by_its_class(galaxy: Galaxy, write: Write, install: Install) -> None:
    install("odd", ODD)
    devices(write, "silent")
    write("plan.yaml", "tasks: {a: {run: [x]}}")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert "FAILED    a on it" in done.err
    assert "a on it: BrokenResourceError\n" in done.err


@pytest.mark.parametrize("mode", ["open", "probe"])
def test_several_errors_of_a_device_that_is_asked_are_each_told(
    mode: str, galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("odd", ODD)
    devices(write, mode)
    done = galaxy("devices", "probe", "--devices", "devices.yaml", "--json")
    assert done.code == Exit.NOT_ALL
    [answer] = json.loads(done.out)
    assert set(answer["error"].split("; ")) == {"ValueError: boom", "KeyError: 'host'"}


def test_what_is_in_a_group_is_told_once_each_and_not_without_end() -> None:
    inner = ExceptionGroup(GROUP, [ValueError("a"), ValueError("a"), PlanError("b")])
    assert why(ExceptionGroup(GROUP, [inner, TimeoutError()])) == "ValueError: a; b; TimeoutError"
    many = ExceptionGroup(GROUP, [ValueError(str(number)) for number in range(9)])
    assert why(many) == "ValueError: 0; ValueError: 1; ValueError: 2; ValueError: 3; ValueError: 4; and 4 more"


def test_a_message_that_repeats_that_of_a_group_says_what_is_in_it() -> None:
    group = ExceptionGroup(GROUP, [ValueError("boom"), KeyError("host")])
    error = GalaxyError(f"strategy 'x' raised {group}")
    error.__cause__ = group
    assert why(error) == "strategy 'x' raised ValueError: boom; KeyError: 'host'"


def test_an_error_that_says_enough_is_told_without_its_class() -> None:
    assert why(FileNotFoundError(2, "No such file", "x")) == "[Errno 2] No such file: 'x'"
    assert why(PlanError("task 'a' is odd")) == "task 'a' is odd"
    assert why(ConnectionError("gone")) == "ConnectionError: gone"
    assert why("as it is\n") == "as it is"


def test_a_group_that_ends_a_command_is_told_error_by_error(
    galaxy: Galaxy, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    write("plan.yaml", "tasks: {}")

    def broken(_path: str) -> None:
        raise ExceptionGroup(GROUP, [PlanError("first"), ExceptionGroup(GROUP, [ValueError("second")])])

    monkeypatch.setattr("galaxy_core_cli.files.read_plan", broken)
    done = galaxy("graph", "plan.yaml")
    assert done.code == Exit.BROKEN  # the worse of the two
    first, second = done.err.splitlines()
    assert first == "error: first"
    assert second.startswith("error: Galaxy itself failed: ValueError: second.")


def test_ctrl_c_in_a_group_is_ctrl_c(galaxy: Galaxy, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_path: str) -> None:
        raise BaseExceptionGroup(GROUP, [KeyboardInterrupt()])

    monkeypatch.setattr("galaxy_core_cli.files.read_plan", interrupted)
    done = galaxy("graph", "plan.yaml")
    assert (done.code, done.err) == (Exit.CANCELLED, "")


def test_what_is_logged_of_a_group_says_what_is_in_it() -> None:
    heard: list[str] = []
    group = ExceptionGroup(GROUP, [ValueError("boom"), OSError(111, "Connection refused")])
    with say.listening(heard.append, State()):
        logging.getLogger("test").warning("device %s is lost: %s", "it", group)
        logging.getLogger("test").warning("observer broke", exc_info=group)
        logging.getLogger("test").warning("%d of %d", 1, 2)
    told = "ValueError: boom; [Errno 111] Connection refused"
    assert heard == [f"device it is lost: {told}", f"observer broke: {told}", "1 of 2"]


# ------------------------------------------------------------------------------------------------ nowhere to stand


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that somebody stands in cannot be removed there")
def test_a_current_folder_that_was_removed_is_told_of(write: Write, folder: Path) -> None:
    plan = write("plan.yaml", "tasks: {a: {run: [echo, x]}}")
    lost = folder / "lost"
    lost.mkdir()
    script = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, *command("run", str(plan))],
        cwd=lost,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == Exit.REFUSED
    assert "warning: the current folder was removed" in done.stderr
    assert "make its setting 'root' an absolute path" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_galaxy_itself_that_has_no_words_is_still_a_sentence(
    galaxy: Galaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: str) -> None:
        raise AssertionError

    monkeypatch.setattr("galaxy_core_cli.files.read_plan", broken)
    assert "Galaxy itself failed: AssertionError. Run it again" in galaxy("graph", "plan.yaml").err


def test_a_file_that_is_not_there_is_told_with_what_was_probably_meant(galaxy: Galaxy, write: Write) -> None:
    write("nightly.yaml", "tasks: {}")
    write("other.yaml", "tasks: {}")
    assert galaxy("validate", "nigthly.yml").err == (
        "error: nigthly.yml: No such file or directory; did you mean 'nightly.yaml'?\n"
    )
    assert galaxy("validate", "nothing.yaml").err == "error: nothing.yaml: No such file or directory\n"
    assert galaxy("validate", "no/folder.yaml").err == "error: no/folder.yaml: No such file or directory\n"


def test_an_inventory_that_the_environment_names_is_told_as_such(
    galaxy: Galaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALAXY_DEVICES", "lab.yaml")
    done = galaxy("devices", "list")
    assert (done.code, done.err) == (
        Exit.REFUSED,
        "error: lab.yaml: No such file or directory (named by GALAXY_DEVICES)\n",
    )


def test_a_plan_without_a_name_is_told_of(galaxy: Galaxy) -> None:
    done = galaxy("validate", "")
    assert done.code == Exit.REFUSED
    assert "PLAN is an empty text: name a file" in done.err
