"""What a person is told to do next can be pasted into the shell as it stands, and who errs is told what was meant."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit
from galaxy_core_cli.hints import command

from .asking import Done, Galaxy, Install, Write
from .test_cli_journal_steering import FORGETFUL, PAYING

SECOND = """
from pathlib import Path

from galaxy_core import hookimpl
from galaxy_core_journal import SqliteJournal


class Second(SqliteJournal):
    name = "second"


@hookimpl
def galaxy_journals():
    return [Second(Path("second"))]
"""


def hinted(text: str, verb: str) -> list[str]:
    """The words of the one command with this verb that a text tells to give."""
    [line] = re.findall(rf": galaxy ({verb} .*)$", text, re.MULTILINE)
    return shlex.split(line)


@pytest.mark.parametrize(
    ("words", "more", "line"),
    [
        (("run-1",), {}, "galaxy resume run-1"),
        (("run-1",), {"journal": "sqlite"}, "galaxy resume run-1"),
        (("run-1",), {"journal": "my own"}, "galaxy resume --journal 'my own' run-1"),
        (("it's", "a b"), {"options": "--sound"}, """galaxy resume 'it'"'"'s' 'a b' --sound"""),
        (("-1",), {"options": "--sound"}, "galaxy resume --sound -- -1"),
        (("a",), {"folder": "/other place"}, "GALAXY_JOURNAL='/other place' galaxy resume a"),
    ],
)
def test_a_command_is_told_as_a_shell_takes_it(words: tuple[str, ...], more: dict[str, str], line: str) -> None:
    assert command("resume", *words, **more) == line


@pytest.mark.skipif(sys.platform == "win32", reason="the device of this test is made for POSIX")
def test_what_is_said_of_a_run_in_another_journal_names_that_journal(
    galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("forgetful", FORGETFUL)
    install("second_journal", SECOND)
    write("forgets", "")
    write("plan.yaml", PAYING.replace("name: paying", "name: two words"))
    write("devices.yaml", "devices: {far: {transport: forgetful, max_concurrency: 2}, here: {}}")
    ended = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--journal", "second")
    assert ended.code == Exit.NOT_ALL
    resolve = hinted(re.sub(r"^. pay on.*$", "", ended.err, flags=re.MULTILINE), "resolve")
    run = resolve[3]
    assert resolve == ["resolve", "--journal", "second", run, "pay", "--as", "WHAT"]
    careless = galaxy(*resolve)
    assert (careless.code, careless.out) == (Exit.REFUSED, "")
    assert all(outcome in careless.err for outcome in ("completed", "failed", "retry"))
    assert hinted(galaxy("show", "last", "--journal", "second").out, "resolve") == resolve
    refused = galaxy("resume", "two words", "--journal", "second")
    assert (
        "nobody knows whether 'pay' was done. Say what became of it (galaxy resolve)"
        in galaxy("resume", run, "--journal", "second").err
    )
    assert "no run of plan 'two words' can be resumed" in refused.err
    assert hinted(galaxy("resume", run, "--journal", "second").err, "resolve") == resolve
    resolved = galaxy(*resolve[:-1], "completed")
    assert resolved.code == 0, resolved.err
    resume = hinted(resolved.out, "resume")
    assert resume == ["resume", "--journal", "second", run]
    assert hinted(galaxy("show", "last", "--journal", "second").out, "resume") == resume
    assert galaxy(*resume).code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="the device of this test is made for POSIX")
def test_a_task_is_resolved_by_the_name_of_the_plan(galaxy: Galaxy, write: Write, install: Install) -> None:
    install("forgetful", FORGETFUL)
    write("forgets", "")
    write("plan.yaml", PAYING.replace("name: paying", "name: nightly"))
    write("devices.yaml", "devices: {far: {transport: forgetful, max_concurrency: 2}, here: {}}")
    assert galaxy("run", "plan.yaml", "--devices", "devices.yaml").code == Exit.NOT_ALL
    wrong = galaxy("resolve", "nigthly", "pay", "--as", "retry")
    assert (wrong.code, "did you mean 'nightly'?" in wrong.err) == (Exit.REFUSED, True), wrong.err
    assert galaxy("resolve", "nightly", "pay", "--as", "retry").out.startswith("pay is to be run again\n")


@pytest.fixture
def three(galaxy: Galaxy, write: Write) -> list[str]:
    """The ids of three runs of the plan `nightly`, the newest first."""
    write("plan.yaml", "name: nightly\ntasks: {a: {run: [echo, hi]}}\n")
    found = [str(galaxy("run", "plan.yaml", "--json").events[-1]["run"]) for _ in range(3)]
    return found[::-1]


def named(done: Done) -> list[str]:
    assert (done.code, done.out) == (Exit.REFUSED, "")
    return re.findall(r"'(constellation_\w+)'", done.err)


def test_who_names_no_run_is_told_the_newest_first_and_where_was_looked(
    three: list[str], galaxy: Galaxy, journal: Path
) -> None:
    for verb in ("show", "replay", "export", "resume"):
        wrong = galaxy(verb, "zzz")
        assert named(wrong) == three
        assert wrong.err.startswith(f"error: no run 'zzz' is recorded in {journal}; the newest there: ")
    assert named(galaxy("show", "constellation")) == three


def test_the_name_of_a_plan_that_is_misspelt_is_suggested(three: list[str], galaxy: Galaxy) -> None:
    for verb in ("resume", "show"):
        assert "; did you mean 'nightly'?; " in galaxy(verb, "nigthly").err
    assert len(json.loads(galaxy("runs", "--json").out)) == len(three)
