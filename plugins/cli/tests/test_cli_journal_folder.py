"""Where a run goes on that is resumed: in the folder in which it was under way, or, if that is wanted, in another."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import Journal, RunInfo
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.kept.journals import journal_of

from .asking import LEAN, Galaxy, Write
from .reached import Start
from .terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands are those of a POSIX shell")

PLAN = """
    name: nightly
    tasks:
      first: {run: [echo, one]}
      last: {shell: "pwd; echo x > made.txt", needs: [first], outputs: [made.txt]}
"""
Leave = Callable[..., str]


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """Another folder than the current one, and deeper."""
    place = tmp_path / "far" / "away"
    place.mkdir(parents=True)
    return place


@pytest.fixture
def leave(galaxy: Galaxy, write: Write, folder: Path, journal: Path) -> Leave:
    """Has the run of the plan, or the newest one, be as if its process had died before `last` started; its id.

    `change` gets the document of each record that has one.
    """

    def put(change: Callable[[str, dict[str, Any]], object] = lambda kind, document: None) -> str:
        if not journal.exists():
            if not (folder / "plan.yaml").exists():
                write("plan.yaml", PLAN)
            assert galaxy("run", "plan.yaml", LEAN).code == 0
        kept: Journal = journal_of(None)
        (run_id,) = kept.runs()
        lines = [json.loads(line) for line in kept.read(run_id)]
        lines = lines[: next(n for n, line in enumerate(lines) if line[1:3] == ["start", "last"])]
        for line in lines:
            if isinstance(line[2], dict):
                change(line[1], line[2])
        shutil.rmtree(journal)
        anyio.run(_keep, kept, run_id, [json.dumps(line) for line in lines])
        (folder / "made.txt").unlink(missing_ok=True)
        return run_id

    return put


async def _keep(journal: Journal, run_id: str, lines: list[str]) -> None:
    async with journal.open(RunInfo(run_id, "nightly", (), {}, {})) as writer:
        await writer.write(lines)


def test_a_run_that_is_resumed_elsewhere_goes_on_in_its_folder_and_says_so(
    leave: Leave, process: Galaxy, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave()
    monkeypatch.chdir(away)
    done = process("resume", "nightly", LEAN)
    assert (done.code, done.out) == (0, f"{folder}\n"), done.err
    assert f"in {folder}, where the run was under way; to go on in {away} instead: --here\n" in done.err
    assert "warning" not in done.err
    assert (folder / "made.txt").exists()
    assert list(away.iterdir()) == []


def test_in_a_terminal_it_says_so_too(leave: Leave, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave()
    monkeypatch.chdir(away)
    with Terminal("resume", "last", LEAN, width=300) as terminal:
        terminal.until(f"in {folder}, where the run was under way; to go on in {away} instead: --here")
        assert terminal.to_the_end() == 0
    assert (folder / "made.txt").exists()


def test_as_json_it_says_so_on_standard_error(
    leave: Leave, galaxy: Galaxy, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave()
    monkeypatch.chdir(away)
    done = galaxy("resume", "last", "--json", LEAN)
    assert done.events[-1]["status"] == "completed"
    assert done.err == f"in {folder}, where the run was under way; to go on in {away} instead: --here\n"


def test_in_the_same_folder_nothing_is_said_of_it(leave: Leave, galaxy: Galaxy, tmp_path: Path) -> None:
    leave()
    done = galaxy("resume", "last", LEAN)
    assert done.code == 0, done.err
    assert "under way;" not in done.err
    (tmp_path / "link").symlink_to(Path.cwd())
    leave(lambda kind, document: document.update(folder=str(tmp_path / "link")))
    done = galaxy("resume", "last", LEAN)
    assert done.code == 0, done.err
    assert "under way;" not in done.err


def test_the_command_leaves_a_program_that_calls_it_in_its_folder(
    leave: Leave, galaxy: Galaxy, away: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave()
    monkeypatch.chdir(away)
    monkeypatch.setenv("GALAXY_JOURNAL", os.path.relpath(journal))
    monkeypatch.setenv("PWD", str(away))
    assert galaxy("resume", "last", LEAN).code == 0
    assert (Path.cwd(), os.environ["GALAXY_JOURNAL"], os.environ["PWD"]) == (away, "../../journal", str(away))


def test_commands_hear_of_the_folder_in_which_they_run_alone(
    leave: Leave, galaxy: Galaxy, write: Write, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", str(folder))
    write(
        "plan.yaml",
        PLAN.replace('shell: "pwd; echo x > made.txt"', "run: [printenv, PWD], effect: read").replace(
            ", outputs: [made.txt]", ""
        ),
    )
    leave()
    monkeypatch.chdir(away)
    monkeypatch.setenv("PWD", str(away))
    done = galaxy("resume", "last", LEAN)
    assert (done.code, done.out) == (0, f"{folder}\n"), done.err


def test_with_here_it_goes_on_in_the_current_folder_and_from_then_on_in_that(
    leave: Leave, galaxy: Galaxy, folder: Path, away: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = leave()
    assert json.loads(galaxy("show", run_id, "--json").out)["folder"] == str(folder)
    monkeypatch.chdir(away)
    done = galaxy("resume", "last", "--here", LEAN)
    assert (done.code, done.out) == (0, f"{away}\n"), done.err
    assert "warning" not in done.err  # the kernel's is for programs
    assert str(folder) not in done.err
    assert not (folder / "made.txt").exists()
    leave()
    shown = json.loads(galaxy("show", run_id, "--json").out)
    assert (shown["folder"], [one["folder"] for one in shown["epochs"]]) == (str(away), [str(folder), str(away)])
    assert ["folder", str(away)] in [line.split() for line in galaxy("show", run_id).out.splitlines()]
    monkeypatch.chdir(tmp_path)
    done = galaxy("resume", "last", LEAN)
    assert (done.code, done.out) == (0, f"{away}\n"), done.err


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda place: None, "which is not there any more: make it again, or"),
        (lambda place: place.write_text(""), "which is no folder any more: make it again, or"),
        (
            lambda place: place.symlink_to(place),
            "which cannot be entered (Too many levels of symbolic links): see to that",
        ),
    ],
    ids=["gone", "a file", "a circle"],
)
def test_a_folder_that_cannot_be_entered_refuses_the_run_and_here_goes_on(
    spoil: Callable[[Path], object],
    reason: str,
    leave: Leave,
    galaxy: Galaxy,
    folder: Path,
    away: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = leave()
    monkeypatch.chdir(away)
    shutil.rmtree(folder)
    spoil(folder)
    done = galaxy("resume", "last", LEAN)
    assert (done.code, done.out) == (Exit.REFUSED, ""), done.err
    assert f"run {run_id!r} cannot be resumed: it was under way in {str(folder)!r}, {reason}" in done.err
    assert done.err.endswith("or go on in the current folder with --here\n")
    assert json.loads(galaxy("runs", "--json").out)[0]["status"] == "interrupted"
    assert galaxy("resume", "last", "--json", LEAN).events[0]["type"] == "error"
    done = galaxy("resume", "last", "--here", LEAN)
    assert (done.code, done.out) == (0, f"{away}\n"), done.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_refuses_the_run(
    leave: Leave, galaxy: Galaxy, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave()
    monkeypatch.chdir(away)
    folder.chmod(0o600)
    done = galaxy("resume", "last", LEAN)
    folder.chmod(0o700)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "which may not be entered: have its permissions changed, or" in done.err


def test_a_folder_that_was_made_again_is_as_good(
    leave: Leave, galaxy: Galaxy, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave()
    monkeypatch.chdir(away)
    shutil.rmtree(folder)
    folder.mkdir()
    done = galaxy("resume", "last", LEAN)
    assert (done.code, done.out) == (0, f"{folder}\n"), done.err


def test_a_run_that_is_over_is_refused_for_that_even_where_its_folder_is_gone(
    leave: Leave, galaxy: Galaxy, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave()
    assert galaxy("resume", "last", LEAN).code == 0
    monkeypatch.chdir(away)
    shutil.rmtree(folder)
    done = galaxy("resume", "last", LEAN)
    assert done.code == Exit.REFUSED
    assert "over" in done.err
    assert "--here" not in done.err


def test_what_is_named_is_seen_from_the_folder_in_which_it_is_named(
    leave: Leave, galaxy: Galaxy, folder: Path, away: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave()
    shutil.move(folder / "plan.yaml", away / "same.yaml")
    (away / "lab.yaml").write_text("devices: {here: {transport: local, settings: {root: work}}}")
    (away / "work").mkdir()
    monkeypatch.chdir(away)
    monkeypatch.setenv("GALAXY_JOURNAL", os.path.relpath(journal))
    done = galaxy(
        "resume", "last", "--plan", "same.yaml", "--devices", "lab.yaml", "--artifacts", "brought", "--json", LEAN
    )
    assert done.code == 0, done.err
    (file,) = next(one for one in done.events if one["type"] == "task_completed" and one["task"] == "last")["files"]
    assert list((away / "brought").rglob(file))
    assert (away / "work" / "made.txt").exists()
    assert list(folder.iterdir()) == []
    assert json.loads(galaxy("runs", "--json").out)[0]["status"] == "completed"


def test_the_devices_that_it_began_with_are_as_they_were_seen_from_its_folder(
    leave: Leave, galaxy: Galaxy, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def piped(kind: str, document: dict[str, Any]) -> None:
        if kind == "galaxy":
            document["devices"] = [{"device_id": "here", "transport": "local", "settings": {"root": "work"}}]

    leave(piped)
    (folder / "work").mkdir()
    monkeypatch.chdir(away)
    done = galaxy("resume", "last", LEAN)
    assert (done.code, done.out) == (0, f"{folder / 'work'}\n"), done.err


def test_a_run_that_an_older_version_has_kept_goes_on_in_the_current_folder(
    leave: Leave, galaxy: Galaxy, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(kind: str, document: dict[str, Any]) -> None:
        if kind == "galaxy":
            del document["folder"]
            document["format"] = 1

    run_id = leave(older)
    assert "folder" not in [line.split()[0] for line in galaxy("show", run_id).out.splitlines() if line]
    assert json.loads(galaxy("show", run_id, "--json").out)["folder"] is None
    monkeypatch.chdir(away)
    done = galaxy("resume", "last", LEAN)
    assert (done.code, done.out) == (0, f"{away}\n"), done.err
    assert "under way;" not in done.err
    assert "warning" not in done.err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_folder_whose_name_is_no_text_is_found_again(
    leave: Leave, galaxy: Galaxy, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(os.fsencode(folder) + b"/caf\xe9")
    os.mkdir(odd)
    plan = write("plan.yaml", PLAN)
    monkeypatch.chdir(odd)
    assert galaxy("run", str(plan), LEAN).code == 0
    monkeypatch.chdir(folder)
    os.unlink(os.path.join(odd, "made.txt"))
    run_id = leave()
    done = galaxy("resume", run_id, LEAN)
    assert done.code == 0, done.err
    assert os.path.exists(os.path.join(odd, "made.txt"))
    assert "caf\\udce9, where the run was under way" in done.err
    assert "caf\\udce9" in galaxy("show", run_id).out
    assert os.fsencode(json.loads(galaxy("show", run_id, "--json").out)["folder"]) == os.fsencode(odd)


def test_a_run_that_was_stopped_goes_on_by_the_name_of_its_plan_from_anywhere(
    start: Start, process: Galaxy, folder: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    monkeypatch.chdir(away)
    run.process.terminate()
    run.go("went")
    assert run.to_the_end()[0] == Exit.STOPPED
    done = process("resume", "nightly", LEAN)
    assert (done.code, done.out) == (0, "end\n"), done.err
    assert f"in {folder}, where the run was under way;" in done.err
