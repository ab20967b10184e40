"""On which line of a YAML or JSON file a key stands. TOML files, and standard input, have no lines here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

Place = tuple[str | int, ...]


def lines_of(path: str | None, places: Iterable[Place]) -> dict[Place, int]:
    """The line of each place, or of the innermost key around it that is there. Reads the file once more.

    The file is known to be a plan or an inventory, so it is small and sound enough to be looked at by PyYAML, which
    takes JSON, too.
    """
    if path is None or path == "-" or path.lower().endswith(".toml"):
        return {}
    import yaml

    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):  # somebody has changed it meanwhile: then without lines
        return {}
    keys: dict[int, dict[str, tuple[int, Any]]] = {}  # of each mapping that was looked into: line and value by key
    found = {}
    for place in places:
        node, line = root, None
        for key in place:
            if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
                continue
            if not isinstance(node, yaml.MappingNode):
                break
            if id(node) not in keys:
                keys[id(node)] = {name.value: (name.start_mark.line + 1, value) for name, value in node.value}
            if str(key) not in keys[id(node)]:
                break
            line, node = keys[id(node)][str(key)]
        if line is not None:
            found[place] = line
    return found
