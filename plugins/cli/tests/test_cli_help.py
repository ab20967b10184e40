"""Every command explains itself, cheaply, and as its reference does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from galaxy_core_cli.exits import Exit
from galaxy_core_cli.root import galaxy as root

from .asking import Galaxy, Write

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"
HEAVY = ["galaxy_core", "rich", "anyio", "pydantic", "pluggy", "attrs"]


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(inner, (*path, name))


COMMANDS = dict(_commands(root))
NAMED = [path for path, command in COMMANDS.items() if path]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "galaxy")
def test_a_command_explains_itself_and_each_of_its_options(path: tuple[str, ...], galaxy: Galaxy) -> None:
    done = galaxy(*path, "--help")
    assert (done.code, done.err) == (0, "")
    assert COMMANDS[path].get_short_help_str(1000).split(".")[0].split()[0] in done.out
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.opts[-1] in done.out


def test_help_imports_nothing_that_takes_time() -> None:
    code = "import sys; from galaxy_core_cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "Usage: galaxy" in done.stdout
    loaded = done.stdout.splitlines()[-1].split()
    assert "galaxy_core_cli.commands.run" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_the_version_names_the_command_the_kernel_and_python(galaxy: Galaxy) -> None:
    done = galaxy("--version")
    assert done.code == 0
    assert re.fullmatch(r"galaxy \d\S+ \(kernel \d\S+, Python 3\.\d+\.\d+\S*\)\n", done.out)


@pytest.mark.parametrize(
    "arguments",
    [("rnu",), ("run",), ("run", "--no-such-option", "x"), ("run", "a", "b"), ("edit", "it")],
)
def test_a_wrong_use_is_exit_code_2_and_says_how_it_is_meant(arguments: tuple[str, ...], galaxy: Galaxy) -> None:
    done = galaxy(*arguments)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "Usage: galaxy" in done.err
    assert "\nerror: " in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("graph", "x", "--format", "png"),
        ("graph", "x", "-o", "x.png"),
        ("run", "x", "--timeout", "nan"),
        ("run", "plan.yaml", "--artifacts", ""),
        ("run", "nothing.yaml"),
        ("run", ""),
        ("new-plugin", "strategy", "9"),
        ("plugins", "explain", "nothing"),
    ],
    ids=" ".join,
)
def test_a_wrong_file_or_value_is_told_of_in_one_style(
    arguments: tuple[str, ...], galaxy: Galaxy, write: Write
) -> None:
    write("plan.yaml", "tasks: {}")
    done = galaxy(*arguments)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert re.fullmatch(r"error: .+\n", done.err)


GROUPS = [path for path, command in COMMANDS.items() if isinstance(command, click.Group)]


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "galaxy")
def test_no_summary_of_a_command_is_cut(path: tuple[str, ...], galaxy: Galaxy) -> None:
    commands = galaxy(*path, "--help").out.partition("Commands:")[2]
    assert all(f"\n  {name}  " in commands for name in COMMANDS[path].commands)  # type: ignore[attr-defined]
    assert "..." not in commands


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "galaxy")
def test_a_group_alone_shows_its_commands_as_help_does(path: tuple[str, ...], galaxy: Galaxy) -> None:
    assert galaxy(*path).err == galaxy(*path, "--help").out


def _section(path: tuple[str, ...]) -> str:
    text = REFERENCE.read_text(encoding="utf-8")
    found = re.search(rf"^## `galaxy {' '.join(path)}\b[^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{REFERENCE.name} has no heading for {' '.join(path)}"
    return found[1]


@pytest.mark.parametrize("path", [path for path in NAMED if not isinstance(COMMANDS[path], click.Group)], ids=" ".join)
def test_the_reference_has_each_command_with_each_of_its_options_and_no_other(path: tuple[str, ...]) -> None:
    told = set(re.findall(r"^\| `(-[^`]*)`", _section(path), re.MULTILINE))
    options = [parameter for parameter in COMMANDS[path].params if isinstance(parameter, click.Option)]
    # Two that every command has stand once, above.
    own = [option for option in options if option.name not in {"debug", "help"}]
    assert {re.findall(r"--[a-z-]+", one)[0] for one in told} == {option.opts[-1] for option in own}


def test_the_reference_has_no_command_that_is_gone() -> None:
    headings = re.findall(r"^## `galaxy ([a-z-]+(?: [a-z-]+)?)", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {tuple(heading.split()) for heading in headings} <= set(NAMED)


def test_the_reference_has_each_exit_code() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == {int(code) for code in Exit}


def test_the_package_can_be_run_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_core_cli", "schema", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: galaxy schema ")
