"""The tree in the docstring of galaxy_core.errors is the tree of the classes, and all of them can be had from there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from galaxy_core import errors

FOLDER = Path(__file__).resolve().parents[2] / "galaxy_core" / "errors"


def _classes() -> dict[str, list[str]]:
    """The bases of each exception class of the package, by the class's name."""
    found = {
        node.name: [ast.unparse(base) for base in node.bases]
        for path in sorted(FOLDER.glob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    return {name: bases for name, bases in found.items() if name.endswith("Error")}


def _drawn(docstring: str) -> dict[str, tuple[str | None, str | None]]:
    """The parent and the builtin in brackets of each class of the drawing, by the class's name."""
    found: dict[str, tuple[str | None, str | None]] = {}
    above: list[tuple[int, str]] = []
    for line in docstring.splitlines():
        match = re.match(r"^([\s│├└─]*)(\w+Error)\b(?: \((\w+)\))?", line)
        if match is None:
            continue
        column, name, builtin = match.end(1), match.group(2), match.group(3)
        while above and above[-1][0] >= column:
            above.pop()
        found[name] = (above[-1][1] if above else None, builtin)
        above.append((column, name))
    return found


def test_the_drawn_tree_is_the_tree_of_the_classes() -> None:
    classes = _classes()
    drawn = _drawn(errors.__doc__ or "")
    assert sorted(drawn) == sorted(classes)
    assert set(classes) <= set(errors.__all__)
    for name, bases in classes.items():
        parent, builtin = drawn[name]
        ours = [base for base in bases if base in classes]
        builtins = [base for base in bases if base not in classes]
        assert ([parent] if parent else []) == ours, name
        assert builtin in {None, *builtins}, name
        assert builtins in ([], ["Exception"]) or builtin is not None, name


def test_the_drawing_is_read_with_its_parents_and_builtins() -> None:
    drawing = "AError\n├── BError (ValueError)   what\n│   └── CError   what\n└── DError   what"
    assert _drawn(drawing) == {
        "AError": (None, None),
        "BError": ("AError", "ValueError"),
        "CError": ("BError", None),
        "DError": ("AError", None),
    }
