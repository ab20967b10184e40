"""Run by .ci/run in an environment that holds the wheels, hatchling and what the extra `testing` brings.

Makes a wheel of the files on each how-to page about plugins, installs it, does there what the page says, and takes it out
again. What is marked on the pages is told in `tests/docs/test_pages_install.py`, which does the same without installing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

TIMEOUT_S = 120
PAGES = sorted(Path(os.environ["GALAXY_CHECKOUT"]).glob("docs/how-to/write-*.md"))
FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(
    r"^<!-- installed -->\n```sh\n(.*?)^```$(?:\n\n<!-- printed -->\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)


def run(*command: str, folder: Path) -> str:
    scripts = sysconfig.get_path("scripts")
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*arguments: str, folder: Path) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments, folder=folder)


def installed() -> set[str]:
    return {found.metadata["Name"] for found in distributions()}


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The text of a page whose plugin is installed; the other files of the page lie in `tmp_path/work`."""
    text: str = request.param.read_text(encoding="utf-8")
    source, work = tmp_path / "source", tmp_path / "work"
    for name, content in FILE.findall(text):
        for folder in (source, *([] if name.startswith("galaxy_core_") else [work])):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
    before = installed()
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", str(source), folder=tmp_path)
    [wheel] = (tmp_path / "wheels").iterdir()
    pip("install", "--no-deps", str(wheel), folder=tmp_path)
    [name] = installed() - before
    yield text
    pip("uninstall", "--yes", name, folder=tmp_path)


def test_the_plugin_of_a_page_is_built_installed_tested_and_used(page: str, tmp_path: Path) -> None:
    steps = STEP.findall(page)
    for command, printed in steps:
        found = run("sh", "-eu", "-c", command, folder=tmp_path / "work")
        assert not printed or found.split() == printed.split(), f"{command}\nprinted\n{found}"
    commands = [command.split()[0] for command, _ in steps]
    assert commands[:2] == ["pytest", "galaxy"]
    assert len(commands) > 2


def test_there_are_pages() -> None:
    assert len(PAGES) == 4
