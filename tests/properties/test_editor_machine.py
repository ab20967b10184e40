"""An editor at random, with progress between its edits: undo and redo are exact or refused, and un-run nothing.

What the author of a plan has said in it never depends on how far it has run. So a list of what was said after each step
is all that the oracle needs: undo goes back in it, redo forth, and a refusal stays. What has started or ended is looked
at from outside, before and after each step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from galaxy_core import DependencyType, PlanError, TaskConstellation, TaskPriority, TaskStar, TaskStarLine
from galaxy_core.model.differences import said
from galaxy_core.model.edits import LINE_FIELDS, TASK_FIELDS
from galaxy_core.runtime.editor.constellation_editor import ConstellationEditor

IDS = [f"t{number}" for number in range(7)]
ids = st.sampled_from(IDS)
kinds = st.sampled_from(DependencyType)
numbers = st.integers(0, 20)


def is_five(payload: Any) -> bool:
    return payload == 5  # type: ignore[no-any-return]


FIELDS: st.SearchStrategy[Mapping[str, Any]] = st.sampled_from(
    [
        {"name": "new"},
        {"priority": TaskPriority.HIGH},
        {"target_device_id": "d1"},
        {"task_data": {"k": [1]}},
        {"retry_count": 2, "timeout": 3},
        {"description": "words", "name": ""},
        {},
    ]
)
LINKS: st.SearchStrategy[Mapping[str, Any]] = st.sampled_from(
    [
        {"dependency_type": DependencyType.CONDITIONAL, "condition_evaluator": is_five},
        {"dependency_type": DependencyType.SUCCESS_ONLY},
        {"metadata": {"k": 1}},
        {"condition_description": "words"},
        {"condition_evaluator": None},
    ]
)
pairs = st.lists(st.tuples(ids, ids, kinds), max_size=5)


@st.composite
def one_edit(draw: st.DrawFn) -> Callable[[ConstellationEditor], Any]:
    """Something that may be possible."""
    task_id, other, number = draw(ids), draw(ids), draw(numbers)
    fields, link, kind = draw(FIELDS), draw(LINKS), draw(kinds)

    def line_id(editor: ConstellationEditor) -> str:
        lines = editor.list_dependencies()
        return lines[number % len(lines)].line_id if lines else "none"

    return draw(  # type: ignore[no-any-return]
        st.sampled_from(
            [
                lambda editor: editor.add_task({"task_id": task_id, "tips": ["words"], **fields}),
                lambda editor: editor.add_task({"task_id": task_id, "run": ["x"], "needs": [other]}),
                lambda editor: editor.remove_task(task_id),
                lambda editor: editor.update_task(task_id, fields),
                lambda editor: editor.create_and_add_dependency(task_id, other, kind),
                lambda editor: editor.create_and_add_dependency(task_id, other, kind, line_id=f"l{number % 3}"),
                lambda editor: editor.update_dependency(line_id(editor), link),
                lambda editor: editor.remove_dependency(line_id(editor)),
            ]
        )
    )


def words_of(plan: TaskConstellation) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was said in a plan, however far it has run."""
    return (
        {task.task_id: tuple(repr(said(task, name)) for name in TASK_FIELDS) for task in plan.get_all_tasks()},
        {
            line.line_id: (
                line.from_task_id,
                line.to_task_id,
                *(repr(getattr(line, slot)) for slot in LINE_FIELDS.values()),
            )
            for line in plan.get_all_dependencies()
        },
    )


def history_of(plan: TaskConstellation) -> dict[str, Any]:
    """All that has started or ended: the very objects, how they stand, and the links by which they got there."""
    return {
        task.task_id: (
            task,
            task.status,
            task.result,
            task.error,
            task.attempts,
            tuple(repr(said(task, name)) for name in TASK_FIELDS),
        )
        for task in plan.get_all_tasks()
        if not task.is_modifiable
    }


class EditorMachine(RuleBasedStateMachine):
    @initialize(tasks=st.lists(ids, unique=True), links=pairs, runs=st.booleans())
    def open(self, tasks: list[str], links: list[tuple[str, str, DependencyType]], runs: bool) -> None:
        self.plan = TaskConstellation()
        for task_id in tasks:
            self.plan.add_task(TaskStar(task_id, description="words"))
        for source, target, kind in links:
            if source in tasks and target in tasks and tasks.index(source) < tasks.index(target):
                self.plan.add_dependency(TaskStarLine(source, target, kind, "five", is_five))
        self.editor = ConstellationEditor(self.plan, max_history_size=1000)
        self.states = [words_of(self.plan)]
        self.at = 0
        self.runs = runs

    # ------------------------------------------------------------------------------------------- edits
    def _edit(self, do: Callable[[], Any]) -> None:
        fixed, revision, before = history_of(self.plan), self.plan.revision, self.plan.to_dict()
        entries = self.editor.get_history_entries()
        try:
            do()
        except PlanError:
            assert self.plan.to_dict() == before
            assert self.editor.get_history_entries() == entries
        else:
            assert self.plan.revision - revision in (0, 1)
            if self.plan.revision == revision:
                assert self.plan.to_dict() == before
                assert self.editor.get_history_entries() == entries
            else:
                self.at += 1
                self.states[self.at :] = [words_of(self.plan)]
        self._nothing_is_un_run(fixed)

    def _nothing_is_un_run(self, fixed: dict[str, Any]) -> None:
        now = history_of(self.plan)
        assert {task_id: now.get(task_id) for task_id in fixed} == fixed

    @rule(edit=one_edit())
    def edit(self, edit: Callable[[ConstellationEditor], Any]) -> None:
        self._edit(lambda: edit(self.editor))

    @rule(edits=st.lists(one_edit(), min_size=2, max_size=4))
    def batch(self, edits: list[Callable[[ConstellationEditor], Any]]) -> None:
        self._edit(lambda: self.editor.batch_operations(edits))

    @rule(edits=st.lists(one_edit(), min_size=2, max_size=4))
    def transaction(self, edits: list[Callable[[ConstellationEditor], Any]]) -> None:
        def do() -> None:
            with self.editor.transaction():
                for edit in edits:
                    with suppress(PlanError):
                        edit(self.editor)
                seen = [task.task_id for task in self.editor.list_tasks()]
                lines = [line.line_id for line in self.editor.list_dependencies()]
            # What the editor answered inside is what came of it.
            assert sorted(seen) == sorted(self.plan.tasks)
            assert sorted(lines) == sorted(self.plan.dependencies)

        self._edit(do)

    @rule(tasks=st.lists(ids, unique=True, max_size=4), links=pairs, clear=st.booleans())
    def build(self, tasks: list[str], links: list[tuple[str, str, DependencyType]], clear: bool) -> None:
        lines = [{"from_task_id": one, "to_task_id": two, "dependency_type": kind} for one, two, kind in links]
        entries = [{"task_id": task_id, "description": "built"} for task_id in tasks]
        self._edit(lambda: self.editor.build_from_tasks_and_dependencies(entries, lines, clear))

    @rule()
    def clear(self) -> None:
        self._edit(self.editor.clear_constellation)

    @rule(links=pairs)
    def merge(self, links: list[tuple[str, str, DependencyType]]) -> None:
        other = TaskConstellation()
        for task_id in IDS[:3]:
            other.add_task(TaskStar(task_id))
        for source, target, kind in links:
            if source < target < "t3":
                other.add_dependency(TaskStarLine(source, target, kind))
        self._edit(lambda: self.editor.merge_constellation(other, "t" if len(self.plan.tasks) % 2 else ""))

    # ------------------------------------------------------------------------------------------- back and forth
    def _turn(self, turn: Callable[[], bool], to: int) -> None:
        fixed, before, here = history_of(self.plan), self.plan.to_dict(), self.at
        entries = self.editor.get_history_entries()
        try:
            turned = turn()
        except PlanError:
            assert self.plan.to_dict() == before
            assert self.editor.get_history_entries() == entries
            assert self._touches_what_is_fixed(here, to)
        else:
            assert turned == (0 <= to < len(self.states))
            if turned:
                self.at = to
                self._is_said(self.states[to])
        self._nothing_is_un_run(fixed)

    def _is_said(self, wanted: tuple[dict[str, Any], dict[str, Any]]) -> None:
        """Exactly; but links into what has ended, which went with a task, do not come back: they decide nothing more."""
        tasks, lines = words_of(self.plan)
        assert tasks == wanted[0]
        for one, other in ((lines, wanted[1]), (wanted[1], lines)):
            for line_id, words in one.items():
                assert other.get(line_id) == words or not self.plan.is_task_modifiable(words[1])

    def _touches_what_is_fixed(self, here: int, to: int) -> bool:
        one, other = self.states[here], self.states[to]
        tasks = {task_id for task_id in one[0] | other[0] if one[0].get(task_id) != other[0].get(task_id)}
        lines = {line_id for line_id in one[1] | other[1] if one[1].get(line_id) != other[1].get(line_id)}
        tasks |= {state[1][line_id][1] for state in (one, other) for line_id in lines if line_id in state[1]}
        return any(self.plan.get_task(task_id) and not self.plan.is_task_modifiable(task_id) for task_id in tasks)

    @rule()
    def undo(self) -> None:
        self._turn(self.editor.undo, self.at - 1)

    @rule()
    def redo(self) -> None:
        self._turn(self.editor.redo, self.at + 1)

    # ------------------------------------------------------------------------------------------- progress
    @precondition(lambda self: self.runs)
    @rule(number=numbers)
    def start(self, number: int) -> None:
        if ready := self.plan.get_ready_tasks():
            self.plan.start_task(ready[number % len(ready)].task_id)

    @precondition(lambda self: self.runs)
    @rule(number=numbers, succeeds=st.booleans(), payload=st.sampled_from([5, None]))
    def end(self, number: int, succeeds: bool, payload: int | None) -> None:
        if running := self.plan.get_running_tasks():
            task = running[number % len(running)]
            self.plan.mark_task_completed(task.task_id, succeeds, payload, None if succeeds else OSError("no"))

    @precondition(lambda self: self.runs)
    @rule(task_id=ids)
    def cancel(self, task_id: str) -> None:
        if (task := self.plan.get_task(task_id)) is not None:
            task.cancel()

    # ------------------------------------------------------------------------------------------- always
    @invariant()
    def the_plan_is_sound(self) -> None:
        if hasattr(self, "plan"):
            assert self.plan.validate_dag() == (True, [])

    @invariant()
    def the_history_stands_where_the_oracle_s_does(self) -> None:
        if hasattr(self, "plan"):
            entries = self.editor.get_history_entries()
            assert [entry.is_undone for entry in entries] == [place >= self.at for place in range(len(entries))]
            assert len(entries) == len(self.states) - 1

    def teardown(self) -> None:
        if not hasattr(self, "plan") or self.runs:
            return
        while self.editor.undo():
            pass
        assert words_of(self.plan) == self.states[0]
        while self.editor.redo():
            pass
        assert words_of(self.plan) == self.states[-1]


TestEditor = EditorMachine.TestCase
TestEditor.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
