"""Run by .ci/run in an environment that holds the wheels and pytest, from a folder that holds this file alone."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

PLAN = """
name: smoke
tasks:
  one:
    run: [python3, -c, "print('hello from the wheel')"]
    effect: read
  two:
    run: [python3, -c, "import sys; print(sys.stdin.read().upper())"]
    stdin: {from: one, value: stdout}
    effect: read
"""

OURS = sorted(
    (found for found in distributions() if found.metadata["Name"].startswith("galaxy-core")),
    key=lambda found: found.metadata["Name"],
)


def galaxy(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sysconfig.get_path("scripts")) / "galaxy"
    return subprocess.run(
        [command, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def package_of(distribution: Distribution) -> str:
    return distribution.metadata["Name"].replace("-", "_")


def test_every_distribution_of_the_house_is_installed() -> None:
    checkout = Path(os.environ["GALAXY_CHECKOUT"])
    folders = [path.parent.name for path in checkout.glob("plugins/*/pyproject.toml")]
    assert [found.metadata["Name"] for found in OURS] == sorted(
        ["galaxy-core", *(f"galaxy-core-{name}" for name in folders)]
    )


@pytest.mark.parametrize("distribution", OURS, ids=package_of)
def test_a_package_is_imported_from_its_wheel_and_is_typed_and_licensed(distribution: Distribution) -> None:
    module = importlib.import_module(package_of(distribution))
    assert module.__file__ is not None
    folder = Path(module.__file__).parent
    assert folder.is_relative_to(sysconfig.get_path("purelib"))
    assert not folder.is_relative_to(os.environ["GALAXY_CHECKOUT"])
    assert (folder / "py.typed").is_file()
    shipped = [str(path) for path in distribution.files or ()]
    assert any(path.endswith("licenses/LICENSE") for path in shipped)
    assert not [path for path in shipped if path.startswith(("tests/", "docs/", "plugins/"))]


def test_the_command_says_its_version(tmp_path: Path) -> None:
    done = galaxy("--version", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert OURS[0].version in done.stdout


def test_a_plan_runs_without_an_inventory(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.replace("python3", json.dumps(sys.executable)), encoding="utf-8")
    done = galaxy("run", "plan.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plan_whose_task_fails_is_reported_by_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        f"tasks: {{wrong: {{run: [{json.dumps(sys.executable)}, -c, 'raise SystemExit(3)']}}}}\n", encoding="utf-8"
    )
    done = galaxy("run", "plan.yaml", folder=tmp_path)
    assert done.returncode not in {0, 2}, done.stdout + done.stderr


def test_the_plugins_that_the_wheels_bring_are_found(tmp_path: Path) -> None:
    done = galaxy("plugins", "list", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("local", "strategies"):
        assert name in done.stdout
