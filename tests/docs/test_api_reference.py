"""docs/reference/api.md says of every public name what the code says: signatures, methods, properties, fields of errors."""

from __future__ import annotations

import ast
import enum
import inspect
import re
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import attrs
import pytest
from pydantic import BaseModel

import galaxy_core

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
PUBLIC = {name: getattr(galaxy_core, name) for name in galaxy_core.__all__}
ERRORS = [name for name, value in PUBLIC.items() if isinstance(value, type) and issubclass(value, BaseException)]


def sections(page: str) -> dict[str, str]:
    """The text under each heading of names in back-ticks, by each of its names, with every blank one space."""
    found = {}
    for part in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        text = re.split(r"^## ", text, flags=re.MULTILINE)[0]
        found.update(dict.fromkeys(re.findall(r"`(\w+)`", heading), " ".join(text.split())))
    return found


SECTIONS = sections(PAGE)


def written(default: Any) -> str:
    """A default as the page writes it: what is short is written out."""
    if default is attrs.NOTHING:
        return "…"
    if isinstance(default, enum.Enum):
        return f"{type(default).__name__}.{default.name}"
    if default is None or isinstance(default, (bool, int, float, str)) or default == ():
        return repr(default).replace("'", '"')
    return "…"


def signature(function: Callable[..., Any], *, bound: bool = True) -> str:
    """The arguments as the page writes them: names and defaults, without types."""
    parameters = list(inspect.signature(function).parameters.values())[0 if bound else 1 :]
    found: list[str] = []
    for here, after in zip_longest(parameters, parameters[1:]):
        if here.kind is here.KEYWORD_ONLY and not any(one.startswith("*") for one in found):
            found.append("*")
        stars = {here.VAR_POSITIONAL: "*", here.VAR_KEYWORD: "**"}.get(here.kind, "")
        default = "" if here.default is here.empty else f"={written(here.default)}"
        found.append(f"{stars}{here.name}{default}")
        if here.kind is here.POSITIONAL_ONLY and (after is None or after.kind is not after.POSITIONAL_ONLY):
            found.append("/")
    return ", ".join(found)


def is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def members(name: str, kind: type) -> Iterator[str]:
    """What the section of a class has to write in back-ticks."""
    if issubclass(kind, enum.Enum):
        yield from kind.__members__
        return
    known = set(dir(BaseModel)) if issubclass(kind, BaseModel) else set(dir(object))
    if not is_protocol(kind) and not issubclass(kind, BaseModel):
        yield f"{name}({signature(kind)})"
        known |= set(inspect.signature(kind).parameters)  # these stand in the signature
    if is_protocol(kind):
        yield from kind.__annotations__
    for member in sorted(set(dir(kind)) - known):
        if member.startswith("_"):
            continue
        value = inspect.getattr_static(kind, member)
        if isinstance(value, classmethod):
            yield f"{name}.{member}({signature(getattr(kind, member))})"
        elif inspect.isfunction(value):
            yield f"{member}({signature(value, bound=False)})"
        else:
            yield member


def quoted(section: str) -> list[str]:
    return re.findall(r"`([^`]+)`", section)


def missing(name: str, section: str) -> list[str]:
    """What the code has, and the section of `name` does not say."""
    value = PUBLIC[name]
    wanted = members(name, value) if isinstance(value, type) else iter([f"{name}({signature(value)})"])
    said = quoted(section)
    return [member for member in wanted if member not in said and f"{member}()" not in said]


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in ERRORS])
def test_a_public_name_has_a_section_that_says_all_of_it(name: str) -> None:
    assert name in SECTIONS
    assert missing(name, SECTIONS[name]) == []


def test_there_is_no_section_for_a_name_that_is_gone() -> None:
    assert set(SECTIONS) <= set(PUBLIC)


def test_a_section_that_forgets_something_is_found() -> None:
    section = SECTIONS["Reference"]
    assert missing("Reference", section.replace('value="stdout"', 'value="value"')) == [
        'Reference(task_id, value="stdout")'
    ]
    assert missing("Reference", section.replace("`read(result)`", "")) == ["read(result)"]


# ------------------------------------------------------------------------------------------------------------- errors


def rows() -> dict[str, tuple[list[str], list[str]]]:
    """The bases and the fields of each error in the table, by its name."""
    found = {}
    for line in PAGE.partition("\n## Errors\n")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            found[quoted(cells[0])[0]] = (quoted(cells[1]), quoted(cells[2]))
    return found


def fields() -> dict[str, list[str]]:
    """The attributes that each error class sets on itself, as the source has them; but `args`, which every exception has."""
    modules = [
        ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "galaxy_core" / "errors").glob("*.py"))
    ]
    return {
        node.name: [
            inner.attr
            for inner in ast.walk(node)
            if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and inner.attr != "args"
        ]
        for module in modules
        for node in module.body
        if isinstance(node, ast.ClassDef)
    }


def test_every_error_has_a_row_with_its_bases_and_fields() -> None:
    table, own = rows(), fields()
    assert sorted(table) == sorted(ERRORS)
    for name, (bases, noted) in table.items():
        actual = [base.__name__ for base in PUBLIC[name].__bases__ if base is not galaxy_core.GalaxyError]
        assert bases == actual, name
        assert noted == own[name], name
