"""From bytes to plain data: what the three formats may say, what is refused, and the bounds."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import yaml

from galaxy_core.errors import DocumentError
from galaxy_core.model import yaml_source
from galaxy_core.model.places import MAX_DIGITS, path_text
from galaxy_core.model.plan_file import load_plan, parse_plan
from galaxy_core.model.source import MAX_DEPTH, document_lines, parse, text_source

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers that PyYAML has: the slow one is all there is where it was built without libyaml."""
    if request.param == "python":
        monkeypatch.setattr(yaml_source, "_Loader", yaml.SafeLoader)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")
    name: str = request.param
    return name


def read(text: str, format: str = "yaml") -> dict[str, Any]:
    return parse(text_source(text, format, "it"), "a plan")


def refused(text: str, format: str = "yaml") -> list[tuple[str, int | None, str]]:
    with pytest.raises(DocumentError) as caught:
        read(text, format)
    return list(caught.value.problems)


def only(text: str, format: str = "yaml") -> tuple[str, int | None, str]:
    (problem,) = refused(text, format)
    return problem


# ------------------------------------------------------------------------------------------------------------- YAML


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("=", "="),
        ("<<", "<<"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("", None),
        ("'true'", "true"),
        ('"1"', "1"),
        ("12", 12),
        ("-0", 0),
        ("+7", 7),
        ("0o17", 15),
        ("0xFf", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        (".", "."),
        ("-", None),  # in `- -` the second begins a list
        ("+", "+"),
        ("e3", "e3"),
        ("1.2.3", "1.2.3"),
        ("|\n  a\n   b\n", "a\n b\n"),
        (">-\n  a\n  b\n", "a b"),
        ('"\\x41\\u00e9\\U0001F680"', "Aé🚀"),
    ],
)
def test_a_scalar_is_read_as_yaml_1_2_says(scalar: str, value: Any) -> None:
    if scalar == "-":
        assert read("a:\n- -") == {"a": [[None]]}
    else:
        found = read(f"a: {scalar}")["a"]
        assert (type(found), found) == (type(value), value)


@pytest.mark.usefixtures("parser")
def test_keys_are_text_as_it_is_written() -> None:
    text = "1: a\n010: b\ntrue: c\nnull: d\non: e\n1.0: f\n'x y': g\n"
    assert list(read(text)) == ["1", "010", "true", "null", "on", "1.0", "x y"]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        ("010", "010 is octal to some readers and decimal to others; drop the zeros, or quote it"),
        ("-007", "-007 is octal to some readers"),
        (".inf", ".inf: infinity and NaN are not values here; quote it if it is text"),
        ("-.Inf", "infinity and NaN are not values here"),
        (".NaN", "infinity and NaN are not values here"),
        ("1e999", "1e999 is too large for a number"),
        ("1" * (MAX_DIGITS + 1), "a number of 4001 digits is more than is read"),
        ("*x", "alias *x: anchors and aliases are not read; write the value out"),
        ("&x y", "anchor &x: anchors and aliases are not read; write the value out"),
        ("!!str 3", "tag 'tag:yaml.org,2002:str': tags are not read"),
        ("! 3", "tag '!': tags are not read"),
        ("!!python/object/apply:os.system [x]", "tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("&x {b: c}", "anchor &x"),
        ("!x [b]", "tag '!x'"),
    ],
)
def test_a_scalar_that_readers_do_not_agree_on_is_refused_at_its_place(scalar: str, text: str) -> None:
    path, line, said = only(f"top:\n  - 1\n  - a: {scalar}\n")
    assert (path, line) == ("top[1].a", 3)
    assert text in said


@pytest.mark.usefixtures("parser")
def test_aliases_that_would_explode_are_refused_before_they_do() -> None:
    assert len(BOMB) < 600
    found = refused(BOMB)
    assert found[0] == ("a", 1, "anchor &a: anchors and aliases are not read; write the value out")
    assert found[2] == ("b[0]", 2, "alias *a: anchors and aliases are not read; write the value out")
    assert found[-1] == ("", None, "and 41 more problems")


@pytest.mark.usefixtures("parser")
def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    text = "a: {x: 1}\nb:\n  c: 1\n  d: [1]\n  c: {x: 2}\n  'c': 3\na: 4\n"
    assert refused(text) == [
        ("b.c", 5, "this key stands twice, on lines 3 and 5; remove or rename one"),
        ("b.c", 6, "this key stands twice, on lines 3 and 6; remove or rename one"),
        ("a", 7, "this key stands twice, on lines 1 and 7; remove or rename one"),
    ]


@pytest.mark.usefixtures("parser")
def test_a_key_that_is_a_list_or_mapping_is_refused() -> None:
    assert only("a: 1\n? [b]\n: c\n") == ("", 2, "a list or mapping cannot be a key; keys are text")
    assert only("a: {{b: c}: d}\n") == ("a", 1, "a list or mapping cannot be a key; keys are text")


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_nesting_is_bounded_long_before_recursion_is(brackets: str) -> None:
    opening = brackets[0] if brackets == "[]" else "{a: "
    fits, too_deep = MAX_DEPTH - 1, MAX_DEPTH
    read(f"a: {opening * fits}{brackets[1] * fits}")
    path, line, said = only(f"a: {opening * too_deep}{brackets[1] * too_deep}")
    assert said == "lies deeper than the 50 levels that are read"
    assert line == 1
    assert path.startswith("a[0]" if brackets == "[]" else "a.a")
    only(f"a: {opening * 100_000}")


@pytest.mark.usefixtures("parser")
def test_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_source, "MAX_VALUES", 10)
    read("a: [1, 2, 3, 4, 5, 6, 7, 8]")
    path, line, said = only("a:\n" + "- 1\n" * 9)
    assert (path, line, said) == ("a[8]", 10, "has more than the 10 values that are read")


@pytest.mark.usefixtures("parser")
def test_a_second_document_is_refused() -> None:
    assert only("a: 1\n---\nb: 2\n") == ("", 2, "a second document begins here; a file holds one")


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: [1\n", 3, "is not YAML: "),
        ("a: 1\n b: 2\n", 2, "is not YAML: "),
        ("a:\n\tb: 1\n", 2, "indent with blanks, YAML takes no tabs"),
        ("a: 1\nb: '\x07'\n", 2, r"character '\x07' cannot stand in YAML; write it as an escape in double quotes"),
    ],
)
def test_what_is_not_yaml_is_said_with_its_line(text: str, line: int, said: str) -> None:
    path, at, found = only(text)
    assert (path, at) == ("", line)
    assert said in found


# -------------------------------------------------------------------------------------------------- JSON and TOML


@pytest.mark.parametrize(
    ("text", "path", "line", "said"),
    [
        ('{"a": {"b": 1,\n"c": 2,\n"b": 3}}', "a.b", 3, "this key stands twice, on lines 1 and 3; remove or rename one"),
        ('{"a": 1, "\\u0061": 2}', "a", 1, "this key stands twice, on line 1; remove or rename one"),
        ('{"a": [1,\nNaN]}', "a[1]", 2, "NaN is not a value: infinity and NaN are not read"),
        ('{"a": -Infinity}', "a", 1, "-Infinity is not a value"),
        ('{"a": 1e999}', "a", 1, "1e999 is not a value"),
        ('{"a": ' + "1" * 5000 + "}", "a", 1, "a number of 5000 digits is more than is read"),
        ('{"a": "\\ud800"}', "a", 1, "half of a surrogate pair is not text; write the whole character"),
        ('{"a": {"\\udc00": 1}}', 'a["\\udc00"]', 1, "half of a surrogate pair"),
        ('{"a": 1\n"b": 2}', "", 2, "is not JSON: Expecting ',' delimiter"),
        ('{"a": ' + "[" * 50 + "]" * 50 + "}", "", None, "lies deeper than the 50 levels that are read"),
        ('{"a": ' + "[" * 100_000, "", None, "lies deeper than the 50 levels that are read"),
    ],
)  # fmt: skip
def test_json_that_python_would_take_is_refused_where_readers_do_not_agree(
    text: str, path: str, line: int | None, said: str
) -> None:
    where, at, found = only(text, "json")
    assert (where, at) == (path, line)
    assert said in found


def test_json_is_read_with_its_escapes() -> None:
    assert read('{"a": "\\ud83d\\ude80\\n\\u00e9", "b": [1, 2.5, true, null]}', "json") == {
        "a": "🚀\né",
        "b": [1, 2.5, True, None],
    }


@pytest.mark.parametrize(
    ("text", "path", "line", "said"),
    [
        ("a = 1\nb = 2\na = 3\n", "a", 3, "this key stands twice, on lines 1 and 3; remove or rename one"),
        ("[a.b]\nx = 1\n[c]\n[a.b]\n", "a.b", 4, "this key stands twice, on lines 1 and 4; remove or rename one"),
        ("a = 1\nb = [\n", "", None, "is not TOML: "),
        ("a = 1\nb = x\n", "", 2, "is not TOML: Invalid value"),
        ("a = inf\n", "", 1, "infinity and NaN are not values here"),
        ("b = 1\na = 1e999\n", "", 2, "infinity and NaN are not values here"),
        ("b = 1\na = " + "1" * 5000, "", 2, "a number of 5000 digits is more than is read"),
        ("a = " + "[" * 50 + "]" * 50, "", None, "lies deeper than the 50 levels that are read"),
        ("a = " + "[" * 5000 + "]" * 5000, "", None, "lies deeper than the 50 levels that are read"),
        ("a." * 60 + "b = 1", "", None, "lies deeper than the 50 levels that are read"),
    ],
)
def test_toml_is_bounded_and_refused_likewise(text: str, path: str, line: int | None, said: str) -> None:
    where, at, found = only(text, "toml")
    assert (where, at) == (path, line)
    assert said in found


def test_a_date_of_toml_is_refused_where_values_are_free() -> None:
    text = '[tasks.a]\ndescription = "x"\n[tasks.a.data]\nday = 2026-01-02\nhour = 10:20:30\n'
    with pytest.raises(DocumentError) as caught:
        parse_plan(text, "toml")
    assert [problem[:2] for problem in caught.value.problems] == [("tasks.a.data.day", 4), ("tasks.a.data.hour", 5)]


# ---------------------------------------------------------------------------------------------------- whole texts


A_PLAN = "a plan is a mapping of keys to values, such as tasks: {hello: {run: [echo, hello]}}"


@pytest.mark.parametrize("format", ["yaml", "json", "toml"])
@pytest.mark.parametrize("text", ["", "  \n\n"])
def test_an_empty_text_is_said_to_be_empty(text: str, format: str) -> None:
    assert only(text, format) == ("", None, f"is empty; {A_PLAN}")


@pytest.mark.parametrize(
    ("text", "format", "found"),
    [
        ("- a\n- b\n", "yaml", "a list of 2"),
        ("just words", "yaml", "the text 'just words'"),
        ("# a comment\n\n # another", "yaml", "nothing but comments"),
        ("null # a comment", "yaml", "nothing (null)"),
        ("[1]", "json", "a list of 1"),
        ("3", "json", "the number 3"),
        ("null", "json", "nothing (null)"),
        ('"x"', "json", "the text 'x'"),
    ],
)
def test_a_document_that_is_not_a_mapping_is_refused(text: str, format: str, found: str) -> None:
    assert only(text, format) == ("", None, f"holds {found}; {A_PLAN}")


def test_bytes_that_are_not_utf_8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"tasks:\n  a: {run: [caf\xe9]}\n")
    with pytest.raises(DocumentError) as caught:
        load_plan(path)
    assert caught.value.source == str(path)
    assert caught.value.problems == (("", 2, "byte 0xe9 at offset 22 is not UTF-8; save the file as UTF-8"),)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_text_in_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(("\ufeff" if encoding == "utf-16-be" else "").encode(encoding) + "tasks: {}".encode(encoding))
    with pytest.raises(DocumentError, match="is UTF-16 or UTF-32 text; save it as UTF-8"):
        load_plan(path)


def test_a_byte_order_mark_of_utf_8_is_no_part_of_the_text(tmp_path: Path) -> None:
    for name, text in [("a.yaml", "tasks: {}"), ("a.json", '{"tasks": {}}'), ("a.toml", "[tasks]")]:
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert load_plan(path) == parse_plan("\ufefftasks: {}")


@pytest.mark.parametrize(("text", "format"), [("a: 1", "yaml"), ('{"a": 1}', "json"), ("a = 1", "toml")])
def test_a_byte_order_mark_may_also_begin_a_text(text: str, format: str) -> None:
    assert read("\ufeff" + text, format) == {"a": 1}


def test_a_text_that_cannot_be_utf_8_is_refused() -> None:
    assert only("a: 1\nb: \udcff\n") == ("", 2, r"character '\udcff' cannot be UTF-8")


def test_a_folder_is_refused_as_one(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="is a folder; name the file in it"):
        load_plan(tmp_path)


def test_a_file_that_is_not_there_is_the_usual_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        load_plan(tmp_path / "nowhere.yaml")


def test_the_size_of_a_file_and_of_a_text_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("tasks: {} #é", encoding="utf-8")
    size = path.stat().st_size
    load_plan(path, max_bytes=size)
    parse_plan("tasks: {} #é", max_bytes=size)
    said = (
        f"has more than the {size - 1} bytes that are read; if it is meant to be that large, raise max_bytes in Python"
    )
    with pytest.raises(DocumentError, match=said):
        load_plan(path, max_bytes=size - 1)
    with pytest.raises(DocumentError, match=said):
        parse_plan("tasks: {} #é", max_bytes=size - 1)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        refused("a: [1")
        assert gc.isenabled() is enabled
        parse_plan("tasks: {}").to_constellation()
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_a_path_is_written_so_that_it_can_be_found() -> None:
    assert path_text(("tasks", "a.b", "run", 0)) == 'tasks["a.b"].run[0]'
    assert path_text(("a\x1b", "")) == '["a\\u001b"][""]'
    assert path_text(tuple("abcdefghijkl")) == "a.b.c.d.e.f.g.h.i.j…"


@pytest.mark.parametrize("suffix", ["yaml", "json", "toml"])
@pytest.mark.parametrize("raw", [b"GIF89a\x00\x01", b"\x89PNG\r\n\xff\x00", "tasks: {}".encode("utf-16-le")])
def test_what_is_no_text_is_told_as_such_in_every_format(raw: bytes, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"plan.{suffix}").write_bytes(raw)
    with pytest.raises(
        DocumentError, match="is no text: it has zero bytes in it; name another file, or, if this is UTF-16"
    ):
        load_plan(tmp_path / f"plan.{suffix}")


def test_an_inventory_in_the_place_of_a_plan_is_told_as_such() -> None:
    said = "is an inventory, not a plan: it has 'devices', and no 'tasks'"
    with pytest.raises(DocumentError) as caught:
        parse_plan("devices: {here: {}}")
    assert caught.value.problems == (("", None, said),)
    with pytest.raises(DocumentError, match="unknown key 'devices'"):
        parse_plan("devices: {here: {}}\ntasks: {}")


PLACES: list[tuple[str | int, ...]] = [("tasks", "b", "run", 1), ("tasks", "b", "nothing"), ("tasks",), ("nowhere",)]


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("p.yaml", "name: x\ntasks:\n  a: {run: [x]}\n  b:\n    run:\n      - x\n      - y\n", [7, 4, 2]),
        ("p.json", '{\n"tasks": {\n"a": {"run": ["x"]},\n"b": {"run": [\n"x",\n"y"]}}}', [6, 4, 2]),
        ("p.toml", "name = 'x'\n[tasks.a]\nrun = ['x']\n[tasks.b]\nrun = ['x', 'y']\n", [5, 4, 2]),
    ],
)
def test_the_lines_of_a_document_can_be_asked_for(name: str, text: str, lines: list[int], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert document_lines(tmp_path / name, PLACES) == dict(zip(PLACES[:3], lines, strict=True))


@pytest.mark.parametrize("name", ["p.yaml", "p.json", "p.toml", "p.txt"])
@pytest.mark.parametrize("text", ["a: [", "a: b: {]", '{"a": ]}', "}", '{"a" "\\x"}', "\x07"])
def test_a_document_that_has_been_spoilt_since_has_no_lines(name: str, text: str, tmp_path: Path) -> None:
    assert document_lines(tmp_path / name, [("a", "b")]) == {}
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert set(document_lines(tmp_path / name, [("z", "b")])) <= {("z", "b")}
