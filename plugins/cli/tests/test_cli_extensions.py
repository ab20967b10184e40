"""What plans say to plugins: checked with lines before anything runs, and in the JSON Schema of plans."""

from __future__ import annotations

import json

import jsonschema
import pytest

from .asking import Galaxy, Install, Write

BELL = """
    from pydantic import BaseModel, ConfigDict
    from galaxy_core import hookimpl

    class Bell(BaseModel):
        model_config = ConfigDict(extra="forbid")
        on: list[str]

    @hookimpl
    def galaxy_extension_models():
        return {"bell": Bell}

    @hookimpl
    def galaxy_check_extension(section, plan):
        for index, task_id in enumerate(section.on):
            if plan.get_task(task_id) is None:
                yield ("on", index), f"there is no task {task_id!r}"
"""
PLAN = """
    tasks:
      test:
        run: [echo, x]
    extensions:
      bell:
        on:
          - test
          - notse
"""


@pytest.mark.parametrize("words", [("validate",), ("plan",), ("run",)])
def test_what_a_plugin_has_against_a_plan_is_told_with_its_line(
    words: tuple[str, ...], galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("bell", BELL)
    write("plan.yaml", PLAN)
    done = galaxy(*words, "plan.yaml")
    assert done.code == 2
    assert "plan.yaml:8: extensions.bell.on[1]: there is no task 'notse'" in done.out + done.err
    write("plan.yaml", PLAN.replace("        on:", "        onn:"))
    done = galaxy(*words, "plan.yaml")
    assert done.code == 2
    assert "plan.yaml:6: extensions.bell.onn: unknown key 'onn'; did you mean 'on'?" in done.out + done.err
    assert galaxy(*words, "plan.yaml", "--block", "bell").code == 0


def test_a_section_that_no_plugin_reads_is_warned_of_with_the_nearest_name(
    galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("bell", BELL.replace('{"bell": Bell}', '{"bell": Bell, "chimes": Bell}'))
    write("plan.yaml", PLAN.replace("notse", "test").replace("bell:", "bel:"))
    done = galaxy("validate", "plan.yaml")
    assert (done.code, done.out) == (0, "plan.yaml: 1 task, nothing wrong\n")
    why = "no plugin 'bel' is installed: this is passed over; did you mean 'bell'?"
    assert f"warning: plan.yaml:5: extensions.bel: {why}" in done.err.splitlines()
    told = json.loads(galaxy("validate", "plan.yaml", "--json").out)
    warning = {"file": "plan.yaml", "line": 5, "place": "extensions.bel", "problem": why}
    assert told == {"valid": True, "problems": [], "warnings": [warning], "notes": []}
    write("plan.yaml", PLAN.replace("notse", "test").replace("bell:", "chimes:"))
    assert "chimes" not in galaxy("validate", "plan.yaml").err


def test_the_schema_of_plans_has_what_installed_plugins_declare(galaxy: Galaxy, install: Install) -> None:
    install("bell", BELL)
    good = {"tasks": {"a": {"run": ["x"]}}, "extensions": {"bell": {"on": ["a"]}}}
    bad = {**good, "extensions": {"bell": {"on": "a"}}}
    schema = json.loads(galaxy("schema", "plan").out)
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)
    jsonschema.validate(bad, json.loads(galaxy("schema", "plan", "--no-plugins").out))
