"""What holds for every file that is or would be committed."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_COMMITTED = {"machine-report.html", ".git", ".venv", "build", "dist", "__pycache__"}
MOST_LINES = 450
MOST_FUNCTION_LINES = 60
# Put together here, so that this file does not name what it forbids.
FORBIDDEN = {
    "a package index": re.compile(
        r"\b(?:py" + r"pi|pythonhos" + r"ted|npm" + r"js|registry\.npm" + r")\.(?:org|com|io)\b"
    ),
    "a path of one machine": re.compile(r"(?<![\w.])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me/\w+|Us" + r"ers/\w+)/[\w.]"),
}


def _files() -> list[Path]:
    """What git would commit; where git cannot tell, all that is not made by a tool."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False) if (ROOT / ".git").exists() else None
    if listed is not None and listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
        return sorted(path for path in paths if path.is_file())
    return sorted(_walk(ROOT))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if path.name not in NOT_COMMITTED and not path.name.endswith(("_cache", ".egg-info", ".hypothesis")):
                yield from _walk(path)
        elif path.name not in NOT_COMMITTED:
            yield path


FILES = _files()
MODULES = [
    path
    for path in FILES
    if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in {"galaxy_core", "plugins", "scripts", "examples"}
]
SOURCES = [path for path in MODULES if "tests" not in path.relative_to(ROOT).parts]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_are_files() -> None:
    assert ROOT / "pyproject.toml" in FILES
    assert ROOT / "galaxy_core" / "errors" / "__init__.py" in SOURCES


def test_every_module_can_be_read_in_one_sitting() -> None:
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_every_function_fits_on_a_screen() -> None:
    lengths = {
        f"{_name(path)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > MOST_FUNCTION_LINES} == {}


def _broad_excepts(text: str) -> Iterator[int]:
    """The lines of those that catch everything and neither raise again nor have a comment on or beside their line."""
    commented = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
        and not re.fullmatch(r"#\s*(noqa|type: ignore)(:\s*[A-Z]+\d+(,?\s*[A-Z]+\d+)*)?\s*", token.string)
    }
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        broad = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
        raised = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in node.body)
        if broad and not raised and commented.isdisjoint({node.lineno - 1, node.lineno, node.lineno + 1}):
            yield node.lineno


def test_every_broad_except_says_who_receives_the_error() -> None:
    found = [f"{_name(path)}:{line}" for path in SOURCES for line in _broad_excepts(path.read_text(encoding="utf-8"))]
    assert found == []


def test_a_broad_except_is_found_unless_it_is_explained_or_raises_again() -> None:
    silent = "try:\n    f()\nexcept Exception:  # noqa: S110\n    pass\n"
    assert list(_broad_excepts(silent)) == [3]
    assert list(_broad_excepts(silent.replace("S110", "S110 - the caller logs it"))) == []
    assert list(_broad_excepts("try:\n    f()\nexcept BaseException:\n    raise\n")) == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    found = [
        f"{_name(path)}:{number}: {line.strip()[:120]}"
        for path in FILES
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


def test_no_file_holds_the_line_of_a_merge_conflict() -> None:
    found = [_name(path) for path in FILES if re.search(rb"^(<{7}|>{7}) ", path.read_bytes(), re.MULTILINE)]
    assert found == []
