"""Each hook spec has a heading with its exact signature in the reference, and a test that names it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _hooks() -> dict[str, str]:
    """Signature by name, written as the source of hookspecs.py has it, on one line and without defaults' spacing."""
    module = ast.parse((ROOT / "galaxy_core" / "extension" / "hookspecs.py").read_text(encoding="utf-8"))
    return {
        node.name: f"{node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns) if node.returns else 'None'}"
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("galaxy_")
    }


HOOKS = _hooks()


def test_there_are_hooks() -> None:
    assert {"galaxy_strategies", "galaxy_transports", "galaxy_journals"} <= set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_heading_with_its_signature(name: str) -> None:
    reference = (ROOT / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
    headings = [line.lstrip("#").strip().strip("`") for line in reference.splitlines() if line.startswith("#")]
    assert HOOKS[name] in headings


def test_the_reference_has_no_heading_for_a_hook_that_is_gone() -> None:
    reference = (ROOT / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
    headings = [line.lstrip("#").strip().strip("`") for line in reference.splitlines() if line.startswith("#")]
    documented = {heading.partition("(")[0] for heading in headings if heading.startswith("galaxy_")}
    assert documented <= set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_named_by_a_test(name: str) -> None:
    folders = [ROOT / "tests" / "extension", ROOT / "tests" / "runtime", *(ROOT / "plugins").glob("*/tests")]
    tests = [path for folder in folders for path in folder.rglob("test_*.py")]
    assert any(name in path.read_text(encoding="utf-8") for path in tests)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_spec_has_a_docstring(name: str) -> None:
    module = ast.parse((ROOT / "galaxy_core" / "extension" / "hookspecs.py").read_text(encoding="utf-8"))
    [spec] = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    assert ast.get_docstring(spec)
