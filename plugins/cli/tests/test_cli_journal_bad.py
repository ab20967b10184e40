"""Journals that cannot be used: one clear message, no traceback, and the right exit code. With the real command."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Done, Galaxy, Write, command

READING = [("show", "last"), ("export", "last"), ("replay", "last"), ("resume", "last")]


@pytest.fixture
def ran(galaxy: Galaxy, write: Write, journal: Path) -> Path:
    """The folder of a run that is over."""
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}, b: {run: [echo, ho], needs: [a]}}")
    done = galaxy("run", "plan.yaml", "--json")
    assert done.code == 0, done.err
    return journal / str(done.events[-1]["run"])


def refused(done: Done, *parts: str) -> None:
    """It is refused, with one message that says all of these."""
    assert (done.code, done.out) == (Exit.REFUSED, ""), done
    assert "Traceback" not in done.err
    assert done.err.startswith("error: "), done.err
    assert len(done.err.splitlines()) == 1, done.err
    for part in parts:
        assert part in done.err


# ------------------------------------------------------------------------------------------------- no such run
def test_a_run_that_is_not_there_is_told_with_the_one_that_was_meant(ran: Path, galaxy: Galaxy) -> None:
    wrong = ran.name.replace("constellation", "constelation")
    for word in ("show", "resume"):
        refused(galaxy(word, wrong), repr(wrong), f"did you mean {ran.name!r}")
    refused(galaxy("show", ""), "empty")


def test_what_may_mean_several_runs_is_refused_with_all_of_them(ran: Path, galaxy: Galaxy) -> None:
    other = galaxy("run", "plan.yaml", "--json").events[-1]["run"]
    refused(galaxy("resume", "constellation"), ran.name, other, "name more of the id")


def test_where_nothing_is_kept_that_is_said(galaxy: Galaxy, journal: Path) -> None:
    refused(galaxy("show", "last"), f"no run 'last' is recorded in {journal}, nor any other")
    assert not journal.exists()
    assert json.loads(galaxy("runs", "--json").out) == []


def test_without_a_journal_it_is_said_what_to_install(folder: Path) -> None:
    code = (
        "import importlib.metadata as m, sys\n"
        "real = m.distributions\n"
        "def few(**k): return (d for d in real(**k) if d.metadata['Name'] != 'galaxy-core-journal')\n"
        "m.distributions = few\n"
        "def version(name, known=m.version):\n"
        "    if name == 'galaxy-core-journal': raise m.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "m.version = version\n"
        "from galaxy_core_cli.main import main\n"
        "sys.exit(main(['resume', 'last']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    refused(Done(done.returncode, done.stdout, done.stderr), "pip install galaxy-core-journal")


# ------------------------------------------------------------------------------------------------- what is kept is not right
def test_a_journal_of_a_newer_version_is_refused_and_not_touched(ran: Path, galaxy: Galaxy) -> None:
    with closing(sqlite3.connect(ran / "journal.db")) as database:
        database.execute("PRAGMA user_version = 99")
    before = (ran / "journal.db").read_bytes()
    refused(galaxy("resume", "last"), ran.name, "99", "install the newer Galaxy")
    for words in READING:
        refused(galaxy(*words), ran.name, "99", "install the newer Galaxy")
    assert (ran / "journal.db").read_bytes() == before
    [listed] = json.loads(galaxy("runs", "--json").out)
    assert (listed["status"], "99" in listed["error"]) == ("unreadable", True)


def test_a_journal_that_was_copied_by_half_is_refused(ran: Path, galaxy: Galaxy) -> None:
    whole = (ran / "journal.db").read_bytes()
    (ran / "journal.db").write_bytes(whole[: len(whole) // 2])
    refused(galaxy("resume", "last"), ran.name)
    for words in READING:
        refused(galaxy(*words), ran.name)


def test_of_a_damaged_journal_what_is_sound_can_be_shown_and_exported(ran: Path, galaxy: Galaxy) -> None:
    whole = bytearray((ran / "journal.db").read_bytes())
    place = whole.rfind(b'"completed"')
    assert place > 0
    whole[place + 1] ^= 1
    (ran / "journal.db").write_bytes(whole)
    for words in (*READING, ("resolve", "last", "a", "--as", "failed")):
        done = galaxy(*words)
        assert (done.code, done.out) == (Exit.REFUSED, "")
        heading, told, show, export = done.err.splitlines()
        assert (heading, ran.name in told, "damaged" in told) == ("error:", True, True)
        assert show == f"to see what is sound: galaxy replay {ran.name} --sound"
        assert export == f"to write it to a file: galaxy export {ran.name} --sound -o sound.jsonl"
    pasted = galaxy(*shlex.split(export.partition(": galaxy ")[2]))
    assert (pasted.code, Path("sound.jsonl").exists()) == (0, True), pasted.err
    exported = galaxy("export", "last", "--sound")
    assert exported.code == 0, exported.err
    assert "a beginning of the run" in exported.err
    records = [json.loads(line) for line in exported.out.splitlines()]
    assert [record[0] for record in records] == list(range(len(records)))
    shown = galaxy("replay", "last", "--sound")
    assert shown.code == 0
    assert f"after record {len(records) - 1} of {len(records) - 1}" in shown.out


# ------------------------------------------------------------------------------------------------- where it is to be kept
@pytest.mark.parametrize("kind", ["file", "missing device"])
def test_a_folder_that_cannot_be_made_keeps_anything_from_running(
    kind: str, galaxy: Galaxy, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'touch ran'}}")
    place = folder / "in-the-way" / "journal"
    write("in-the-way", "")
    if kind == "missing device":
        place = Path("/proc/nowhere/journal")
        if not Path("/proc").is_dir():
            pytest.skip("there is no /proc")
    monkeypatch.setenv("GALAXY_JOURNAL", str(place))
    done = galaxy("run", "plan.yaml")
    refused(done, str(place), "GALAXY_JOURNAL", "--journal none")
    assert done.err.count("GALAXY_JOURNAL") == 1
    assert not (folder / "ran").exists()
    assert galaxy("run", "plan.yaml", "--journal", "none").code == 0


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="there is nothing that root may not write to")
def test_a_folder_that_is_read_only_keeps_anything_from_running(
    galaxy: Galaxy, write: Write, folder: Path, journal: Path
) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'touch ran'}}")
    journal.mkdir(mode=0o500)
    refused(galaxy("run", "plan.yaml"), str(journal))
    assert not (folder / "ran").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
def test_a_run_of_another_user_is_not_gone_on_with(
    ran: Path, galaxy: Galaxy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By anybody but root, who gives what is written there to its owner."""
    for path in (ran, *ran.rglob("*")):
        os.chown(path, 12345, 12345)
    assert galaxy("resolve", "last", "a", "--as", "retry").err.startswith("error: task 'a' is completed")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setenv("HOME", str(folder))
    refused(galaxy("resolve", "last", "a", "--as", "retry"), "12345")


@pytest.mark.skipif(sys.platform == "win32", reason="files are limited by the shell")
def test_a_disk_that_is_full_ends_the_run_and_nothing_is_started_that_is_not_kept(
    galaxy: Galaxy, write: Write, folder: Path
) -> None:
    """A limit of the size of files stands for it: 400 KiB."""
    tasks = "".join(
        f"  t{n}: {{shell: 'echo {n} >> ran; head -c 60000 /dev/zero | tr \"\\\\0\" x', needs: [t{n - 1}]}}\n"
        for n in range(1, 20)
    )
    write("plan.yaml", "tasks:\n  t0: {run: [echo, first]}\n" + tasks)
    line = 'ulimit -f 800; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *command("run", "plan.yaml")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == Exit.BROKEN, done.stderr
    assert "Traceback" not in done.stderr
    assert "journal failed" in done.stderr.splitlines()[-1]
    ran = len((folder / "ran").read_text().splitlines())
    assert ran < 19
    shown = json.loads(galaxy("show", "last", "--json").out)
    assert shown["status"] == "interrupted"
    begun = [task for task in shown["tasks"] if task["task"] != "t0" and (task["attempts"] or task["under_way"])]
    assert len(begun) == ran
    assert galaxy("resume", "last").code == 0
    assert len((folder / "ran").read_text().splitlines()) == 19


def test_results_that_a_record_cannot_hold_are_told_of_and_the_run_is_kept(
    galaxy: Galaxy, write: Write, folder: Path
) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'printf \"\\\\377\\\\000\\\\033[31m\\\\n\"'}}")
    assert galaxy("run", "plan.yaml").code == 0
    shown = galaxy("show", "last")
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "\x00" not in shown.out


def test_a_run_whose_folder_was_removed_in_the_middle_is_none(ran: Path, galaxy: Galaxy) -> None:
    shutil.rmtree(ran)
    refused(galaxy("show", ran.name), ran.name)
