"""The simulated cmd.exe, by what its lines do, and the rules by which Windows splits a line."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core_winrm.simulate.cmd_grammar import CmdSyntaxError, parsed
from galaxy_core_winrm.simulate.host import WindowsHost
from galaxy_core_winrm.simulate.powershell.command_line import split

Dial = Callable[..., Any]
WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), max_size=5)


@given(WORDS)
def test_words_that_python_quotes_for_windows_come_back_as_they_were(words: list[str]) -> None:
    assert split(subprocess.list2cmdline(["program", *words])) == ["program", *words]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        # The examples of Microsoft's "Parsing C command-line arguments".
        (r'p "a b c" d e', ["p", "a b c", "d", "e"]),
        (r'p "ab\"c" "\\" d', ["p", 'ab"c', "\\", "d"]),
        (r'p a\\\b d"e f"g h', ["p", r"a\\\b", "de fg", "h"]),
        (r"p a\\\"b c d", ["p", r"a\"b", "c", "d"]),
        (r'p a\\\\"b c" d e', ["p", r"a\\b c", "d", "e"]),
        (r'p a"b"" c d', ["p", 'ab" c d']),
        (r'"C:\a b\p.exe" x', [r"C:\a b\p.exe", "x"]),
        (r"C:\p\\q x", [r"C:\p\\q", "x"]),
        ("", []),
        ('p ""', ["p", ""]),
    ],
)
def test_a_line_is_split_as_windows_documents_it(line: str, words: list[str]) -> None:
    assert split(line) == words


@pytest.mark.parametrize("line", ["", "&", "a &&", "(a", "a | | b", ">", "a >", "(a) b"])
def test_a_line_that_cmd_could_not_read_is_refused(line: str) -> None:
    with pytest.raises(CmdSyntaxError):
        parsed(line)


@given(st.text(alphabet='ab "^&|<>()%12', max_size=20))
def test_any_line_is_read_or_refused(line: str) -> None:
    with contextlib.suppress(CmdSyntaxError):
        parsed(line)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("line", "stdout", "code"),
    [
        ("echo a  b", "a  b\r\n", 0),
        ('echo "a & b"', '"a & b"\r\n', 0),
        ("echo a^&b", "a&b\r\n", 0),
        ("echo $(id) `id` ; '", "$(id) `id` ; '\r\n", 0),
        ("echo.", "\r\n", 0),
        ("echo %COMPUTERNAME% %computername% %NO_SUCH%", "SIMULATED SIMULATED %NO_SUCH%\r\n", 0),
        ("set A=1&& echo %A%", "%A%\r\n", 0),
        ('set "A=1 2"& python -c "import os; print(os.environ[chr(65)])"', "1 2\n", 0),
        ("nosuch 2>nul || echo no", "no\r\n", 0),
        ("ver >nul && echo yes", "yes\r\n", 0),
        ("(echo b&echo a)|sort", "a\r\nb\r\n", 0),
        ("echo to>f.txt&type f.txt", "to\r\n", 0),
        ("echo a>>g.txt&echo b>>g.txt&more<g.txt", "a\r\nb\r\n", 0),
        ("echo e 1>&2 2>nul", "", 0),
        ("exit /b 3", "", 3),
        ("exit 70000", "", 70000),
        ("echo a&exit 4", "a\r\n", 4),
        ("mkdir d\\e&cd d\\e&cd", "C:\\Users\\lab\\d\\e\r\n", 0),
        ("cd \\&cd", "C:\\\r\n", 0),
        ("mkdir q&echo x>q\\b.txt&echo x>q\\a.txt&dir /b q", "a.txt\r\nb.txt\r\n", 0),
        ("echo x>c.txt&copy c.txt d.txt&del c.txt&move d.txt e.txt&type e.txt", None, 0),
        ("whoami&hostname", "simulated\\lab\r\nSIMULATED\r\n", 0),
        ("ver", "\r\nMicrosoft Windows [Version 10.0.20348.0]\r\n", 0),
        ("type nothing", "", 1),
        ("if exist x echo y", "", 1),
        ("rem echo", "", 0),
        ("echo first\necho second", "first\r\n", 0),
        ("cmd /d /s /c \"echo \"q\"\"", '"q"\r\n', 0),
        ("echo grüße €", "grüße €\r\n", 0),
        ("chcp", "Active code page: 65001\r\n", 0),
        ("call echo called", "called\r\n", 0),
    ],
)  # fmt: skip
async def test_a_line_of_cmd_does_what_it_does_on_windows(
    host: WindowsHost, dial: Dial, line: str, stdout: str | None, code: int
) -> None:
    found, _, exit_code = await dial(host).run(line)
    assert exit_code == code
    assert stdout is None or found.decode() == stdout


@pytest.mark.anyio
async def test_what_is_unknown_says_so_instead_of_doing_something_else(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    for line in ("for %i in (1) do echo %i", "set /a 1+1", "pushd x", "goto end"):
        stdout, stderr, exit_code = await client.run(line)
        assert (stdout, exit_code) == (b"", 1)
        assert b"simulated cmd.exe does not know" in stderr


@pytest.mark.anyio
async def test_a_path_never_leaves_the_drive(host: WindowsHost) -> None:
    computer = host.computer
    for name in (
        "..\\..\\..\\..\\x",
        "/etc/passwd",
        "\\\\server\\share\\x",
        "c:..\\..\\..\\..\\x",
        "D:\\x",
        "C:\\..\\x",
    ):
        path = computer.path_of(name, "C:\\Users\\lab")
        assert ".." not in path.parts
        assert path.is_relative_to(computer.folder)
    assert computer.path_of("c:\\users\\LAB", "C:\\") == computer.folder / "c" / "Users" / "lab"
