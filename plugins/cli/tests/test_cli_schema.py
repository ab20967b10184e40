"""`galaxy schema` prints what editors check with."""

from __future__ import annotations

import json

import jsonschema
import pytest

from .asking import Galaxy


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ((), {"tasks": {"a": {"run": ["echo"]}}}, {"tasks": {"a": {"rum": ["echo"]}}}),
        (("plan",), {"tasks": {"a": {"run": ["echo"]}}}, {"tasks": {"a": {}}}),
        (
            ("transaction",),
            {"operations": [{"add_task": {"id": "a", "run": ["echo"]}}, {"remove_task": "b"}]},
            {"operations": [{"ad_task": {"id": "a", "run": ["echo"]}}]},
        ),
        (("inventory",), {"devices": {"a": {}}}, {"devices": {"a": {"max_concurrency": 0}}}),
    ],
)
def test_a_schema_tells_good_files_from_bad_ones(
    kind: tuple[str, ...], good: object, bad: object, galaxy: Galaxy
) -> None:
    done = galaxy("schema", *kind)
    assert (done.code, done.err) == (0, "")
    schema = json.loads(done.out)
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)


def test_a_schema_can_be_written_to_a_file(galaxy: Galaxy) -> None:
    shown = galaxy("schema", "inventory").out
    assert galaxy("schema", "inventory", "-o", "schema.json").out == ""
    with open("schema.json", encoding="utf-8") as file:
        assert file.read() == shown


def test_a_place_that_cannot_be_written_is_named(galaxy: Galaxy) -> None:
    done = galaxy("schema", "-o", "no/such/folder.json")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: no/such/folder.json: ")
