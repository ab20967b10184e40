"""The lines of a TOML file: of all that TOML can write, in all the ways in which it can be written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_core.errors import DocumentError
from galaxy_core.model.places import Place, lines_of
from galaxy_core.model.plan_file import parse_plan
from galaxy_core.model.toml_places import toml_entries

#: A text that is "L" and a number stands on the line of that number, and so does its key.
EVERYTHING = "\n".join(
    [
        "# a comment = 1",
        'top = "L2"  # with "quotes" = and [brackets]',
        '"quoted key" = "L3"',
        '\'literal "key"\' = "L4"',
        r'"es\"c\u0061ped" = "L5"',
        'dotted . "a.b" . \'c\' = "L6"',
        "[plain]  # comment",
        'text = """',
        'not = "a key"',
        '[not.a.header] \\"""',
        '""""  # with a quote before its end',
        "literal = '''",
        "also = [ 'not' ]",
        "'''''",
        "empty = [[], {}, \"\", '', \"\"\"\"\"\", '''''']",
        "list = [",
        '    "L17",  # ] not the end',
        '    5, "L18",',
        "    # nor ] here",
        '    [ "L20",',
        '      "L21" ], { inner = "L21" },',
        "]",
        "[ plain . table ]",
        "date = 1979-05-27 07:32:00Z",
        "dates = [1979-05-27, 07:32:00, 1979-05-27T07:32:00.999-07:00, -1.5e+3, 0x1f, inf]",
        "yes=true",
        "[[many]]",
        'name = "L28"',
        "[[many]]",
        "[many.sub]",
        'name = "L31"',
        "[[many.deep]]",
        'name = "L33"',
        "[[many.deep]]",
        'name = "L35"',
        "[many.deep.table]",
        'name = "L37"\r',
        'table = { a = { "b" = ["L38", { c = "L38" }] }, d.e = "L38" }',
    ]
)


def parts(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*place, key), one
        yield from parts(one, (*place, key))


def test_each_part_of_a_document_is_found_on_its_line() -> None:
    everything = dict(parts(tomllib.loads(EVERYTHING)))
    found = lines_of("toml", EVERYTHING, everything)
    marked = {place: int(value[1:]) for place, value in everything.items() if str(value).startswith("L")}
    assert len(marked) == 18
    assert {place: found[place] for place in marked} == marked


def test_nothing_is_found_that_is_not_in_the_document() -> None:
    everything = dict(parts(tomllib.loads(EVERYTHING)))
    assert [place for place, _ in toml_entries(EVERYTHING) if place not in everything] == []


@pytest.mark.parametrize("size", range(0, len(EVERYTHING), 7))
def test_of_a_text_that_breaks_off_there_is_what_comes_before(size: int) -> None:
    whole = list(toml_entries(EVERYTHING))
    cut = list(toml_entries(EVERYTHING[:size]))
    assert cut[:-1] == whole[: len(cut)][:-1]  # of the last key, some may be missing


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("[tasks.a]\nrun = [\n 'echo',\n 5,\n]\n", "tasks.a.run[1]", 4),
        ("[tasks]\na = {run = ['echo', 'x',\n 5]}\n", "tasks.a.run[2]", 3),
        (
            "tasks.b.run = ['x']\n[tasks.a]\nrun = ['x']\nneeds = [\n {task = 'b', on = 'end'},\n]\n",
            "tasks.a.needs[0].on",
            5,
        ),
    ],
)
def test_a_problem_in_a_list_over_several_lines_has_its_own_line(text: str, path: str, line: int) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_plan(text, "toml")
    assert [problem[:2] for problem in caught.value.problems] == [(path, line)]


def test_a_key_that_stands_twice_in_an_inline_table_has_its_line() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_plan("tasks.a.run = ['x']\ntasks.a.env = {A = '1', A = '2'}\n", "toml")
    assert caught.value.problems == (("tasks.a.env.A", 2, "this key stands twice, on line 2; remove or rename one"),)


def test_what_looks_like_a_key_in_a_text_does_not_stand_twice() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_plan('a = """\nb = 1\nb = 2\n"""\nc = 1\nc = 2\n', "toml")
    assert [problem[:2] for problem in caught.value.problems] == [("c", 6)]
