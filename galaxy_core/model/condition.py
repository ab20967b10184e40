"""Conditions of links: a callable, or an expression in a safe language."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any, Final

from galaxy_core.errors import PlanError
from galaxy_core.model.reasons import shown, text_of
from galaxy_core.model.records.unkept import cut_output
from galaxy_core.model.result import ExecutionResult
from galaxy_core.model.serial import plain

#: Called with the prerequisite's payload, or with payload and ExecutionResult when it takes two arguments.
Evaluator = Callable[..., Any]
#: The names that an `Expression` sees.
ROOTS: Final = ("status", "exit_code", "stdout", "stderr", "value", "json", "error")


class Expression:
    """A condition as text: JMESPath over ``{status, exit_code, stdout, stderr, value, json, error}`` of the prerequisite.

    JMESPath has no loops, no regular expressions and no way to Python objects; size and work are bounded. `json` is the parsed standard output,
    null when it is not JSON. The result counts as JMESPath counts: empty strings, lists and objects, false and null are
    not met. Literals stand in back-ticks: ``exit_code == `0```.

    Raises:
        ValueError: the text is not JMESPath, too large, calls functions that there are not or with a wrong number of
            arguments, or looks at other names of the prerequisite than these; when called: it cannot be evaluated, or is
            too much work.
    """

    MAX_LENGTH = 1000

    __slots__ = ("_query", "text")

    def __init__(self, text: str) -> None:
        from galaxy_core.model.query import Query  # loads jmespath, with the first plan that has a condition

        self._query = Query(text, ROOTS)
        self.text = text

    def __call__(self, payload: Any, outcome: ExecutionResult | None = None) -> bool:
        lost = cut_output(payload, outcome, self._query.looks_at)
        if lost is not None:
            raise ValueError(f"{self.text!r} looks at its output: {lost.why}")
        if outcome is not None and outcome._is_unheard and self._asks_for_output:
            raise ValueError(f"{self.text!r} looks at its output, and {outcome._why_unheard}")
        found = self._query.search(outcome_document(payload, outcome))
        return found is not None and found is not False and found not in ("", [], {})

    @property
    def asks_for_status(self) -> bool:
        """Whether it looks at `status`, and so can judge how a task ended that never ran to an outcome."""
        return self._query.looks_at("status")

    @property
    def _asks_for_output(self) -> bool:
        """Whether it looks at what the task printed or returned."""
        return any(self._query.looks_at(name) for name in ("stdout", "stderr", "value", "json"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


class LostCondition:
    """Stands in for a condition that was a Python function, which no document can keep: judging it is an error.

    `words` are those of the link. Two of them are equal, whatever they stand for: neither says anything of it.
    """

    __slots__ = ("words",)

    def __init__(self, words: str | None) -> None:
        self.words = words

    def __call__(self, payload: Any) -> bool:
        named = f"the condition {self.words!r}" if self.words else "the condition"
        raise PlanError(f"{named} was a Python function, which a document cannot keep: set condition_evaluator")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LostCondition)

    def __hash__(self) -> int:
        return hash(LostCondition)

    def __repr__(self) -> str:
        return f"LostCondition({self.words!r})"


def is_function(evaluator: Evaluator | None) -> bool:
    """Whether it is a program's own function, which no document can keep."""
    return evaluator is not None and not isinstance(evaluator, (Expression, LostCondition))


def outcome_document(payload: Any, outcome: ExecutionResult | None) -> dict[str, Any]:
    """What an `Expression` is evaluated on."""
    value = plain(payload)
    document: dict[str, Any] = {"value": value, "json": value, "status": None, "exit_code": None, "error": None}
    document |= {"stdout": None, "stderr": None}
    if outcome is not None:
        document |= {"status": str(outcome.status), "exit_code": outcome.exit_code}
        document |= {"stdout": outcome.stdout, "stderr": outcome.stderr}
        document["error"] = None if outcome.error is None else text_of(outcome.error)
        if outcome.stdout is not None:
            try:
                document["json"] = json.loads(outcome.stdout)
            except (ValueError, RecursionError):
                document["json"] = None
    return document


def checked_evaluator(evaluator: Any) -> Evaluator | None:
    """What decides a link, as it is.

    Raises:
        PlanError: it is neither None nor anything that can be called, such as an expression that was given as its text.
    """
    if evaluator is None or callable(evaluator):
        return evaluator  # type: ignore[no-any-return]
    if not isinstance(evaluator, str):
        raise PlanError(f"a condition is a function, an Expression or None, not {shown(evaluator)}")
    try:
        Expression(evaluator)
    except ValueError as error:
        raise PlanError(f"a condition is a function or an Expression, not a text; as an expression: {error}") from error
    raise PlanError(f"a condition is a function or an Expression, not a text: write Expression({evaluator!r})")


def takes_outcome(evaluator: Evaluator) -> bool:
    """Whether it is to be called with payload and outcome: it takes two positional arguments and insists on both."""
    if isinstance(evaluator, Expression):
        return True
    try:
        parameters = inspect.signature(evaluator).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature: they get the payload alone
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len([p for p in positional if p.default is p.empty]) >= 2
