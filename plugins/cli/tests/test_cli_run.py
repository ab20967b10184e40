"""`galaxy run`: what it prints where, and with which exit code it ends."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import LEAN, Galaxy, Install, Write

PYTHON = json.dumps(sys.executable)
HELLO = """
    name: hello
    tasks:
      one: {run: [echo, hello]}
      two: {run: [tr, a-z, A-Z], stdin: {from: one, value: stdout}}
"""
FAILING = """
    name: failing
    tasks:
      good: {run: [echo, fine]}
      bad: {shell: "echo some trouble >&2; exit 3"}
      after: {run: [echo, never], needs: [bad]}
      later: {run: [echo, never], needs: [after]}
"""
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
def test_standard_output_gets_what_the_last_task_printed(backend: str, galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", HELLO)
    done = galaxy("run", "plan.yaml", "--backend", backend)
    assert (done.code, done.out) == (0, "HELLO\n")


def test_several_last_tasks_stand_below_headings(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [printf, 'one\\ntwo']}, b: {run: ['true']}, c: {run: [echo, three]}}")
    assert galaxy("run", "plan.yaml").out == "==> a <==\none\ntwo\n\n==> c <==\nthree\n"


def test_plain_lines_tell_of_starts_and_ends(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", HELLO)
    lines = galaxy("run", "plan.yaml").err.splitlines()
    assert lines[0] == "hello: 2 tasks"
    events = [re.sub(r"^\[ *\d+(ms|\.\ds)\] ", "", line) for line in lines[1:5]]
    assert [re.sub(r" \(.*\)$", "", event) for event in events] == [
        "start     one on here",
        "done      one on here",
        "start     two on here",
        "done      two on here",
    ]
    assert lines[5].startswith("critical path ")
    assert re.fullmatch(r". hello completed: 2 of 2 tasks done in .*", lines[6])


def test_a_failure_is_told_with_its_reason_its_stderr_and_what_it_held_up(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", FAILING)
    done = galaxy("run", "plan.yaml")
    assert done.code == Exit.NOT_ALL
    assert "FAILED    bad on here" in done.err
    lines = done.err.splitlines()
    place = next(number for number, line in enumerate(lines) if re.fullmatch(r". bad on here: exit status 3", line))
    assert lines[place + 1] == "    some trouble"
    assert re.fullmatch(r". after, later skipped: prerequisite 'bad' ended failed .*", lines[place + 2])
    assert re.fullmatch(r". failing partially failed: 1 of 4 tasks done, 1 failed, 2 skipped in .*", lines[-1])


def test_a_task_that_a_condition_leaves_out_is_no_failure(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo, x]}, b: {run: [echo], needs: [{task: a, when: 'exit_code == `1`'}]}}")
    done = galaxy("run", "plan.yaml")
    assert done.code == 0
    assert "condition not met: exit_code == `1`" in done.err


def test_names_are_told_wherever_tasks_are(galaxy: Galaxy, write: Write) -> None:
    write(
        "plan.yaml",
        "tasks: {a: {shell: 'exit 3', name: Try it}, b: {run: [echo], name: Go on, needs: [a]}, c: {run: [echo, x]}}",
    )
    done = galaxy("run", "plan.yaml")
    for line in (
        "start     a (Try it) on here\n",
        "FAILED    a (Try it) on here (",
        " a (Try it) on here: exit status 3\n",
    ):
        assert line in done.err
    assert re.search(r"skipped   b \(Go on\): prerequisite 'a' ended failed", done.err)
    assert re.search(r". b \(Go on\) skipped: ", done.err)
    assert "start     c on here\n" in done.err
    events = galaxy("run", "plan.yaml", "--json").events
    names = {event["task"]: event.get("name") for event in events if "task" in event}
    assert names == {"a": "Try it", "b": "Go on", "c": None}


def test_retries_are_told(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'exit 3', retry: {count: 1, backoff_s: 0}}}")
    done = galaxy("run", "plan.yaml")
    assert "retry     a on here again in 0.0s: exit status 3" in done.err
    assert "start     a on here (attempt 2)" in done.err
    assert re.search(r"FAILED    a on here \(\w+\): the same once more\n", done.err)
    assert "a on here after 2 attempts: exit status 3" in done.err


def test_output_can_be_watched(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'printf \"one\\ntwo\"; echo err >&2'}}")
    done = galaxy("run", "plan.yaml", "--show-output")
    assert {line for line in done.err.splitlines() if line.startswith("a | ")} == {"a | one", "a | two", "a | err"}
    assert done.out == "one\ntwo\n"


def test_before_the_run_starts_no_time_is_told_and_what_is_wrong_with_a_device_once(
    galaxy: Galaxy, write: Write
) -> None:
    write("devices.yaml", "devices: {far: {settings: {env: {A: {env: NOT_SET}}}}, here: {}}")
    write("plan.yaml", "tasks: {a: {run: [echo]}, b: {run: [echo], device: far, needs: [a]}}")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert done.err.startswith("device 'far': disconnected (secret env:NOT_SET: ")
    lines = done.err.splitlines()
    assert [line for line in lines if "device 'far':" in line][1:] == ["device 'far': failed; it is not tried again"]
    assert "b: is pinned to device 'far', which cannot be reached: secret env:NOT_SET" in done.err
    assert "[ " not in done.err.partition("plan: 2 tasks")[0]


def test_how_many_tasks_ran_at_a_time_is_told_when_it_was_more_than_one(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo]}, b: {run: [echo], needs: [a]}}")
    done = galaxy("run", "plan.yaml")
    assert "critical path " in done.err
    assert "on average" not in done.err


def test_an_empty_plan_completes(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {}")
    done = galaxy("run", "plan.yaml")
    assert (done.code, done.out) == (0, "")
    assert "plan completed: 0 of 0 tasks done" in done.err


def test_a_plan_can_come_on_standard_input(process: Galaxy) -> None:
    done = process("run", "-", LEAN, stdin="tasks: {a: {run: [echo, hi]}}")
    assert (done.code, done.out) == (0, "hi\n")


def test_the_inventory_and_the_strategy_say_where_tasks_run(galaxy: Galaxy, write: Write) -> None:
    write(
        "plan.yaml",
        "strategy: load_balance\ntasks: {a: {run: [echo]}, b: {run: [echo]}, c: {run: [echo], device: two}}",
    )
    write("devices.yaml", "devices: {one: {}, two: {}}")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--strategy", "round_robin", "--json")
    assert {event["task"]: event["device"] for event in done.events if event["type"] == "task_completed"} == {
        "a": "one",
        "b": "two",
        "c": "two",
    }
    assert next(event for event in done.events if event["type"] == "run_started")["strategy"] == "round_robin"


def test_collected_files_are_kept_where_they_are_wanted(galaxy: Galaxy, write: Write) -> None:
    folder = write("plan.yaml", "tasks: {a: {shell: 'echo data > made.txt', outputs: [made.txt]}}").parent
    done = galaxy("run", "plan.yaml", "--artifacts", "kept")
    [kept] = (folder / "kept").rglob("made.txt")
    assert kept.read_text(encoding="utf-8") == "data\n"
    [line] = [line for line in done.err.splitlines() if line.startswith("file ")]
    assert line.startswith("file a: made.txt  in ")
    assert Path(line.partition("  in ")[2]).resolve() == kept.resolve()


@BACKENDS
def test_a_run_that_takes_too_long_is_cancelled(backend: str, galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [sleep, '1000']}, b: {run: [echo], needs: [a]}}")
    done = galaxy("run", "plan.yaml", "--timeout", "0.5", "--backend", backend)
    assert done.code == Exit.TIMED_OUT
    assert "cancelling: 0.5 s are over" in done.err
    assert "plan cancelled: 0 of 2 tasks done, 2 cancelled" in done.err


# ------------------------------------------------------------------------------------------------- what cannot be run


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_no_time_is_exit_code_2(seconds: str, galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", HELLO)
    done = galaxy("run", "plan.yaml", "--timeout", seconds)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "Invalid value for '--timeout'" in done.err


def test_what_an_action_returned_is_printed_as_json(galaxy: Galaxy, write: Write, install: Install) -> None:
    install(
        "answering",
        """
        from contextlib import asynccontextmanager
        from pydantic import BaseModel
        from galaxy_core import Completed, hookimpl
        class Ask(BaseModel):
            pass
        class Answering:
            name, settings_model, requests, device_type = "answering", None, frozenset(), None
            actions = {"ask": Ask}
            @asynccontextmanager
            async def open(self, device, settings):
                yield self
            async def execute(self, attempt):
                return Completed(value={"level": 80, "word": "h\u00e9"})
            async def probe(self):
                return {}
        @hookimpl
        def galaxy_transports():
            return [Answering()]
        """,
    )
    write("plan.yaml", "tasks: {a: {action: {ask: {}}}}")
    write("devices.yaml", "devices: {it: {transport: answering}}")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert (done.code, done.out) == (0, '{\n  "level": 80,\n  "word": "h\u00e9"\n}\n')


@pytest.mark.skipif(sys.platform == "win32", reason="shells close streams there in no such way")
def test_a_wrong_plan_is_exit_code_2_with_places(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks:\n  a: {run: [echo], needs: [b]}\n")
    done = galaxy("run", "plan.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "plan.yaml:2: tasks.a.needs[0]: " in done.err
    assert "Traceback" not in done.err


def test_what_does_not_come_together_is_exit_code_2_with_places(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks:\n  a: {run: [echo], requires: [camera]}\n")
    done = galaxy("run", "plan.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "plan.yaml:2: tasks.a.requires: " in done.err
    write("devices.yaml", "devices:\n  here: {transport: loca}\n")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert "devices.yaml:2: devices.here.transport: " in done.err


def test_devices_that_cannot_be_reached_are_exit_code_2(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", HELLO)
    write("devices.yaml", "devices: {here: {settings: {root: /no/such/folder}}}")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "/no/such/folder" in done.err


def test_a_file_that_is_not_there_is_exit_code_2(galaxy: Galaxy) -> None:
    done = galaxy("run", "nothing.yaml", "--json")
    assert done.code == Exit.REFUSED
    assert done.err == "error: nothing.yaml: No such file or directory\n"
    assert [event["type"] for event in done.events] == ["error"]


POLICY = "from galaxy_core import hookimpl\n@hookimpl\ndef galaxy_review_run(run):\n    {}\n"


def test_a_policy_that_refuses_is_exit_code_2(galaxy: Galaxy, write: Write, install: Install) -> None:
    install("policy", POLICY.format("return 'not on a Friday'"))
    write("plan.yaml", HELLO)
    done = galaxy("run", "plan.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "not on a Friday" in done.err
    assert galaxy("run", "plan.yaml", "--no-plugins").code == 0


STRATEGY = """
    from galaxy_core import hookimpl
    class Broken:
        name = "broken"
        def assign(self, placement, /):
            raise ZeroDivisionError("no")
    @hookimpl
    def galaxy_strategies():
        return [Broken()]
"""


def test_a_plugin_that_breaks_is_exit_code_3_without_a_traceback_unless_that_is_wanted(
    galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("broken", STRATEGY)
    write("plan.yaml", HELLO)
    done = galaxy("run", "plan.yaml", "--strategy", "broken")
    assert (done.code, done.out) == (Exit.BROKEN, "")
    assert done.err == "error: strategy 'broken' raised ZeroDivisionError: no\n"
    done = galaxy("run", "plan.yaml", "--strategy", "broken", "--debug")
    assert done.code == Exit.BROKEN
    assert "Traceback (most recent call last)" in done.err


# ------------------------------------------------------------------------------------------------------ for programs


def test_json_lines_are_all_that_stands_on_standard_output(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", FAILING)
    done = galaxy("run", "plan.yaml", "--json")
    assert (done.code, done.err) == (Exit.NOT_ALL, "")
    events = done.events
    assert all(isinstance(event["type"], str) and isinstance(event["time"], float) for event in events)
    ended = {event["task"]: event for event in events if "task" in event and event["type"] != "task_started"}
    assert {task: event["type"] for task, event in ended.items()} == {
        "good": "task_completed",
        "bad": "task_failed",
        "after": "task_skipped",
        "later": "task_skipped",
    }
    good, bad = ended["good"], ended["bad"]
    assert (good["status"], good["device"], good["exit_code"], good["stdout"]) == ("completed", "here", 0, "fine\n")
    assert (bad["exit_code"], bad["stderr"], bad["error"], bad["error_type"]) == (
        3,
        "some trouble\n",
        "exit status 3",
        "TaskFailedError",
    )
    assert ended["after"]["cause"] == "bad"
    last = events[-1]
    assert (last["type"], last["status"], last["exit_code"]) == ("run_result", "partially_failed", 1)
    assert last["counts"] == {"completed": 1, "failed": 1, "skipped": 2}


def test_json_can_tell_output_as_it_comes(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", HELLO)
    assert not [event for event in galaxy("run", "plan.yaml", "--json").events if event["type"] == "task_output"]
    output = [
        event
        for event in galaxy("run", "plan.yaml", "--json", "--show-output").events
        if event["type"] == "task_output"
    ]
    assert [(event["task"], event["stream"], event["text"]) for event in output] == [
        ("one", "stdout", "hello\n"),
        ("two", "stdout", "HELLO\n"),
    ]


def test_json_is_ascii_whatever_a_task_prints(galaxy: Galaxy, write: Write) -> None:
    write(
        "plan.yaml", f"tasks: {{a: {{run: [{PYTHON}, -c, 'import sys; sys.stdout.buffer.write(bytes(range(256)))']}}}}"
    )
    done = galaxy("run", "plan.yaml", "--json")
    assert done.out.isascii()
    assert "\x1b" not in done.out
    [ended] = [event for event in done.events if event["type"] == "task_completed"]
    assert ended["stdout"].startswith("\x00\x01")


# ------------------------------------------------------------------------------------------------------- what is evil


def test_control_characters_of_tasks_and_names_do_not_reach_the_terminal(galaxy: Galaxy, write: Write) -> None:
    write(
        "plan.yaml",
        r"""
        name: fine
        tasks:
          a: {run: [printf, '\033]0;evil\007\033[2Jshown\033[31mred\033[0m\r\n\302\233']}
          b: {shell: "printf '\\033[2Jtrouble' >&2; exit 1"}
        """,
    )
    done = galaxy("run", "plan.yaml", "--show-output")
    for text in (done.out, done.err):
        assert not [
            character
            for character in text
            if character != "\n" and (ord(character) < 32 or 127 <= ord(character) < 160)
        ]
    assert r"\x1b]0;evil\x07\x1b[2Jshownred" in done.out
    assert r"\x1b[2Jtrouble" in done.err


def test_a_plan_of_two_thousand_tasks_is_told_of_completely(galaxy: Galaxy, write: Write) -> None:
    tasks: dict[str, dict[str, list[str]]] = {"t0": {"run": ["false"]}}
    for number in range(1, 2000):
        tasks[f"t{number}"] = {"run": ["true"], "needs": [f"t{number // 50}"]}
    write("plan.json", json.dumps({"tasks": tasks}))
    done = galaxy("run", "plan.json", "--plain")
    assert done.code == Exit.NOT_ALL
    assert sum("skipped   t" in line for line in done.err.splitlines()) == 1999
    assert "t1, t2, t3, t4, t5 and 1,994 more skipped: prerequisite 't0' ended failed" in done.err
