"""What can be said against a JMESPath expression without a document: functions that there are not, arguments, roots."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from jmespath.functions import Functions

from galaxy_core.model.explain import hint

_FUNCTIONS: Final[Mapping[str, Mapping[str, Any]]] = Functions.FUNCTION_TABLE


def faults(parsed: Mapping[str, Any], roots: Collection[str] | None = None) -> list[str]:
    """Sentences on what makes a parsed expression fail, or mean nothing, on whatever it is evaluated; each once.

    `roots` are the names that the document has; None when they are not known. A name is held against them only where
    it certainly is looked up in the document itself, not in a part of it: when in doubt, nothing is said.
    """
    found = _Faults(roots)
    found.visit(parsed, True)
    return list(dict.fromkeys(found.sentences))


def looked_at(parsed: Mapping[str, Any]) -> set[str]:
    """The names that are certainly looked up in the document itself."""
    found = _Faults(None)
    found.visit(parsed, True)
    return found.names


class _Faults:
    """Walks the tree as the interpreter does: `at_root` says whether a node certainly is evaluated on the document."""

    def __init__(self, roots: Collection[str] | None) -> None:
        self.sentences: list[str] = []
        self.names: set[str] = set()
        self._roots = roots

    def visit(self, node: Mapping[str, Any], at_root: bool) -> bool:
        """Whether the node's value certainly is the document."""
        kind, children = node["type"], [child for child in node["children"] if isinstance(child, Mapping)]
        if kind in {"current", "identity"}:
            return at_root
        if kind in {"subexpression", "index_expression", "pipe"}:
            for child in children:  # each is evaluated on what the one before has given
                at_root = self.visit(child, at_root)
            return at_root
        if kind == "field":
            name = node["value"]
            if at_root:
                self.names.add(name)
            # A bare null is a name, too, but finds what its author means by it.
            if at_root and self._roots is not None and name not in self._roots and name != "null":
                self.sentences.append(_unknown_root(name, self._roots))
        elif kind == "function_expression":
            self.sentences += _call_faults(node["value"], len(children))
        if kind in {"projection", "value_projection", "filter_projection"}:
            self.visit(children[0], at_root)
            for child in children[1:]:  # evaluated on the elements
                self.visit(child, False)
        else:
            for child in children:
                self.visit(child, at_root and kind != "expref")  # who calls an &expression says what it sees
        return False


def _unknown_root(name: str, roots: Collection[str]) -> str:
    if name in {"true", "false"}:
        return f"there is no {name!r} to look at; literals stand in back-ticks: `{name}`"
    allowed = ", ".join(map(repr, roots))
    return f"there is no {name!r} to look at{hint(name, roots)}; allowed are {allowed}, and what lies below them"


def _call_faults(name: str, given: int) -> Iterator[str]:
    if name not in _FUNCTIONS:
        yield f"there is no function {name!r}{hint(name, _FUNCTIONS)}; allowed are {', '.join(sorted(_FUNCTIONS))}"
        return
    signature = _FUNCTIONS[name]["signature"]
    wanted, at_least = len(signature), bool(signature and signature[-1].get("variadic"))
    if given < wanted or (given > wanted and not at_least):
        arguments = f"{'at least ' if at_least else ''}{wanted} argument{'' if wanted == 1 else 's'}"
        yield f"{name}() takes {arguments}, here it has {given or 'none'}"
