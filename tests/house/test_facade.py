"""`galaxy_core` itself: light to import, sorted, and documented name by name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import galaxy_core

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["pydantic", "yaml", "jmespath", "trio", "keyring", "rich", "click"]


def test_importing_the_kernel_loads_neither_documents_nor_trio_nor_any_plugin() -> None:
    code = "import galaxy_core, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = done.stdout.split()
    assert "galaxy_core" in loaded
    assert [name for name in loaded if name in HEAVY or re.match(r"galaxy_core_\w+$", name)] == []


def test_the_public_names_are_sorted_and_stand_once() -> None:
    assert list(galaxy_core.__all__) == sorted(set(galaxy_core.__all__))


@pytest.mark.parametrize("name", galaxy_core.__all__)
def test_a_public_name_exists_and_is_in_the_reference(name: str) -> None:
    assert hasattr(galaxy_core, name)
    reference = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert re.search(rf"`{re.escape(name)}\b", reference), f"docs/reference/api.md says nothing of `{name}`"


def test_the_facade_imports_and_defines_nothing_of_its_own() -> None:
    """Beside imports it may have `__all__`, and the `__getattr__` and `__dir__` by which a heavy name is loaded late."""
    module = ast.parse((ROOT / "galaxy_core" / "__init__.py").read_text(encoding="utf-8"))
    defined = [
        node.name for node in module.body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [name for name in defined if name not in {"__getattr__", "__dir__"}] == []
