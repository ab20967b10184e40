"""The plugin on each how-to page passes its tests, is found, and does in a plan what the page says.

Nothing is built here: the package stands on the path, with metadata made from the page's `pyproject.toml`.
`.ci/smoke/test_pages.py` builds and installs it as a user would. Beside `<!-- file: NAME -->`, a page has

* `<!-- installed -->`: the sh block is run where the plugin is installed, in a folder with all files but the package;
* `<!-- printed -->`: the text block is what the sh block above it prints; how many spaces stand in a row does not matter.
"""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .test_code_blocks import TIMEOUT_S, blocks

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
PAGES = sorted(path.stem for path in HOW_TO.glob("write-*.md"))
STEP = re.compile(
    r"^<!-- installed -->\n```sh\n(?P<command>.*?)^```$(?:\n\n<!-- printed -->\n```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


def steps(text: str) -> Iterator[tuple[str, str | None]]:
    """Commands, and what they print, if the page says so."""
    for found in STEP.finditer(text):
        yield found["command"], found["printed"]


def install(text: str, site: Path, work: Path) -> None:
    """The package and its metadata in `site`, as if it were installed; the other files in `work`."""
    files = {block.file: block.text for block in blocks(text) if block.file is not None}
    project = tomllib.loads(files["pyproject.toml"])["project"]
    name: str = project["name"].replace("-", "_")
    info = f"{name}-{project['version']}.dist-info"
    metadata = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        + "".join(f"Requires-Dist: {told}\n" for told in project["dependencies"]),
        f"{info}/entry_points.txt": "".join(_entry_points(project)),
    }
    for path, content in {**files, **metadata}.items():
        target = (site if path.startswith((f"{name}/", info)) else work) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")


def _entry_points(project: dict[str, Any]) -> Iterator[str]:
    for group, entries in project["entry-points"].items():
        yield f"[{group}]\n"
        for key, value in entries.items():
            yield f"{key} = {value}\n"


def run(command: str, work: Path, **environment: str) -> str:
    done = subprocess.run(
        ["sh", "-eu", "-c", command],
        cwd=work,
        env={**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_plugin_of_a_page_does_what_the_page_says(page: str, tmp_path: Path) -> None:
    text = (HOW_TO / f"{page}.md").read_text(encoding="utf-8")
    site, work = tmp_path / "site", tmp_path / "work"
    install(text, site, work)
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    commands = dict(steps(text))
    for command, printed in commands.items():
        found = run(command, work, PATH=path, PYTHONPATH=str(site))
        assert printed is None or found.split() == printed.split(), f"{command}\nprinted\n{found}"
    assert any(command.startswith("pytest") for command in commands)
    assert any(printed for command, printed in commands.items() if "plugins list" in command)
    assert any(printed for printed in commands.values())


def test_the_steps_of_a_page_are_found_with_what_they_print() -> None:
    text = "<!-- installed -->\n```sh\none\n```\n\n<!-- printed -->\n```text\n1\n```\n\n<!-- installed -->\n```sh\ntwo\n```\n"
    assert list(steps(text)) == [("one\n", "1\n"), ("two\n", None)]
    assert list(steps("```sh\nthree\n```\n")) == []


def test_there_is_a_page_for_each_kind_of_plugin() -> None:
    assert PAGES == ["write-a-journal", "write-a-strategy", "write-a-transport", "write-an-observer"]
