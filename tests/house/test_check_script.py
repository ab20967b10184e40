"""The command that checks everything does it as the README and the gate do."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_tests_are_run_as_the_readme_says() -> None:
    spec = importlib.util.spec_from_file_location("check_script", ROOT / "scripts" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script  # its dataclass looks itself up there
    try:
        spec.loader.exec_module(script)
    finally:
        del sys.modules[spec.name]
    [command] = [step.command for step in script.test_steps() if step.name == "tests"]
    found = re.search(r"\.venv/bin/pytest (-n [^`\n]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    assert found[1].split() == command[4:-1]
