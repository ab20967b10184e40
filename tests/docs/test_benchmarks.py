"""Every benchmark runs, on small numbers: what it measures is for people to read, that it works is for us to know."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"

SMALL = {
    "adb.py": ["--phones", "2", "--commands", "10", "--repeat", "1", "--flapping", "2", "--seconds", "1"],
    "build.py": ["--tasks", "200", "--links", "300", "--repeat", "1"],
    "editing.py": ["--tasks", "300", "--repeat", "1"],
    "imports.py": ["--repeat", "1"],
    "journal.py": ["--sizes", "400", "--repeat", "1", "--folder", tempfile.gettempdir()],
    "kernel.py": ["--sizes", "300", "--repeat", "1"],
    "others.py": ["--repeat", "1", "--small"],
    "plans.py": ["--tasks", "500", "--repeat", "1"],
    "ssh.py": ["--commands", "20", "--repeat", "1"],
    "strategies.py": [],
    "windows.py": ["--hosts", "2", "--commands", "2", "--repeat", "1", "--faulty", "10", "--many", "10"],
}


def test_every_benchmark_is_run_here() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize(
    ("name", "options"),
    [*sorted(SMALL.items()), ("kernel.py", ["--only", "scale", "--scale", "50", "200", "--repeat", "1"])],
)
def test_a_benchmark_prints_its_figures(name: str, options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / name), *options], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
