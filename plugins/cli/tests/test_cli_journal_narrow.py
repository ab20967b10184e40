"""Tables of runs and tasks fit the terminal in which they are shown, and are whole where nobody has a terminal."""

from __future__ import annotations

import re
import sys
import time

import pytest

from galaxy_core_cli.kept.listing import Listed, _row
from galaxy_core_cli.reaching import HEADING, show_reached
from galaxy_core_cli.text import fitted, table

from .asking import Galaxy, Write
from .terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals there")

ROWS = [("a", "b" * 30, "c" * 50), ("a", "short", "it")]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (None, [1, 30, 50]),
        (85, [1, 30, 50]),
        (80, [1, 25, 50]),
        (60, [1, 10, 45]),
        (10, [1, 10, 20]),
    ],
)
def test_a_table_is_made_to_fit_by_shortening_one_column_after_the_other(
    width: int | None, expected: list[int]
) -> None:
    rows = fitted(ROWS, ("A", "B", "C"), width, (1, 10), (2, 20))
    assert [max(map(len, column)) for column in zip(*rows, strict=True)] == expected
    assert rows[1] == ROWS[1] or list(rows[1]) == list(ROWS[1])
    if width is not None and width >= 60:
        assert max(map(len, table(rows, ("A", "B", "C")))) <= width


def test_one_run_of_many_words_does_not_make_every_row_of_a_list_too_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    since = time.time() - 5 * 86_400
    name = "a plan with a long name"
    odd = Listed("constellation_20261123_113552_026d3edc", name, "partially_failed", since, total=5, unknown=3)
    told = {"ok": True, "run": odd.run_id, "name": "nightly", "status": "executing", "started": None}
    reached = {**told, "total_tasks": 4, "counts": {}, "pid": 123_456}
    rows = [_row(odd)]
    show_reached([reached], rows)
    whole = capsys.readouterr().out.splitlines()
    assert name in whole[2]
    assert whole[2].endswith("0 of 5 done  " + rows[0][4])
    with monkeypatch.context() as patch:
        patch.setattr(type(sys.stdout), "isatty", lambda _: True, raising=False)
        show_reached([reached], rows)
    narrow = capsys.readouterr().out.splitlines()
    assert max(map(len, narrow)) <= 100
    assert narrow[0].split() == list(HEADING)
    assert re.search(r"  a pla…  partially failed, 3 unknown  0 of 5  ", narrow[2])
    assert narrow[1].endswith("123456")


@pytest.mark.parametrize("width", [70, 100, 160])
def test_results_are_shown_as_far_as_the_terminal_has_room(width: int, galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", f"tasks: {{a: {{run: [echo, {'x' * 110}]}}}}")
    assert galaxy("run", "plan.yaml").code == 0
    assert f"  {'x' * 59}…\n" in galaxy("show", "last").out
    for words in (("show", "last"), ("replay", "last")):
        with Terminal(*words, width=width) as terminal:
            assert terminal.to_the_end() == 0
        [row] = [line for line in terminal.text.splitlines() if line.startswith("a  ")]
        assert len(row) == width if width < 150 else row.endswith(f"  {'x' * 110}")


def test_what_prune_would_remove_is_told_as_that(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    assert galaxy("run", "plan.yaml").code == 0
    done = galaxy("prune", "--keep", "0", "--dry-run")
    assert (done.code, done.err) == (0, "would remove 1 run:\n")
    assert galaxy("prune", "--keep", "0", "--yes").err == "1 run removed\n"
