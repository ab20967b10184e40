"""JMESPath on other people's documents, in bounded time and memory. Loads jmespath: import it with the first query.

The language has no loops, but ``[@,@][]|`` twenty-four times over makes sixteen million values of one. So a query has a
bound on its size when it is read, and a budget of values when it is evaluated.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jmespath
from jmespath import visitor
from jmespath.exceptions import JMESPathError

from galaxy_core.model.condition import Expression
from galaxy_core.model.query_faults import faults, looked_at
from galaxy_core.model.query_forms import other_form

MAX_LENGTH = Expression.MAX_LENGTH
MAX_DEPTH = 50
MAX_NODES = 200
#: How many steps, values and pieces of text one evaluation may take: about a second of work.
BUDGET = 1_000_000
#: Text is copied and compared so much faster than values are visited that so many characters count as one.
CHARACTERS = 64

_BARE_NUMBER = re.compile(r"[<>=]\s*-?\d")
_DUPLICATING = frozenset({"multi_select_list", "multi_select_dict"})
#: Functions that go down into the values they are given, or make text that is as long as all of them.
_DEEP = frozenset({"to_string", "contains", "join"})


class Query:
    """A JMESPath expression; `roots` are the names that every document has on which it is evaluated, if they are known.

    Raises:
        ValueError: the text is no JMESPath, too large, or asks for what cannot be: functions that there are not or that
            take other numbers of arguments, and names that are not among the roots.
    """

    __slots__ = ("_duplicates", "_parsed")

    def __init__(self, text: str, roots: Collection[str] | None = None) -> None:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"a JMESPath expression may have {MAX_LENGTH} characters, this one has {len(text)}")
        try:
            self._parsed: Any = _parsed(text)
        except (JMESPathError, RecursionError) as error:
            hint = "; numbers and other literals stand in back-ticks: `5`" if _BARE_NUMBER.search(text) else ""
            why = str(error).partition("\n")[0].removesuffix(", for expression:").rstrip(": ")
            raise ValueError(f"not a JMESPath expression: {text!r}: {why}{hint}{_meant(text, roots, True)}") from error
        kinds = []
        for kind, depth in _nodes(self._parsed):
            kinds.append(kind)
            if depth > MAX_DEPTH:
                raise ValueError(f"the JMESPath expression is nested more than {MAX_DEPTH} deep: {text!r}")
            if len(kinds) > MAX_NODES:
                raise ValueError(f"the JMESPath expression has more than {MAX_NODES} parts: {text!r}")
        if wrong := faults(self._parsed, roots):
            meant = _meant(text, roots, False)
            raise ValueError(f"the JMESPath expression {text!r} cannot work: {'; '.join(wrong)}{meant}")
        self._duplicates = not _DUPLICATING.isdisjoint(kinds)

    def looks_at(self, name: str) -> bool:
        """Whether it looks at this root of the document."""
        return name in looked_at(self._parsed)

    def search(self, document: Any) -> Any:
        """What it finds in a document; None when it finds nothing.

        Raises:
            ValueError: it cannot be evaluated on this document, or is too much work.
        """
        interpreter = _Interpreter()
        try:
            found = interpreter.visit(self._parsed, document)
            if self._duplicates:  # few values in memory may be very many when they are written out
                interpreter.pay_for(found)
        except (JMESPathError, RecursionError) as error:
            raise ValueError(str(error)) from error
        return found


def _meant(text: str, roots: Collection[str] | None, tell_names: bool) -> str:
    """The nearest text that is an expression over these roots; else, unless that was told, what there is to look at."""
    if roots is None:
        return ""
    form = other_form(text, roots)
    if form is not None and len(form) <= MAX_LENGTH:
        try:
            parsed = _parsed(form)
        except (JMESPathError, RecursionError):
            parsed = None
        if parsed is not None and not faults(parsed, roots):
            return f"; did you mean {form!r}?"
    names = ", ".join(map(repr, roots))
    return f"; write it as in \"exit_code == `0` && contains(stdout, 'ok')\", over {names}" if tell_names else ""


def _parsed(text: str) -> Any:
    with (
        warnings.catch_warnings()
    ):  # `foo` for `"foo"` is pending to be deprecated, and nothing to trouble an author with
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return jmespath.compile(text).parsed


def _nodes(root: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Kind and depth of every node."""
    open_ = [(root, 1)]
    while open_:
        node, depth = open_.pop()
        yield node["type"], depth
        open_ += [(child, depth + 1) for child in node["children"] if isinstance(child, Mapping)]


class _Interpreter(visitor.TreeInterpreter):
    """Pays for each step, and for what the step is about to copy, before it is done."""

    def __init__(self) -> None:
        super().__init__()
        self._left = BUDGET

    def _pay(self, price: int) -> None:
        self._left -= price
        if self._left < 0:
            raise ValueError(f"too much work: it takes more than {BUDGET} steps on this document")

    def pay_for(self, value: Any) -> None:
        """For a value with all that is in it, each time that it is in it."""
        open_ = [value]
        while open_:
            one = open_.pop()
            self._pay(_width(one))
            if isinstance(one, list):
                open_ += one
            elif isinstance(one, dict):
                open_ += one.values()

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._pay(1)
        return super().visit(node, *args, **kwargs)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if isinstance(base, list):
            self._pay(sum(map(_width, base)))
        return super().visit_flatten(_with(node, base), value)

    def visit_slice(self, node: Any, value: Any) -> Any:
        self._pay(_width(value))
        return super().visit_slice(node, value)

    def visit_comparator(self, node: Any, value: Any) -> Any:
        sides = [self.visit(side, value) for side in node["children"]]
        for side in sides:
            self.pay_for(side)
        return super().visit_comparator(_with(node, *sides), value)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        arguments = [self.visit(child, value) for child in node["children"]]
        for argument in arguments:
            if node["value"] in _DEEP:
                self.pay_for(argument)
            else:
                self._pay(_width(argument))
        return super().visit_function_expression(_with(node, *arguments), value)


def _with(node: Any, *values: Any) -> Any:
    """The node on values that are known by now."""
    return {**node, "children": [{"type": "literal", "value": value, "children": []} for value in values]}


def _width(value: Any) -> int:
    """What a value costs without what is in it."""
    if isinstance(value, str):
        return 1 + len(value) // CHARACTERS
    return 1 + len(value) if isinstance(value, list | dict) else 1
