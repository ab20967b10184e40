"""Skeletons of plugin distributions, from the files in `templates/`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from attrs import frozen

from galaxy_core import PluginRegistry
from galaxy_core_cli import say

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
SUFFIX = ".template"
#: What there are skeletons of, and what each needs beside the kernel.
KINDS: Mapping[str, tuple[str, ...]] = {
    "strategy": (),
    "transport": ("anyio>=4.4", "pydantic>=2.7"),
    "observer": ("anyio>=4.4",),
    "journal": ("anyio>=4.4",),
}


@frozen
class Made:
    """Where, and what it is called."""

    folder: Path
    distribution: str


def make(kind: str, name: str, folder: str | None = None) -> Made:
    """Write a skeleton; `kind` is one of `KINDS`.

    Raises:
        WrongValueError: the name cannot be, or the folder is there and not empty.
    """
    if not NAME.fullmatch(name):
        raise say.WrongValueError(
            f"{name!r} cannot be the name of a {kind}: small letters, digits and '_', beginning with a letter, at most 40"
        )
    if keyword.iskeyword(name):
        raise say.WrongValueError(
            f"{name!r} cannot be the name of a {kind}: it is a word of Python's own; choose another"
        )
    distribution = f"galaxy-core-{name.replace('_', '-')}"
    target = Path(folder or distribution)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise say.WrongValueError(f"{target} is there already, and not empty: name another with --dir, or remove it")
    _check_free(kind, name, distribution)
    major, minor = version("galaxy-core").split(".")[:2]
    kernel = f">={major}.{minor},<{major}.{int(minor) + 1}"
    words = {
        "@KIND@": kind,
        "@NAME@": name,
        "@UPPER@": name.upper(),
        "@CLASS@": "".join(part.capitalize() for part in name.split("_")),
        "@PACKAGE@": f"galaxy_core_{name}",
        "@DISTRIBUTION@": distribution,
        "@KERNEL@": kernel,
        "@NEEDS@": ", ".join(f'"{need}"' for need in (f"galaxy-core{kernel}", *KINDS[kind])),
    }
    for part in ("common", kind):
        for path, text in _files(files("galaxy_core_cli") / "templates" / part, ""):
            place = target / _filled(path, words)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(_filled(text, words), encoding="utf-8")
    return Made(target, distribution)


def _filled(template: str, words: Mapping[str, str]) -> str:
    return re.sub("|".join(words), lambda found: words[found[0]], template)


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    """Path and text of each template, without the suffix that keeps tools from taking them for what they become."""
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            yield from _files(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield f"{path}{entry.name.removesuffix(SUFFIX)}", entry.read_text(encoding="utf-8")


def _check_free(kind: str, name: str, distribution: str) -> None:
    """Raises a WrongValueError when it could not be installed beside what is there."""
    registry = PluginRegistry()
    known = {"strategy": registry.strategies, "transport": registry.transports, "journal": registry.journals}
    if name in known.get(kind, ()):  # observers have no names
        raise say.WrongValueError(f"there is a {kind} {name!r} already: choose another name")
    try:
        version(distribution)
    except PackageNotFoundError:
        return
    raise say.WrongValueError(f"a distribution {distribution} is installed already: choose another name")
