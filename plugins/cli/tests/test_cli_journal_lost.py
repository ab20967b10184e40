"""What was not kept of an output is told wherever that output is shown, or is about to be missed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import anyio
import pytest

from galaxy_core import (
    Call,
    Command,
    ConstellationDeviceManager,
    Device,
    ExecutionResult,
    TaskConstellation,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core import TaskConstellationOrchestrator as Orchestrator
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.kept.cutting import how_cut, is_cut
from galaxy_core_cli.kept.journals import journal_of

from .asking import Galaxy, Install, Write
from .reached import Run
from .test_cli_journal_steering import FORGETFUL, PAYING

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the devices of these tests are made for POSIX")

READING = PAYING.replace("thank: {run: [thank]", "thank: {run: [thank, {from: pay}]")


@pytest.mark.parametrize(
    ("told", "files", "expected"),
    [
        (
            {"stdout_kept_bytes": 65_536, "settled": True},
            (),
            "its first 65,536 bytes; the rest went with the process that read it",
        ),
        ({"stdout_kept_bytes": 4, "stdout_bytes": 9}, (), "its first 4 bytes of 9; the rest is lost"),
        (
            {"stdout_kept_bytes": 4, "stdout_bytes": 9, "stdout_file_bytes": 9},
            ("/f/stdout.txt",),
            "its first 4 bytes of 9; all of it: /f/stdout.txt",
        ),
        (
            {"stdout_kept_bytes": 4, "stdout_bytes": 9, "stdout_file_bytes": 7},
            ("/f/stdout.txt",),
            "its first 4 bytes of 9; its first 7: /f/stdout.txt",
        ),
        (
            {"stdout_kept_bytes": 4, "stdout_bytes": 9, "stdout_file_error": "disk full"},
            (),
            "its first 4 bytes of 9; the rest is lost, because no file could be written: disk full",
        ),
        ({}, (), "its first 2 characters; the rest is lost"),
    ],
)
def test_of_output_that_was_cut_is_told_how_much_there_is_and_where_the_rest_is(
    told: dict[str, object], files: tuple[str, ...], expected: str
) -> None:
    given = {Path(file).name: file for file in files}
    result = ExecutionResult(
        "a", TaskStatus.COMPLETED, stdout="ab", stderr="c", files=given, metadata={"truncated": True, **told}
    )
    assert is_cut(result, "stdout")
    assert how_cut(result, "stdout") == f"stdout is cut: {expected}"
    assert is_cut(result, "stderr") is (not told)
    assert not is_cut(ExecutionResult("a", TaskStatus.COMPLETED, stdout="ab", metadata=told), "stdout")


def test_output_that_was_cut_is_never_shown_as_if_it_were_all(galaxy: Galaxy, write: Write) -> None:
    write("devices.yaml", "devices: {here: {settings: {output_cap_bytes: 6, artifact_cap_bytes: 0}}}")
    write("plan.yaml", "tasks: {a: {shell: \"printf 'one\\ntwo\\nthree\\n'\"}, b: {run: [echo, four]}}")
    assert galaxy("run", "plan.yaml", "--devices", "devices.yaml").code == 0
    page = galaxy("show", "last").out
    assert re.search(r"^a +completed .*  … tw…$", page, re.MULTILINE), page
    assert re.search(r"^b +completed .*  four$", page, re.MULTILINE), page
    assert galaxy("show", "last", "a").out.endswith(
        "==> stdout <==\none\ntw\n… stdout is cut: its first 6 bytes of 14; the rest is lost\n"
    )
    assert "is cut" not in galaxy("show", "last", "b").out


@pytest.fixture
def reading(write: Write, install: Install) -> tuple[str, ...]:
    """The words that run a plan whose task `pay` ends unknown, and `thank` reads what it prints."""
    install("forgetful", FORGETFUL)
    write("forgets", "")
    write("plan.yaml", READING)
    write("devices.yaml", "devices: {far: {transport: forgetful, max_concurrency: 2}, here: {}}")
    return "run", "plan.yaml", "--devices", "devices.yaml", "--json"


def test_who_says_that_a_task_is_done_is_told_which_tasks_miss_what_it_left(
    reading: tuple[str, ...], galaxy: Galaxy
) -> None:
    assert galaxy(*reading).code == Exit.NOT_ALL
    said = galaxy("resolve", "last", "pay", "--as", "completed").out.splitlines()
    assert said[:3] == [
        "pay is completed",
        "open again: thank, file",
        "thank reads what pay left, which nobody has: it will fail. --as retry would have run pay again",
    ]
    ended = galaxy("resume", "last", "--json").events[-1]
    assert ended["counts"] == {"completed": 2, "failed": 1, "skipped": 1}


@pytest.mark.parametrize("outcome", ["completed", "retry"])
def test_programs_are_told_which_tasks_are_bound_to_fail(
    reading: tuple[str, ...], galaxy: Galaxy, outcome: str
) -> None:
    assert galaxy(*reading).code == Exit.NOT_ALL
    told = json.loads(galaxy("resolve", "last", "pay", "--as", outcome, "--json").out)
    assert told["fails"] == (["thank"] if outcome == "completed" else [])


def test_of_a_run_under_way_too(reading: tuple[str, ...], galaxy: Galaxy, folder: Path, write: Write) -> None:
    write(
        "plan.yaml",
        READING.replace("apart: {run: [apart], device: far}", 'wait: {shell: "read line < go", device: here}'),
    )
    run = Run(folder, *reading[2:4], plugins=True)
    run.until(type="task_unknown", task="pay")
    assert json.loads(galaxy("resolve", "last", "pay", "--as", "completed", "--json").out)["fails"] == ["thank"]
    run.until(type="task_failed", task="thank")
    run.go()
    assert run.to_the_end()[0] == Exit.NOT_ALL


def test_nobody_is_told_to_resume_from_here_what_only_its_program_can(
    galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("forgetful", FORGETFUL)
    write("forgets", "")
    tasks = [
        TaskStar("pay", request=Command(["pay"]), target_device_id="far"),
        TaskStar("count", request=Call(len, ["two"]), target_device_id="program"),
    ]
    plan = TaskConstellation.build(tasks, [TaskStarLine.create_success_only("pay", "count")], constellation_id="paying")

    async def run() -> None:
        async with ConstellationDeviceManager() as devices:
            devices.add_device(Device("far", "forgetful"))
            devices.add_device(Device("program", "python"))
            await Orchestrator(devices, journal=journal_of(None)).orchestrate_constellation(plan)

    anyio.run(run)
    said = galaxy("resolve", "last", "pay", "--as", "retry").out
    assert said.endswith(
        "to go on with the run: have the program that made it resume it, because tasks of it call Python functions\n"
    )
    assert "galaxy resume" not in said
