"""Command lines: what comes out of a program's own taking apart is what was put in, and cmd.exe has no part in it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from galaxy_core_winrm import powershell, quoting
from galaxy_core_winrm.simulate.powershell.command_line import split

WORDS = st.lists(
    st.text(
        st.sampled_from("ab \"\\%!^&|<>()@,;=\t\n\r'$`ü🌍-/.") | st.characters(exclude_categories=["Cs"]), max_size=12
    ).filter(lambda word: "\0" not in word),
    max_size=6,
)


@given(WORDS)
@example(['a\\"b', "\\", "\\\\", 'a"', "", " ", "\t", '\\\\"', "a b\\"])
def test_a_program_gets_the_words_that_were_given(words: list[str]) -> None:
    program, arguments = quoting.without_cmd(["tool.exe", *words])
    assert split(f'"{program}" {arguments}') == ["tool.exe", *words]


@given(WORDS)
def test_what_goes_through_cmd_holds_nothing_that_cmd_acts_on(words: list[str]) -> None:
    line = quoting.through_cmd(["tool.exe", *words])
    if line is None:
        assert any(set(word) & set('"%!\r\n') or not word.isprintable() for word in words)
        return
    assert not set(line) & set("%!\r\n")
    is_quoted = False
    for character in line:
        is_quoted ^= character == '"'
        assert is_quoted or character not in "&|<>^()@,;="
    assert not is_quoted
    assert split(line) == ["tool.exe", *words]


def test_a_line_never_begins_with_a_quote() -> None:
    line = quoting.through_cmd(["C:\\Program Files\\tool.exe", "a b"])
    assert line is not None
    assert quoting.marked("0-1", line) == 'set "GALAXY_MARK=0-1"&"C:\\Program Files\\tool.exe" "a b"'


@pytest.mark.parametrize("word", ['say "hi"', "%PATH%", "50%", "wow!", "two\nlines", "a\rb"])
def test_words_that_cmd_would_change_do_not_go_through_it(word: str) -> None:
    assert quoting.through_cmd(["tool", word]) is None


def test_a_line_that_is_too_long_for_cmd_does_not_go_through_it() -> None:
    assert quoting.through_cmd(["tool", "x" * 7000]) is not None
    assert quoting.through_cmd(["tool", "x" * 9000]) is None
    assert quoting.without_cmd(["tool", "x" * 9000])[1] == "x" * 9000


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["tool", "a\0b"], "NUL"),
        (["", "a"], "name of the program is empty"),
        (["tool", "x" * 60_000], "60000 characters, and Windows takes 32766"),
        (["tool", "half \ud800"], "half a character"),
        (["deploy.bat", "a&calc"], "is a batch file"),
        (["C:\\x\\deploy.CMD", "%PATH%"], "is a batch file"),
        (["deploy.bat.", "a|b"], "is a batch file"),
        (["echo", "%PATH%"], "is a command of cmd.exe and no program"),
        (["tool%", "a"], "cannot be the name of a program"),
    ],
)
def test_words_that_cannot_be_passed_are_refused(words: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        if quoting.through_cmd(words) is None:
            quoting.without_cmd(words)


def test_a_batch_file_takes_plain_words() -> None:
    assert quoting.through_cmd(["deploy.bat", "a b", "--now"]) == 'deploy.bat "a b" --now'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo a\necho b", "several lines"),
        ("echo \0", "NUL"),
        ("echo \x1b[31m", "control character"),
        ("echo " + "x" * 9000, "characters, and cmd.exe takes 8000"),
        ("  \n", "empty"),
    ],
)
def test_shell_texts_that_cmd_would_not_run_as_they_are_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        quoting.shell_line(text)


def test_a_shell_text_is_left_as_it_is() -> None:
    assert quoting.shell_line("echo %PATH% & ver\n") == "echo %PATH% & ver"


def test_the_line_that_starts_powershell_fits_into_cmd() -> None:
    assert len(quoting.marked("0123456789abcdef-00000001", powershell.line())) < quoting.CMD_LIMIT
    assert '"' not in powershell.line()


@given(
    st.dictionaries(st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True), st.text() | st.integers(), max_size=3),
    st.text(),
)
def test_a_payload_is_one_line_of_plain_letters(parameters: dict[str, object], script: str) -> None:
    payload = powershell.payload(script, parameters)
    assert payload.endswith(b"\n")
    assert payload.count(b"\n") == 1
    assert payload.isascii()


def test_a_script_that_powershell_could_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="push a file"):
        powershell.payload("x" * 2_100_000, {})
