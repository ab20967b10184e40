"""`galaxy plugins` lists without importing, explains what is brought, and says what is wrong."""

from __future__ import annotations

import json
import re

from galaxy_core_cli.exits import Exit

from .asking import Galaxy, Install, Write

STRATEGY = """
    from galaxy_core import hookimpl

    class Last:
        '''The last device that fits.

        More of it.
        '''
        name = "last"

        def assign(self, placement, /):
            return {task.task_id: task.fitting[-1] for task in placement.tasks}

    @hookimpl
    def galaxy_strategies():
        return [Last()]
"""


def test_a_list_imports_no_plugin(galaxy: Galaxy, install: Install) -> None:
    install("explosive", "raise SystemExit('imported')")
    done = galaxy("plugins", "list")
    assert (done.code, done.err) == (0, "")
    rows = [re.split(r" {2,}", line) for line in done.out.splitlines()]
    assert rows[0] == ["PLUGIN", "DISTRIBUTION", "STATUS", "MODULE"]
    assert ["explosive", "test-explosive 1.0", "not loaded", "test_explosive"] in rows
    assert {"local", "strategies"} <= {row[0] for row in rows}


def test_plugins_can_be_blocked_and_all_but_ours_left_out(galaxy: Galaxy, install: Install) -> None:
    install("explosive", "raise SystemExit('imported')")

    def statuses(*options: str) -> dict[str, str]:
        return {one["name"]: one["status"] for one in json.loads(galaxy("plugins", "list", "--json", *options).out)}

    found = statuses("--block", "test-explosive", "--block", "local")
    assert {"explosive", "local", "strategies"} <= found.keys()
    assert {name for name, status in found.items() if status == "blocked"} == {"explosive", "local"}
    assert {status for name, status in found.items() if name not in {"explosive", "local"}} == {"not loaded"}
    assert statuses("--no-plugins")["explosive"] == "blocked"
    assert statuses("--no-plugins")["local"] == "not loaded"


def test_a_plugin_is_explained_with_all_that_it_brings(galaxy: Galaxy, install: Install) -> None:
    install("last", STRATEGY)
    done = galaxy("plugins", "explain", "test-last")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "plugin last: loaded",
        "  distribution  test-last 1.0",
        "  module        test_last",
        "  hooks         galaxy_strategies",
        "strategy last: The last device that fits.",
        "  binds tasks to devices before the run",
    ]


def test_a_transport_is_explained_with_requests_and_settings(galaxy: Galaxy) -> None:
    out = galaxy("plugins", "explain", "galaxy-core-local").out
    assert "transport local: " in out
    assert "  requests: run, shell" in out
    assert "    inherit_env " in out


WORDY = """
    from typing import Literal
    from pydantic import BaseModel
    from galaxy_core import hookimpl

    class Settings(BaseModel):
        is_loud: bool = True
        colour: Literal["red", "green"] = "red"
        song: str | None = None
        address: str

    class Wordy:
        "Devices with settings."
        name, settings_model, requests, actions, device_type = "wordy", Settings, frozenset({"run"}), {}, None

        def open(self, device, settings): ...

    @hookimpl
    def galaxy_transports():
        return [Wordy()]
"""


def test_settings_are_explained_in_the_words_of_a_file_what_is_required_first(galaxy: Galaxy, install: Install) -> None:
    install("wordy", WORDY)
    lines = galaxy("plugins", "explain", "wordy").out.splitlines()
    assert [line.split() for line in lines[-4:]] == [
        ["address", "string", "required"],
        ["is_loud", "boolean", "default", "true"],
        ["colour", '"red"', "or", '"green"', "default", '"red"'],
        ["song", "string", "optional"],
    ]


def test_a_plugin_that_cannot_be_loaded_is_explained_with_the_line_and_exit_code_3(
    galaxy: Galaxy, install: Install
) -> None:
    site = install("broken", "x = 1\nimport re\nre.compile('(')\n")
    done = galaxy("plugins", "explain", "broken")
    assert (done.code, done.err) == (Exit.BROKEN, "")
    assert "plugin broken: failed" in done.out
    assert f"({site / 'test_broken.py'}, line 3). Repair or uninstall it" in done.out


def test_a_name_that_is_unknown_gets_the_nearest(galaxy: Galaxy) -> None:
    done = galaxy("plugins", "explain", "load_balanc")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "did you mean 'load_balance'?" in done.err


def test_the_doctor_finds_nothing_wrong_with_what_we_bring(galaxy: Galaxy) -> None:
    done = galaxy("plugins", "doctor", "--no-plugins")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("nothing wrong\n")
    assert re.search(r"^loaded  local \(galaxy-core-local \S+\): transports local, python$", done.out, re.MULTILINE)


def test_the_doctor_names_each_broken_plugin_and_the_remedy(galaxy: Galaxy, install: Install) -> None:
    install("broken", "import no_such_module_at_all")
    install("wrong", STRATEGY.replace("task.fitting[-1]", "'nowhere'").replace('"last"', '"wrong"'))
    install("lazy", STRATEGY.replace("return {task.task_id", "return {} and {task.task_id").replace('"last"', '"lazy"'))
    install("robber", STRATEGY.replace('"last"', '"load_balance"'))
    done = galaxy("plugins", "doctor")
    assert (done.code, done.err) == (Exit.BROKEN, "")
    problems = [line for line in done.out.splitlines() if line.startswith("problem")]
    assert any("'broken' of distribution 'test-broken'" in one and "no_such_module_at_all" in one for one in problems)
    assert any("strategy 'wrong' placed two tasks wrongly" in one for one in problems)
    assert any("strategy 'lazy' raised KeyError" in one for one in problems)
    assert any("strategy 'load_balance' is claimed by plugin" in one for one in problems)
    assert all("block" in one or "install" in one for one in problems)


def test_the_doctor_misses_what_a_run_needs(galaxy: Galaxy) -> None:
    done = galaxy("plugins", "doctor", "--block", "local", "--block", "strategies")
    assert done.code == Exit.BROKEN
    assert "install galaxy-core-strategies" in done.out
    assert "install galaxy-core-local" in done.out


def test_a_name_to_block_that_nobody_has_is_told(galaxy: Galaxy) -> None:
    done = galaxy("plugins", "doctor", "--block", "loca")
    assert done.code == Exit.REFUSED
    assert "asked to block plugin 'loca', but no plugin is called that" in done.out


def test_a_broken_plugin_is_a_warning_to_everybody_else(galaxy: Galaxy, install: Install, write: Write) -> None:
    install("broken", "raise RuntimeError('bro\\x1b[2Jken')")
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    done = galaxy("validate", "plan.yaml")
    assert (done.code, done.out) == (0, "plan.yaml: 1 task, nothing wrong\n")
    assert done.err.startswith("warning: plugin 'broken' of distribution 'test-broken' could not be loaded")
    assert "\x1b" not in done.err
    done = galaxy("run", "plan.yaml", "--plain")
    assert (done.code, done.out) == (0, "hi\n")
    assert "could not be loaded" in done.err
    assert "could not be loaded" not in galaxy("run", "plan.yaml", "--block", "broken").err
