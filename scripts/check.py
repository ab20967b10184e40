"""Checks everything, from format to tests: `python scripts/check.py [--fix] [--no-tests]`, in the environment of README.md.

Each step runs even if an earlier one failed; the exit code is 1 if any did. As many run beside each other as there are
processors, and what one said that failed is printed when it ends; the tests run alone, and are seen while they run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted(path.parent.relative_to(ROOT) for path in ROOT.glob("plugins/*/pyproject.toml"))
KERNEL = ["galaxy_core", "tests", "examples", "benchmarks", "scripts", ".ci/smoke", "conftest.py"]


@dataclass(frozen=True)
class Step:
    """One command; `environment` is added to the present one."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *, quiet: bool) -> bool:
        """Whether the command ended with 0. Its output goes where ours goes; of a `quiet` one, in the end, all if it failed."""
        title = f"\n=== {self.name}: {' '.join(self.command[1:])}\n"
        if not quiet:
            sys.stdout.write(title)
            sys.stdout.flush()
        started = time.monotonic()
        done = subprocess.run(
            self.command,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            check=False,
        )
        verdict = "ok" if done.returncode == 0 else f"FAILED (exit code {done.returncode})"
        said = ""
        if quiet:
            lines = done.stdout.decode(errors="replace").strip().splitlines(keepends=True)
            said = title + "".join(lines if done.returncode else lines[-1:]).rstrip() + "\n"
        # One write, so that it does not mix with that of another step.
        sys.stdout.write(f"{said}--- {self.name}: {verdict}, {time.monotonic() - started:.1f} s\n")
        sys.stdout.flush()
        return done.returncode == 0


def tool(name: str) -> str:
    """The path of a command installed beside this Python."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which(name, path=scripts)
    if found is None:
        sys.exit(f"{name!r} is not in {scripts}: install the dev extra first (the second command of README.md)")
    return found


def types_of_the_kernel() -> Step:
    """mypy of what is no plugin."""
    return Step("types of the kernel", [*_mypy(), *(path for path in KERNEL if _has_python(ROOT / path))])


def types_of_the_plugins() -> list[Step]:
    """A run of mypy for each plugin, so that the `tests` folders are each a world of their own."""
    steps = []
    for plugin in PLUGINS:
        others = os.pathsep.join(str(ROOT / other) for other in PLUGINS)
        paths = os.pathsep.join([str(ROOT / plugin), others])
        command = [*_mypy(), "--cache-dir", f".mypy_cache/{plugin.name}", str(plugin)]
        steps.append(Step(f"types of {plugin.as_posix()}", command, {"MYPYPATH": paths}))
    return steps


def lend_the_cache() -> None:
    """Have the first run for a plugin begin with what mypy found about the kernel and the libraries: 1 s instead of 6."""
    for found in (ROOT / ".mypy_cache").glob("3.*"):
        for plugin in PLUGINS:
            theirs = ROOT / ".mypy_cache" / plugin.name / found.name
            if not theirs.exists():
                shutil.copytree(found, theirs)


def _mypy() -> list[str]:
    return [tool("mypy"), "--python-executable", sys.executable]


def _has_python(path: Path) -> bool:
    return path.suffix == ".py" or any(path.rglob("*.py"))


def first_steps(*, fix: bool) -> list[Step]:
    """Those that may run beside each other; the longest begins."""
    ruff = tool("ruff")
    importable = os.pathsep.join(str(ROOT / path) for path in [Path(), *PLUGINS])
    return [
        types_of_the_kernel(),
        Step("lint", [ruff, "check", *(["--fix"] if fix else []), "."]),
        Step("format", [ruff, "format", *([] if fix else ["--check"]), "."]),
        Step("layers", [tool("lint-imports"), "--no-logo"], {"PYTHONPATH": importable}),
        Step("changelog", [tool("towncrier"), "build", "--draft", "--version", "next"]),
    ]


def test_steps() -> list[Step]:
    """The tests, and those of the documents."""
    pytest = [sys.executable, "-m", "pytest", "-q"]
    beside = ["-n", "4", "--dist", "worksteal"]  # most of them wait: for processes, devices and deadlines
    return [
        Step("tests", [*pytest, *beside, "--ignore=tests/docs"]),
        Step("code in the documents", [*pytest, "tests/docs"]),
    ]


def failures(steps: list[Step], *, quiet: bool, at_once: int = 1) -> list[str]:
    """The names of those that failed, of all these steps, which are run."""
    with ThreadPoolExecutor(at_once) as pool:
        verdicts = pool.map(lambda step: step.run(quiet=quiet), steps)
        return [step.name for step, passed in zip(steps, verdicts, strict=True) if not passed]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fix", action="store_true", help="let ruff format and mend what it can")
    parser.add_argument("--no-tests", action="store_true", help="leave out pytest")
    options = parser.parse_args()
    at_once = 1 if options.fix else os.cpu_count() or 1  # who mends a file does it alone
    failed = failures(first_steps(fix=options.fix), quiet=True, at_once=at_once)
    lend_the_cache()
    failed += failures(types_of_the_plugins(), quiet=True, at_once=os.cpu_count() or 1)
    if not options.no_tests:
        failed += failures(test_steps(), quiet=False)
    print(f"\n{'everything is in order' if not failed else 'FAILED: ' + ', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
