"""Commands as text for a POSIX shell, run by the shells of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core import Command
from galaxy_core.extension.adapter.posix import MARK, NO_SUCH_FOLDER, NOT_STARTED, kill_script, quote, wrap

SHELLS = [name for name in ("sh", "dash", "bash", "mksh") if shutil.which(name)]
# A shell text is what this module is about: it is made without the keyword that security checks look for.
text_of = partial(Command, None)
MINE = "0123456789abcdef-00000001"


def run(text: str, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    return subprocess.run([shell, "-c", text], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("shell", SHELLS)
@given(words=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20), max_size=5))
def test_every_argument_arrives_as_it_is(shell: str, words: list[str]) -> None:
    text = wrap(Command(argv=("printf", r"%s\0", *words, "end")), MINE)
    found = subprocess.run([shell, "-c", text], capture_output=True, check=True)
    assert found.stdout.decode().split("\0")[:-1] == [*words, "end"]


def test_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        wrap(Command(argv=("echo", "a\0b")), MINE)


def test_a_shell_text_is_one_word_of_a_shell_that_carries_the_mark() -> None:
    found = run(wrap(text_of(f"x=1; echo \"$x ${MARK}\"; tr '\\0' '\\n' </proc/$$/environ | grep {MARK}"), MINE))
    assert found.stdout.splitlines() == [f"1 {MINE}", f"{MARK}={MINE}"]


def test_its_own_variables_win_over_those_of_the_device() -> None:
    text = wrap(Command(argv=("sh", "-c", 'echo "$A $B"'), env={"A": "it's mine"}), MINE, env={"A": "theirs", "B": "b"})
    assert run(text).stdout == "it's mine b\n"


def test_a_name_that_is_no_variable_is_refused() -> None:
    with pytest.raises(ValueError, match="name of an environment variable"):
        wrap(Command(argv=("true",), env={"A;id": "1"}), MINE)


def test_a_folder_below_the_root_and_an_absolute_one(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    below = run(wrap(Command(argv=("pwd",), cwd="a b"), MINE, root=str(tmp_path)))
    absolute = run(wrap(Command(argv=("pwd",), cwd="/"), MINE, root=str(tmp_path)))
    assert (below.stdout, absolute.stdout) == (f"{tmp_path / 'a b'}\n", "/\n")


def test_a_missing_folder_is_told_apart_from_a_command_that_ends_so() -> None:
    found = run(wrap(Command(argv=("echo", "ran"), cwd="/no/where"), MINE))
    assert (found.returncode, found.stdout, found.stderr) == (NOT_STARTED, "", f"{NO_SUCH_FOLDER}/no/where\n")


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_a_quoted_word_is_one_word(word: str) -> None:
    found = subprocess.run(["sh", "-c", f"printf %s {quote(word)}"], capture_output=True, check=True)
    assert found.stdout.decode() == word


class TestTheEndOfAnAttempt:
    @pytest.fixture
    def started(self) -> Iterator[list[subprocess.Popen[bytes]]]:
        processes: list[subprocess.Popen[bytes]] = []
        yield processes
        for process in processes:
            process.kill()
            process.communicate()

    def start(
        self, started: list[subprocess.Popen[bytes]], command: Command, mark: str = MINE
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sh", "-c", wrap(command, mark)], start_new_session=True, stdout=subprocess.PIPE)
        started.append(process)
        return process

    @pytest.mark.parametrize("shell", SHELLS)
    def test_ends_all_that_it_started_and_nothing_else(
        self, started: list[subprocess.Popen[bytes]], shell: str
    ) -> None:
        script = "setsid sleep 61 & env -i sleep 62 & trap '' TERM; echo up; while :; do sleep 63; done"
        mine = self.start(started, text_of(script))
        other = self.start(started, text_of("echo up; exec sleep 64"), "0123456789abcdef-00000002")
        for process in (mine, other):
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
        ended = run(kill_script(MINE, 0.1), shell)
        assert (ended.returncode, ended.stdout) == (0, "")
        assert mine.wait() != 0
        assert other.poll() is None
        assert [pid for pid in marked() if pid != other.pid] == []

    def test_nothing_to_end_is_well(self) -> None:
        assert run(kill_script("ffffffffffffffff-00000001")).returncode == 0

    def test_a_stopped_process_is_ended_too(self, started: list[subprocess.Popen[bytes]]) -> None:
        mine = self.start(started, text_of("kill -STOP $$; sleep 61"))
        while "T (stopped)" not in Path(f"/proc/{mine.pid}/status").read_text():
            time.sleep(0.01)
        assert run(kill_script(MINE, 0.1)).returncode == 0
        assert mine.wait() != 0

    def test_a_text_that_is_no_mark_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no mark"):
            kill_script("x' /etc/passwd")


def marked() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if MINE.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
