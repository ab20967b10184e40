"""Simple scripts do without a process what /bin/sh does with one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import anyio
import hypothesis.strategies as st
import pytest
from hypothesis import given

from galaxy_core_adb.simulate.builtins import Interpreter, Terminal, parse
from galaxy_core_adb.simulate.disk import Disk


class Paper:
    """A terminal that keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stdout = b""
        self.stderr = b""

    async def read(self, size: int | None = None) -> bytes:
        return b""

    async def out(self, data: bytes) -> None:
        self.stdout += data

    async def err(self, data: bytes) -> None:
        self.stderr += data


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return Disk(tmp_path_factory.mktemp("disk") / "root")


async def _program(words: Sequence[str], terminal: Terminal) -> int:
    await terminal.out(f"{list(words)}".encode())
    return 3


def run(script: str, disk: Disk) -> tuple[bytes, int] | None:
    """What our interpreter says; None: it is for /bin/sh."""
    commands = parse(script, {"getprop": _program})
    if commands is None:
        return None
    paper = Paper(disk.root)
    code = anyio.run(Interpreter({"getprop": _program}, disk).run, commands, paper)
    return paper.stdout, code


words = st.one_of(
    st.sampled_from(["a", "b-c", "x=1", "/tmp/y", "'a b'", "''", '"q r"', "a'b'\"c\"", r"'it'\''s'", "'é\n;&'", r"\;"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0'\\\r"), max_size=8).map(lambda text: f"'{text}'"),
)
simple = st.one_of(
    st.sampled_from(["true", "false", ":", "exit 4", "exit", "cd /", "cd -- /usr", "export A='b c' D=e", "exec true"]),
    st.lists(words, max_size=3).map(lambda found: " ".join(["echo x", *found])),
    st.lists(words, max_size=2).map(lambda found: " ".join(["exec echo x", *found])),
    st.sampled_from(
        [
            "exec /bin/sh -c 'echo in; exit 5'",
            "/bin/sh -c 'exit 6'",
            "sh -c 'cd /; false'",
            "echo no >&2",
            "cd /nowhere 2>/dev/null",
            "{ echo a; echo b >&2; } 2>/dev/null",
        ]
    ),
)
joints = st.sampled_from(["; ", "\n", " && ", " || ", "&&", ";", "\n\n", " &&\n"])


@st.composite
def scripts(draw: st.DrawFn, depth: int = 2) -> str:
    """Simple scripts, with braces in braces."""
    item = simple if depth == 0 else st.one_of(simple, scripts(depth - 1).map(lambda inner: f"{{ {inner}\n}}"))
    parts = draw(st.lists(item, min_size=1, max_size=4))
    text = parts[0]
    for part in parts[1:]:
        text += draw(joints) + part
    return text + draw(st.sampled_from(["", "", ";", "\n", " "]))


@given(script=scripts())
def test_a_simple_script_says_and_ends_as_in_the_shell(script: str, disk: Disk) -> None:
    found = run(script, disk)
    assert found is not None, "it is made of what is simple"
    real = subprocess.run(["/bin/sh", "-c", script], capture_output=True, cwd=disk.root, check=False)
    assert found == (real.stdout, real.returncode)


pieces = st.sampled_from(
    ["echo", "true", "exit", "cd", "&&", "||", ";", "\n", "{", "}", "&", "|", "(", ")", "a", "'b c'", "$X", "*", "#", "=",
     "A=1", "2", ">&2", "2>/dev/null", ">x", "`", '"', "'", "\\", "if", "!", "~", " ", "exec", "export", "/bin/sh", "-c", "-n", "done"]
)  # fmt: skip


@given(parts=st.lists(pieces, max_size=7), blank=st.booleans())
def test_whatever_is_taken_for_simple_is_what_the_shell_makes_of_it(parts: list[str], blank: bool, disk: Disk) -> None:
    script = (" " if blank else "").join(parts)
    found = run(script, disk)
    if found is not None:
        real = subprocess.run(["/bin/sh", "-c", script], capture_output=True, cwd=disk.root, check=False)
        assert found == (real.stdout, real.returncode)


@pytest.mark.parametrize(
    "script",
    [
        "sleep 1", "echo $HOME", "echo a | cat", "echo a > b", "(true)", "true &", "A=b true", "echo *", "echo 'a", "if true; then :; fi",
        "echo 'a\\nb'", "echo -n a", "exec cd /", "! true", "cat", "echo `date`", 'echo "$X"', "", " ", ";", "{ true }", "true;;",
    ],
)  # fmt: skip
def test_anything_else_is_left_to_the_shell(script: str) -> None:
    assert parse(script, {}) is None


def test_a_command_of_the_phone_gets_its_words_as_they_are(disk: Disk) -> None:
    assert run("getprop 'a b' ; exec getprop \"c\"", disk) == (b"['getprop', 'a b']['getprop', 'c']", 3)


def test_a_folder_that_is_not_there_is_said(disk: Disk) -> None:
    script = "cd /nowhere && echo in || { echo 'no such folder' >&2; exit 126; }"
    commands = parse(script, {})
    assert commands is not None
    paper = Paper(disk.root)
    assert anyio.run(Interpreter({}, disk).run, commands, paper) == 126
    assert paper.stderr.endswith(b"no such folder\n")
    assert not paper.stdout
