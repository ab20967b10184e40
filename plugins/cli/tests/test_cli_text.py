"""Text that came from elsewhere is harmless when it is shown, and figures are readable."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core import Action, Command, ExecutionResult, Reference, TaskStar
from galaxy_core_cli.text import count, duration, found_out, safe, safe_line, shortened, table, tail, what


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    for shown, allowed in ((safe(text), "\n\t"), (safe_line(text), "")):
        for character in shown:
            assert unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"} or character in allowed
            assert unicodedata.bidirectional(character) not in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "PDI"}
        shown.encode("utf-8")


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert safe(text) == safe_line(text) == text


def test_colours_are_dropped_and_other_sequences_are_shown() -> None:
    assert safe("\x1b[1;31mred\x1b[0m") == "red"
    assert safe("\x1b]0;title\x07\x1b[2J") == r"\x1b]0;title\x07\x1b[2J"
    assert safe("one\r\ntwo\rthree") == "one\ntwo" + r"\rthree"
    assert safe_line("a\nb\tc") == r"a\nb\tc"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0ms"),
        (0.0244, "24ms"),
        (0.1, "0.1s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1:00"),
        (187, "3:07"),
        (3599.7, "1:00:00"),
        (7387, "2:03:07"),
    ],
)
def test_durations_have_the_digits_that_matter(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_numbers_agree_with_their_nouns() -> None:
    assert [count(1, "task"), count(0, "task"), count(1200, "task")] == ["1 task", "0 tasks", "1,200 tasks"]


def test_a_tail_says_how_much_came_before_it() -> None:
    assert tail("a\nb\nc\n\n", 2) == (["b", "c"], 1)
    assert tail("  \n", 2) == ([], 0)
    assert tail("a\r\nb\r\n", 2) == (["a", "b"], 0)


def test_a_tail_is_short_however_long_its_lines_are() -> None:
    assert tail("x" * 1_000_000, 40) == (["x" * 300 + "… (999,700 more characters)"], 0)
    lines, before = tail("\n".join(f"{number:0300}" for number in range(1000)), 40)
    assert (lines[-1], len(lines), before) == (f"{999:0300}", 13, 987)


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    assert list(table([["a", "b"], ["long", ""]], ["X", "Y"])) == ["X     Y", "a     b", "long"]
    assert list(table([])) == []


def test_what_a_task_does_is_one_line() -> None:
    assert what(TaskStar("a", request=Command(["echo", "a b", Reference("x", "json.y")]))) == "echo 'a b' <x.json.y>"
    assert what(TaskStar("a", request=Command(["sh", "-c", "one\ntwo"]))) == "sh -c …"
    assert what(TaskStar("a", request=Command(None, "\none\ntwo\n"))) == "$ one …"
    assert what(TaskStar("a", request=Action("ping", {"word": "hi"}))) == "ping word=hi"
    assert what(TaskStar("a", description="Do\x1b it", request=Command(["echo"]))) == r"Do\x1b it"
    assert what(TaskStar("a", description="x" * 100), 10) == "x" * 9 + "…"
    assert shortened("short", 5) == "short"


@pytest.mark.parametrize(
    ("metadata", "is_found_out"),
    [({"settled": True}, True), ({"ended_unseen": True}, True), ({"pid": 1}, False), (None, False)],
)
def test_what_ended_while_nobody_looked_took_at_most_as_long_as_is_told(
    metadata: dict[str, object] | None, is_found_out: bool
) -> None:
    assert found_out(ExecutionResult("a", "unknown", metadata=metadata)) is is_found_out
