"""Checks everything, from format to tests: `python scripts/check.py [--fix] [--no-tests]`, in the environment of README.md.

Each step runs even if an earlier one failed; the exit code is 1 if any did.
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

    def run(self) -> bool:
        """Whether the command ended with 0. Its output goes where ours goes."""
        print(f"\n=== {self.name}: {' '.join(self.command[1:])}", flush=True)
        started = time.monotonic()
        code = subprocess.run(self.command, cwd=ROOT, env={**os.environ, **self.environment}, check=False).returncode
        verdict = "ok" if code == 0 else f"FAILED (exit code {code})"
        print(f"--- {self.name}: {verdict}, {time.monotonic() - started:.1f} s", flush=True)
        return code == 0


def tool(name: str) -> str:
    """The path of a command installed beside this Python."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which(name, path=scripts)
    if found is None:
        sys.exit(f"{name!r} is not in {scripts}: install the dev extra first (the second command of README.md)")
    return found


def type_steps() -> list[Step]:
    """One run of mypy for the kernel and one per plugin, so that the `tests` folders are each a world of their own."""
    mypy = [tool("mypy"), "--python-executable", sys.executable]
    steps = [Step("types of the kernel", [*mypy, *(path for path in KERNEL if _has_python(ROOT / path))])]
    for plugin in PLUGINS:
        others = os.pathsep.join(str(ROOT / other) for other in PLUGINS)
        paths = os.pathsep.join([str(ROOT / plugin), others])
        command = [*mypy, "--cache-dir", f".mypy_cache/{plugin.name}", str(plugin)]
        steps.append(Step(f"types of {plugin.as_posix()}", command, {"MYPYPATH": paths}))
    return steps


def _has_python(path: Path) -> bool:
    return path.suffix == ".py" or any(path.rglob("*.py"))


def steps(*, fix: bool, tests: bool) -> list[Step]:
    """Every step, cheap ones first."""
    ruff = tool("ruff")
    importable = os.pathsep.join(str(ROOT / path) for path in [Path(), *PLUGINS])
    found = [
        Step("format", [ruff, "format", *([] if fix else ["--check"]), "."]),
        Step("lint", [ruff, "check", *(["--fix"] if fix else []), "."]),
        Step("layers", [tool("lint-imports"), "--no-logo"], {"PYTHONPATH": importable}),
        *type_steps(),
        Step("changelog", [tool("towncrier"), "build", "--draft", "--version", "next"]),
    ]
    if tests:
        pytest = [sys.executable, "-m", "pytest", "-q"]
        found += [
            Step("tests", [*pytest, "--ignore=tests/docs"]),
            Step("code in the documents", [*pytest, "tests/docs"]),
        ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fix", action="store_true", help="let ruff format and mend what it can")
    parser.add_argument("--no-tests", action="store_true", help="leave out pytest")
    options = parser.parse_args()
    failed = [step.name for step in steps(fix=options.fix, tests=not options.no_tests) if not step.run()]
    print(f"\n{'everything is in order' if not failed else 'FAILED: ' + ', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
