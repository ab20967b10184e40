"""`galaxy new-plugin` makes distributions that install, are found, and pass the tests that they come with."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Galaxy, Install


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a new environment, which sees what is installed in this one."""
    venv.create(tmp_path / "venv", with_pip=False)
    scripts, suffix = ("Scripts", ".exe") if sys.platform == "win32" else ("bin", "")
    interpreter = tmp_path / "venv" / scripts / f"python{suffix}"
    asked = [str(interpreter), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout.strip()
    outer = sysconfig.get_path("purelib")
    Path(site, "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n", encoding="utf-8")
    return interpreter


def _check(python: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(python), *arguments], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


KINDS = ("strategy", "transport", "observer", "journal")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("strategy", "my_best"), ("transport", "telegraph"), ("observer", "my_ears"), ("journal", "diary")],
)
def test_a_skeleton_installs_is_found_and_passes_its_tests(
    kind: str, name: str, python: Path, folder: Path, galaxy: Galaxy
) -> None:
    done = galaxy("new-plugin", kind, name)
    distribution = f"galaxy-core-{name.replace('_', '-')}"
    assert (done.code, done.out) == (0, f"{distribution}\n")
    made = folder / distribution
    assert "  python -m pip install --no-deps -e .\n" in done.err
    assert "python -m pytest" in done.err
    _check(python, made, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", ".")
    tests = _check(python, made, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in tests
    assert "warning" not in tests
    told = _check(python, folder, "-m", "galaxy_core_cli.main", "plugins", "explain", name)
    assert f"{kind} {name}: " in told or (kind == "observer" and "  hooks         galaxy_observers\n" in told)
    _check(python, folder, "-m", "galaxy_core_cli.main", "plugins", "doctor")


def test_skeletons_are_strictly_typed_formatted_and_without_lint(folder: Path, galaxy: Galaxy) -> None:
    tools = {name: shutil.which(name, path=sysconfig.get_path("scripts")) for name in ("mypy", "ruff")}
    if None in tools.values():
        pytest.skip("mypy and ruff are not installed")
    for kind in KINDS:
        galaxy("new-plugin", kind, f"some_{kind}")
        made = folder / f"galaxy-core-some-{kind}"
        for command in (["mypy", "."], ["ruff", "check", "."], ["ruff", "format", "--check", "."]):
            done = subprocess.run(
                [str(tools[command[0]]), *command[1:]],
                cwd=made,
                capture_output=True,
                text=True,
                timeout=5 * TIMEOUT_S,
                check=False,
            )
            assert done.returncode == 0, f"{kind}: {' '.join(command)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_template_is_left_in_a_skeleton(kind: str, folder: Path, galaxy: Galaxy) -> None:
    galaxy("new-plugin", kind, "some_name", "--dir", "made")
    files = [path for path in (folder / "made").rglob("*") if path.is_file()]
    assert {path.relative_to(folder / "made").as_posix() for path in files} >= {
        "pyproject.toml",
        "README.md",
        "galaxy_core_some_name/__init__.py",
        "galaxy_core_some_name/py.typed",
        "galaxy_core_some_name/plugin.py",
    }
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "@" not in path.as_posix().removeprefix(folder.as_posix())
        for word in ("@NAME@", "@UPPER@", "@KIND@", "@CLASS@", "@PACKAGE@", "@DISTRIBUTION@", "@KERNEL@", "@NEEDS@"):
            assert word not in text, path
        if path.suffix == ".py":
            compile(text, str(path), "exec")


def test_a_name_that_cannot_be_is_refused(galaxy: Galaxy, folder: Path) -> None:
    for name in ("My-Best", "9", "../x", "x" * 41, "", "class"):
        done = galaxy("new-plugin", "strategy", name)
        assert (done.code, done.out) == (Exit.REFUSED, ""), name
        assert "cannot be the name of a strategy" in done.err
    assert list(folder.iterdir()) == []


def test_a_name_that_is_taken_is_refused(galaxy: Galaxy, install: Install) -> None:
    assert "already" in galaxy("new-plugin", "strategy", "load_balance").err
    assert "already" in galaxy("new-plugin", "transport", "local").err
    assert "installed already" in galaxy("new-plugin", "strategy", "strategies").err


def test_nothing_is_overwritten(galaxy: Galaxy, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "work").write_text("precious", encoding="utf-8")
    done = galaxy("new-plugin", "strategy", "some", "--dir", "mine")
    assert done.code == Exit.REFUSED
    assert "not empty" in done.err
    assert [path.name for path in (folder / "mine").iterdir()] == ["work"]
