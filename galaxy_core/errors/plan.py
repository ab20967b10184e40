"""A plan, an edit of one, or a document of it that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import asdict, frozen

from galaxy_core.errors.root import GalaxyError, hint, nearest, shortened_way


class PlanError(GalaxyError, ValueError):
    """A plan that cannot be."""


class DuplicateIdError(PlanError):
    """`kind` ("Task", "Dependency") and `id` name what stands twice."""

    def __init__(self, kind: str, id: str) -> None:
        self.kind, self.id = kind, id
        super().__init__(f"{kind} with ID {id} already exists")


class UnknownTaskError(PlanError):
    """`role` is "Task", "Source task" or "Target task"; `near` the ids that may have been meant, `known` up to five that there are."""

    def __init__(self, task_id: str, known: Iterable[str] = (), role: str = "Task") -> None:
        ids = list(known)
        self.task_id, self.role, self.near, self.known = task_id, role, nearest(task_id, ids), tuple(ids[:5])
        super().__init__(f"{role} {task_id} not found{hint(self.near)}")


class CycleError(PlanError):
    """`cycle` lists the task ids around the cycle, the first repeated at the end; of very many the message names some."""

    def __init__(self, cycle: Sequence[str], link: tuple[str, str] | None = None) -> None:
        self.cycle, self.link = tuple(cycle), link
        way = shortened_way(" -> ".join(self.cycle))
        if link is None:
            super().__init__(f"DAG contains cycles: {way}")
        else:
            super().__init__(f"Adding dependency {link[0]} -> {link[1]} would create a cycle: {way}")


class ImmutableError(PlanError):
    """I3: only what has not started can be changed. `status` is the task's."""

    def __init__(self, what: str, task_id: str, status: str, verb: str = "modify", remedy: str = "") -> None:
        self.what, self.task_id, self.status = what, task_id, status
        of = f"{what} of " if what else ""
        super().__init__(f"Cannot {verb} {of}{status} task {task_id}{': ' if remedy else ''}{remedy}")


class TransitionError(PlanError):
    """A status that cannot follow the present one."""

    def __init__(self, verb: str, task_id: str, status: str, why: str | None = None) -> None:
        self.verb, self.task_id, self.status = verb, task_id, status
        super().__init__(why or f"Cannot {verb} task {task_id} in status {status}")


#: So many problems of a plan does its error keep, so that who looks for them may stop when there are more; so many of
#: them does its text tell.
KEPT_PROBLEMS: Final = 1000
TOLD_PROBLEMS: Final = 20


class InvalidPlanError(PlanError):
    """`problems` are the first `KEPT_PROBLEMS` of those that are given; `more` counts the rest.

    The message tells the first twenty.
    """

    def __init__(self, problems: Iterable[str], prefix: str = "Invalid DAG") -> None:
        found = tuple(problems)
        self.problems, self.more = found[:KEPT_PROBLEMS], len(found[KEPT_PROBLEMS:])
        untold = len(found) - TOLD_PROBLEMS
        super().__init__(f"{prefix}: {list(found[:TOLD_PROBLEMS])}" + (f" and {untold:,} more" if untold > 0 else ""))


class InputError(PlanError):
    """A reference to another task's output that leads nowhere."""

    def __init__(self, reference: str, why: str) -> None:
        self.reference, self.why = reference, why
        super().__init__(f"input {reference} cannot be had: {why}")


@frozen
class EditProblem:
    """One reason why a transaction cannot be.

    `kind` is "unknown" (no such task, link or run), "duplicate", "started" (I3), "cycle" (I2), "changed" (somebody else
    has edited it since), "future" (a base revision that is still to come), "invalid" (a value that cannot be), "input"
    (a task takes what it does not wait for), "refused" (by a review) or "over" (too late). `operation` is the place of
    the operation in its transaction, from 0; None when it is about all of them. `subject` is the id of the task or link
    in question. `is_conflict` says that it would not be, had the plan not moved since the transaction was prepared.
    """

    kind: str
    reason: str
    operation: int | None = None
    subject: str = ""
    is_conflict: bool = False

    def to_dict(self) -> dict[str, object]:
        """Plain data, for programs."""
        return asdict(self)


class EditError(PlanError):
    """A transaction that cannot be; nothing was changed. `problems` lists every reason."""

    def __init__(self, problems: Sequence[EditProblem], what: str = "The edit") -> None:
        self.problems = tuple(problems)
        super().__init__(f"{what} was refused, and nothing was changed: {self._reasons(numbered=True)}")

    def _reasons(self, *, numbered: bool = False) -> str:
        reasons = [
            f"operation {problem.operation}: {problem.reason}"
            if numbered and problem.operation is not None
            else problem.reason
            for problem in self.problems[:20]
        ]
        more = [f"and {len(self.problems) - 20} more"] if len(self.problems) > 20 else []
        return "; ".join(reasons + more)


class EditConflictError(EditError):
    """A transaction that no longer fits, because the plan has moved. Rebase it: what still fits is kept."""


class CommandExecutionError(EditError):
    """A command of an editor that cannot be; nothing was changed. `command` describes it."""

    def __init__(self, command: str, problems: Sequence[EditProblem]) -> None:
        super().__init__(problems)
        self.command = command
        self.args = (f"Command execution failed: Command cannot be executed: {command}. Reason: {self._reasons()}",)


class CommandUndoError(EditError):
    """An undo that cannot be; nothing was changed, and the history is as it was. `command` describes what stays."""

    def __init__(self, command: str, problems: Sequence[EditProblem]) -> None:
        super().__init__(problems)
        self.command = command
        self.args = (f"Command undo failed: {command}. Reason: {self._reasons()}",)


class DocumentError(PlanError):
    """A plan or inventory document is wrong.

    `source` names the file (or "<text>"); `problems` are `(path, line, text)`, path such as ``tasks.a.run[0]`` and
    line 1-based or None where the format has none. Of a cycle of many tasks `problems` name all, the message some.
    """

    def __init__(self, source: str, problems: Sequence[tuple[str, int | None, str]]) -> None:
        self.source, self.problems = source, tuple(problems)
        lines = []
        for path, line, text in self.problems:
            place = f"{source}:{line}" if line is not None else source
            lines.append(f"{place}: {path + ': ' if path else ''}{shortened_way(text)}")
        super().__init__("\n".join(lines))
