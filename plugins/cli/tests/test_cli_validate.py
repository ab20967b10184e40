"""`galaxy validate` finds what is wrong with files, and with files together, and says on which line."""

from __future__ import annotations

import json

import pytest

from galaxy_core_cli.exits import Exit

from .asking import Galaxy, Install, Write

GOOD = """
    tasks:
      one: {run: [echo, hi]}
"""


def test_a_good_plan_is_told_so(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", GOOD)
    done = galaxy("validate", "plan.yaml")
    assert (done.code, done.out, done.err) == (0, "plan.yaml: 1 task, nothing wrong\n", "")


def test_all_that_is_wrong_with_a_file_is_told_with_its_lines(galaxy: Galaxy, write: Write) -> None:
    write(
        "plan.yaml",
        """
        tasks:
          one: {rum: [echo, hi]}
          two:
            run: [echo]
            needs: [oen]
        """,
    )
    done = galaxy("validate", "plan.yaml")
    assert done.code == Exit.REFUSED
    assert any(line.startswith("plan.yaml:2: tasks.one.rum: ") and "'run'" in line for line in done.out.splitlines())
    assert any(
        line.startswith("plan.yaml:5: tasks.two.needs[0]: ") and "'one'" in line for line in done.out.splitlines()
    )


def test_plan_and_inventory_are_both_told_of(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "task: {}")
    write("devices.yaml", "devices: {here: {transprot: local}}")
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert "plan.yaml:1: " in done.out
    assert "devices.yaml:1: devices.here.transprot: " in done.out


def test_what_does_not_come_together_is_told_with_its_lines(galaxy: Galaxy, write: Write) -> None:
    write(
        "plan.yaml",
        """
        strategy: load_balanc
        tasks:
          pinned:
            run: [echo]
            device: ther
          picky:
            run: [echo]
            requires: [camera]
          other:
            run: [echo]
            device_type: android
        """,
    )
    write("devices.yaml", "devices:\n  there: {transport: local}\n")
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    strategy, pinned, picky, other = done.out.splitlines()
    assert strategy.startswith("plan.yaml:1: strategy: ")
    assert "did you mean 'load_balance'?" in strategy
    assert pinned.startswith("plan.yaml:5: tasks.pinned.device: ")
    assert "did you mean 'there'?" in pinned
    assert picky.startswith("plan.yaml:8: tasks.picky.requires: ")
    assert "device 'there' lacks camera" in picky
    assert other.startswith("plan.yaml:11: tasks.other.device_type: ")


def test_a_pin_on_a_device_that_does_not_fit_is_told(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks:\n  a: {run: [echo], device: here, requires: [camera]}\n")
    done = galaxy("validate", "plan.yaml")
    assert done.out.startswith("plan.yaml:2: tasks.a.requires: ")


def test_devices_are_checked_too(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", GOOD)
    write("devices.yaml", "devices:\n  one: {transport: loca}\n  two:\n    settings: {rot: 1}\n")
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    one, two = done.out.splitlines()
    assert one.startswith("devices.yaml:2: devices.one.transport: ")
    assert "'local'" in one
    assert two.startswith(
        "devices.yaml:4: devices.two.settings.rot: unknown key 'rot'; did you mean 'root'?; allowed are 'root', "
    )


def test_all_that_is_wrong_with_settings_is_told_each_on_its_line(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", GOOD)
    write(
        "devices.yaml",
        """
        devices:
          one:
            settings:
              kill_grace_s: soon
              env:
                PATH: 3
              drain_s: 0
        """,
    )
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    assert done.out.splitlines() == [
        "devices.yaml:4: devices.one.settings.kill_grace_s: found a text; a number is wanted here",
        "devices.yaml:6: devices.one.settings.env.PATH: found a number; text is wanted here",
        "devices.yaml:7: devices.one.settings.drain_s: found a number; it must be more than 0",
    ]


def test_an_impossible_condition_is_told_with_the_nearest_name(galaxy: Galaxy, write: Write) -> None:
    write(
        "plan.yaml",
        """
        tasks:
          a: {run: [x]}
          b:
            run: [x]
            stdin: {from: a, value: json.lenght(@)}
            needs:
              - {task: a, when: "exitcode == `0`"}
        """,
    )
    done = galaxy("validate", "plan.yaml")
    assert done.code == Exit.REFUSED
    path, when = done.out.splitlines()
    assert path.startswith("plan.yaml:5: tasks.b.stdin.value: ")
    assert "there is no function 'lenght'; did you mean 'length'?" in path
    assert when.startswith("plan.yaml:7: tasks.b.needs[0].when: ")
    assert "there is no 'exitcode' to look at; did you mean 'exit_code'?; allowed are 'status', 'exit_code'," in when


TALKER = """
    from contextlib import asynccontextmanager
    from pydantic import BaseModel, ConfigDict, Field
    from galaxy_core import hookimpl

    class Word(BaseModel):
        model_config = ConfigDict(extra="forbid")
        word: str = Field(description="What is said.")
        times: list[int] = []

    class Talker:
        name = "talker"
        settings_model = None
        requests = frozenset({"none"})
        actions = {"say": Word}
        device_type = "android"

        @asynccontextmanager
        async def open(self, device, settings):
            raise AssertionError("nothing is to be connected")
            yield

    @hookimpl
    def galaxy_transports():
        return [Talker()]
"""


def test_what_a_transport_does_not_take_is_told_of_each_task(galaxy: Galaxy, write: Write, install: Install) -> None:
    install("talker", TALKER)
    write("devices.yaml", "devices: {phone: {transport: talker}}")
    write(
        "plan.yaml",
        """
        tasks:
          good: {action: {say: {word: hi}}}
          also_good: {description: say hi}
          taken_later: {action: {say: {wrod: {from: good, value: stdout}}}}
          command: {run: [echo]}
          text: {shell: echo}
          unknown: {action: {sya: {}}}
          wrong:
            action: {say: {wrod: hi}}
          wrong_inside:
            action:
              say:
                word: hi
                times:
                  - 1
                  - often
        """,
    )
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    command, text, unknown, missing, extra, inside = done.out.splitlines()
    assert command.startswith("plan.yaml:5: tasks.command.run: device 'phone': transport 'talker' does not take 'run'")
    assert text.startswith("plan.yaml:6: tasks.text.shell: ")
    assert unknown.startswith("plan.yaml:7: tasks.unknown.action: ")
    assert "did you mean 'say'?" in unknown
    assert missing == "plan.yaml:9: tasks.wrong.action.say: device 'phone': 'word' is missing: What is said"
    assert extra == (
        "plan.yaml:9: tasks.wrong.action.say.wrod: device 'phone': unknown key 'wrod'; did you mean 'word'?; "
        "allowed are 'word', 'times'"
    )
    assert inside == (
        "plan.yaml:16: tasks.wrong_inside.action.say.times[1]: device 'phone': found the text 'often'; "
        "a whole number is wanted here"
    )


def test_a_device_that_is_missing_hides_no_wrong_request(galaxy: Galaxy, write: Write, install: Install) -> None:
    install("talker", TALKER)
    write("devices.yaml", "devices: {phone: {transport: talker}, here: {transport: local}}")
    write(
        "plan.yaml",
        """
        tasks:
          nowhere: {action: {say: {}}, device: phnoe}
          pinned: {action: {sya: {}}, device: phone}
          typed: {run: [x], device_type: android}
          either: {run: [x]}
        """,
    )
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert [line.split(": ")[:3] for line in done.out.splitlines()] == [
        ["plan.yaml:2", "tasks.nowhere.device", "Device phnoe is not registered; did you mean 'phone'?; registered"],
        ["plan.yaml:3", "tasks.pinned.action", "device 'phone'"],
        ["plan.yaml:4", "tasks.typed.run", "device 'phone'"],
    ]


def test_a_description_alone_is_nothing_for_this_machine(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks:\n  a: {description: do it}\n")
    done = galaxy("validate", "plan.yaml")
    assert done.out.startswith(
        "plan.yaml:2: tasks.a: device 'here': transport 'local' does not take a task that only has"
    )


NARROW = """
    from galaxy_core import hookimpl

    class Narrow:
        name, settings_model, requests, actions, device_type = "narrow", None, frozenset({"run"}), {}, None
        features = frozenset({"env", "stdin"})

        def open(self, device, settings): ...

    @hookimpl
    def galaxy_transports():
        return [Narrow()]
"""


def test_a_key_of_a_command_that_its_transport_has_not_declared_is_told_of_with_its_line(
    galaxy: Galaxy, write: Write, install: Install
) -> None:
    install("narrow", NARROW)
    write("devices.yaml", "devices: {it: {transport: narrow}}")
    write(
        "plan.yaml",
        "tasks:\n  a: {run: [x], env: {A: b}, stdin: ''}\n  b:\n    run: [x]\n    files: {a: b}\n    cwd: c\n",
    )
    for what in ("validate", "run"):
        done = galaxy(what, "plan.yaml", "--devices", "devices.yaml")
        assert done.code == Exit.REFUSED
        told = done.out + done.err
        assert "plan.yaml:5: tasks.b.files: device 'it': transport 'narrow' does not take 'files' of a command" in told
        assert "plan.yaml:6: tasks.b.cwd: " in told
        assert "; it takes: 'env', 'stdin'\n" in told
        assert "tasks.a" not in told


@pytest.mark.parametrize(("name", "where"), [("plan.json", "plan.json:3: "), ("plan.toml", "plan.toml:3: ")])
def test_json_and_toml_have_lines_too(name: str, where: str, galaxy: Galaxy, write: Write) -> None:
    texts = {
        "plan.json": '{\n"tasks": {\n"a": {"run": ["echo"], "requires": ["x"]}}}',
        "plan.toml": "[tasks.a]\nrun = ['echo']\nrequires = ['x']\n",
    }
    write(name, texts[name])
    assert galaxy("validate", name).out.startswith(f"{where}tasks.a.requires: ")


def test_settings_in_toml_are_told_of_with_their_lines_and_in_their_order(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", GOOD)
    write(
        "devices.toml",
        """
        [devices.one]
        transport = "local"
        [devices.one.settings]
        rot = "."
        env.PATH = 3
        kill_grace_s = "soon"
        [devices.two]
        settings = {drain_s = 0}
        [devices."a.b"]
        transport = "loca"
        """,
    )
    done = galaxy("validate", "plan.yaml", "--devices", "devices.toml")
    assert done.code == Exit.REFUSED
    assert [line.partition(": ")[0] + " " + line.split(": ")[1] for line in done.out.splitlines()] == [
        "devices.toml:4 devices.one.settings.rot",
        "devices.toml:5 devices.one.settings.env.PATH",
        "devices.toml:6 devices.one.settings.kill_grace_s",
        "devices.toml:8 devices.two.settings.drain_s",
        'devices.toml:10 devices["a.b"].transport',
    ]


def test_json_is_for_programs(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks:\n  a: {run: [echo], device: nowhere}\n")
    document = json.loads(galaxy("validate", "plan.yaml", "--json").out)
    assert document["valid"] is False
    [problem] = document["problems"]
    assert (problem["file"], problem["line"], problem["place"]) == ("plan.yaml", 2, "tasks.a.device")
    write("plan.yaml", GOOD)
    sound = {"valid": True, "problems": [], "warnings": [], "notes": []}
    assert json.loads(galaxy("validate", "plan.yaml", "--json").out) == sound


def test_a_plan_can_come_on_standard_input(galaxy: Galaxy) -> None:
    assert galaxy("validate", "-", stdin="tasks: {a: {run: [echo]}}").code == 0
    assert galaxy("validate", "-", stdin='{"tasks": {"a": {"run": ["echo"]}}}').code == 0
    done = galaxy("validate", "-", stdin="tasks: {a: {run: [echo], device: nowhere}}")
    assert done.code == Exit.REFUSED
    assert done.out.startswith("<standard input>: tasks.a.device: ")


def test_a_file_that_is_not_there_is_named(galaxy: Galaxy) -> None:
    done = galaxy("validate", "nothing.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert done.err == "error: nothing.yaml: No such file or directory\n"


def test_a_strategy_that_breaks_is_exit_code_3(galaxy: Galaxy, write: Write, install: Install) -> None:
    install(
        "broken",
        "class Broken:\n    name = 'broken'\n    def assign(self, placement, /):\n        1 / 0\n\nfrom galaxy_core import hookimpl\n@hookimpl\ndef galaxy_strategies():\n    return [Broken()]\n",
    )
    write("plan.yaml", GOOD)
    done = galaxy("validate", "plan.yaml", "--strategy", "broken")
    assert done.code == Exit.BROKEN
    assert "strategy 'broken' raised ZeroDivisionError" in done.err


def test_thousands_of_problems_are_counted_after_the_first(galaxy: Galaxy, write: Write) -> None:
    write("plan.json", json.dumps({"tasks": {f"t{n}": {"run": ["x"], "requires": ["y"]} for n in range(3000)}}))
    lines = galaxy("validate", "plan.json").out.splitlines()
    assert len(lines) == 51
    assert lines[-1].endswith("and more: after 1,000 problems, no more were looked for")
    write("plan.json", json.dumps({"tasks": {f"t{n}": {"run": ["x"], "requires": ["y"]} for n in range(51)}}))
    assert galaxy("validate", "plan.json").out.splitlines()[-1].endswith("and 1 more problem")


def test_a_condition_with_a_bare_number_is_told_of_back_ticks(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [x]}, b: {run: [x], needs: [{task: a, when: 'json.free > 5'}]}}")
    done = galaxy("validate", "plan.yaml")
    assert done.code == Exit.REFUSED
    assert "numbers and other literals stand in back-ticks: `5`" in done.out + done.err


def test_an_entry_of_the_keyring_without_its_user_is_found_where_it_stands(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", GOOD)
    write(
        "devices.yaml",
        """
        devices:
          it:
            settings:
              env:
                GOOD: {keyring: "lab/operator"}
                BAD:
                  keyring: hunter2
              other: [{keyring: /operator}]
        """,
    )
    done = galaxy("validate", "plan.yaml", "--devices", "devices.yaml")
    assert done.code == Exit.REFUSED
    first, second = done.out.splitlines()
    assert first.startswith('devices.yaml:7: devices.it.settings.env.BAD.keyring: an entry of the keyring is written "')
    assert second.startswith("devices.yaml:8: devices.it.settings.other[0].keyring: ")
    assert "hunter2" not in done.out + done.err  # it may be the secret itself


@pytest.mark.parametrize(("kind", "needs"), [("android", "an android device"), ("windows", "a windows device")])
def test_what_a_task_needs_is_said_with_the_right_article(kind: str, needs: str, galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", f"tasks: {{a: {{run: [x], device_type: {kind}}}}}")
    assert f"which needs {needs}. " in galaxy("validate", "plan.yaml").out
    assert f"which needs {needs}. " in galaxy("run", "plan.yaml").err


def test_a_device_that_is_not_there_is_told_at_length_of_the_first_task_only(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks:\n  a: {run: [x], device: gone}\n  b: {run: [x], device: gone}\n")
    write("devices.yaml", "devices: {it: {}}")
    first, second = galaxy("validate", "plan.yaml", "--devices", "devices.yaml").out.splitlines()
    assert first.startswith("plan.yaml:2: tasks.a.device: Device gone is not registered; registered: 'it'. Add it")
    assert second == "plan.yaml:3: tasks.b.device: device 'gone' is not registered, as for task 'a'"
