"""Standard streams that are closed, full, not read, or of another encoding."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import LEAN, TIMEOUT_S, Galaxy, Write, command

HELLO = "tasks: {one: {run: [echo, hello]}, two: {run: [tr, a-z, A-Z], stdin: {from: one, value: stdout}}}\n"
#: Of a line of shell: all standard streams are closed.
ALL = ">&- 2>&- <&-"


@pytest.mark.parametrize(
    ("words", "closed"),
    [
        *(("run plan.yaml", closed) for closed in (">&-", "2>&-", "<&-", ALL)),
        ("run plan.yaml --json", ALL),
        ("validate missing.yaml", ALL),
    ],
)
def test_streams_that_are_closed_are_as_good_as_the_null_device(words: str, closed: str, write: Write) -> None:
    write("plan.yaml", HELLO)
    done = _shell(f'"$@" {closed}', *words.split())
    assert done.returncode == (Exit.REFUSED if "missing" in words else 0), done
    assert "Traceback" not in done.stderr
    assert "Galaxy itself" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("words", ["run plan.yaml", "run plan.yaml --json", "validate plan.yaml --json", "--help"])
def test_output_that_cannot_be_written_is_said_and_is_exit_code_2(words: str, write: Write) -> None:
    write("plan.yaml", HELLO)
    done = _shell('"$@" > /dev/full', *words.split())
    assert done.returncode == Exit.REFUSED
    assert "error: standard output cannot be written: No space left on device" in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_messages_that_cannot_be_written_change_nothing(write: Write) -> None:
    write("plan.yaml", HELLO)
    done = _shell('"$@" 2> /dev/full', "run", "plan.yaml")
    assert (done.returncode, done.stdout) == (0, "HELLO\n")
    assert _shell('"$@" 2> /dev/full', "run", "--nothing").returncode == Exit.REFUSED


def _shell(line: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a line of shell in which ``"$@"`` is the command."""
    lean = [LEAN] if arguments[0] == "run" else []
    return subprocess.run(
        ["sh", "-c", line, "sh", *command(*arguments, *lean)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def _unread(*arguments: str) -> tuple[int, bytes]:
    """Exit code and standard error of a command whose standard output nobody reads."""
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.close()
        _, err = running.communicate(timeout=TIMEOUT_S)
    return running.returncode, err


def test_a_reader_that_goes_away_does_not_stop_the_run(write: Write) -> None:
    folder = write("plan.yaml", "tasks: {a: {run: [echo, '1']}, b: {shell: 'echo > done', needs: [a]}}").parent
    assert _unread("run", "plan.yaml", "--json", LEAN) == (0, b"")
    assert (folder / "done").exists()


@pytest.mark.parametrize("arguments", [("schema",), ("--help",), ("plugins", "list")], ids=" ".join)
def test_a_reader_that_goes_away_ends_any_other_command_quietly(arguments: tuple[str, ...], folder: Path) -> None:
    assert _unread(*arguments) == (Exit.NOBODY_READS, b"")


def test_a_terminal_without_unicode_gets_no_errors(process: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [printf, 'caf\\303\\251']}}")
    done = process("run", "plan.yaml", LEAN, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert (done.code, done.out) == (0, "caf\\xe9\n")
    assert "+ plan completed" in done.err
