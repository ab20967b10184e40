"""ConstellationEditor: undo and redo, transactions and batches, observers, commands by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_core import (
    EventType,
    TaskConstellation,
    TaskPriority,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.errors import CommandExecutionError, CommandUndoError, EditError
from galaxy_core.runtime.editor.constellation_editor import ConstellationEditor

from .editors import editor_of, ids_of, is_five, links_of
from .fakes import plan, rig


class TestHistory:
    def test_undo_and_redo_go_back_and_forth(self) -> None:
        editor = editor_of()
        assert (editor.undo(), editor.redo()) == (False, False)
        assert (editor.get_undo_description(), editor.get_redo_description()) == (None, None)
        editor.create_and_add_task("a", "words")
        editor.update_task("a", name="new")
        assert editor.get_undo_description() == "Undo: Update task: a"
        assert editor.undo()
        assert editor.get_redo_description() == "Redo: Update task: a"
        task = editor.get_task("a")
        assert task is not None
        assert task.name == "task_a"
        assert editor.undo()
        assert ids_of(editor) == []
        assert not editor.can_undo()
        assert editor.redo()
        assert editor.redo()
        assert not editor.can_redo()
        task = editor.get_task("a")
        assert task is not None
        assert task.name == "new"

    def test_a_new_command_ends_what_could_be_redone(self) -> None:
        editor = editor_of("a b")
        editor.remove_task("a")
        editor.undo()
        editor.remove_task("b")
        assert not editor.can_redo()
        assert editor.get_history() == ["Remove task: b"]

    def test_a_removed_task_comes_back_with_its_links_and_their_conditions(self) -> None:
        editor = editor_of("a b c", "a>b b>c")
        editor.update_dependency(("a", "b"), dependency_type="conditional", condition_evaluator=is_five)
        before = {line.line_id for line in editor.list_dependencies()}
        editor.remove_task("b")
        assert editor.undo()
        assert {line.line_id for line in editor.list_dependencies()} == before
        (line,) = editor.get_task_dependencies("b")
        assert line.condition_evaluator is is_five

    def test_the_history_keeps_so_many_and_no_more(self) -> None:
        editor = editor_of(max_history_size=2)
        for task_id in "abc":
            editor.create_and_add_task(task_id, "words")
        assert editor.get_history() == ["Add task: b", "Add task: c"]
        assert [editor.undo() for _ in range(3)] == [True, True, False]
        assert ids_of(editor) == ["a"]

    @pytest.mark.parametrize("size", [0, -1, 1.5, True, "2"])
    def test_a_history_of_less_than_one_is_refused(self, size: Any) -> None:
        with pytest.raises(ValueError, match="max_history_size must be a whole number"):
            ConstellationEditor(max_history_size=size)

    def test_without_a_history_nothing_is_undone(self) -> None:
        editor = ConstellationEditor(None, False)
        editor.create_and_add_task("a", "words")
        assert (editor.undo(), editor.redo(), editor.can_undo(), editor.get_history()) == (False, False, False, [])
        assert editor.get_statistics()["editor_execution_count"] == 1

    def test_entries_tell_author_and_revisions(self) -> None:
        editor = ConstellationEditor(author="me")
        editor.create_and_add_task("a", "words")
        with editor.transaction("by another", author="they"):
            editor.create_and_add_task("b", "words")
        first, second = editor.get_history_entries()
        assert (first.author, first.revision_before, first.revision) == ("me", 0, 1)
        assert (second.author, second.revision_before, second.revision) == ("they", 1, 2)
        assert (second.command, str(second), second.operations) == ("add_task", "by another", 1)
        editor.undo()
        assert [entry.is_undone for entry in editor.get_history_entries()] == [False, True]
        assert editor.get_history() == ["Add task: a", "by another"]

    def test_an_update_that_changes_nothing_neither_enters_the_history_nor_blocks_undo_and_redo(self) -> None:
        editor = editor_of("a")
        editor.update_task("a", name="new")
        editor.update_task("a", name="new")
        assert editor.get_history() == ["Update task: a"]
        editor.undo()
        editor.update_task("a", priority=TaskPriority.MEDIUM)
        editor.update_task("a")
        assert editor.can_redo()
        assert editor.redo()
        assert editor.undo()

    def test_clearing_the_history_keeps_the_count_of_executed_commands(self) -> None:
        editor = editor_of("a")
        editor.update_task("a", name="new")
        editor.clear_history()
        statistics = editor.get_statistics()
        assert statistics["editor_execution_count"] == 1
        assert statistics["editor_history_size"] == 0
        assert (statistics["editor_can_undo"], statistics["editor_can_redo"]) == (False, False)
        assert statistics["total_tasks"] == 1


class TestUndoAndProgress:
    def test_an_undo_that_would_un_run_a_task_is_refused_naming_it(self) -> None:
        editor = editor_of()
        editor.create_and_add_task("a", "words")
        editor.constellation.start_task("a")
        for _ in range(2):
            with pytest.raises(
                CommandUndoError, match=r"Command undo failed: Undo: Add task: a\. .*'a' has started"
            ) as caught:
                editor.undo()
            assert caught.value.problems[0].subject == "a"
        assert isinstance(caught.value, EditError)
        assert editor.get_history() == ["Add task: a"]
        assert editor.can_undo()
        assert ids_of(editor) == ["a"]

    @pytest.mark.parametrize(
        "edit",
        [
            lambda editor: editor.update_task("b", name="new"),
            lambda editor: editor.create_and_add_dependency("x", "b"),
            lambda editor: editor.remove_task("x"),
            lambda editor: editor.remove_dependency(("c", "b")),
            lambda editor: editor.update_dependency(("a", "b"), dependency_type="completion_only"),
        ],
    )
    def test_what_a_started_task_was_edited_to_be_stays(self, edit: Callable[[ConstellationEditor], Any]) -> None:
        editor = editor_of("a b c x", "a>b c>b x>b")
        live = editor.constellation
        edit(editor)
        for task_id in ("a", "c", "x"):
            if live.get_task(task_id) is not None:
                live.mark_task_completed(task_id, True, 5)
        live.start_task("b")
        before = live.to_dict()
        with pytest.raises(CommandUndoError, match="'b' has started"):
            editor.undo()
        assert live.to_dict() == before

    def test_progress_elsewhere_stays_when_something_is_undone(self) -> None:
        editor = editor_of("a b", "a>b")
        editor.update_task("b", name="new")
        editor.constellation.mark_task_completed("a", True, 5)
        assert editor.undo()
        task = editor.get_task("a")
        assert task is not None
        assert (task.status, task.result) == (TaskStatus.COMPLETED, 5)
        assert editor.constellation.count(TaskStatus.COMPLETED) == 1

    def test_a_refused_command_leaves_progress_and_history(self) -> None:
        editor = editor_of("a b")
        editor.update_task("b", name="new")
        editor.undo()
        editor.constellation.start_task("a")
        with pytest.raises(CommandExecutionError):
            editor.remove_task("a")
        task = editor.get_task("a")
        assert task is not None
        assert task.status is TaskStatus.RUNNING
        assert editor.can_redo()

    def test_a_redo_that_no_longer_can_be_is_refused(self) -> None:
        editor = editor_of("a")
        editor.update_task("a", name="new")
        editor.undo()
        editor.constellation.start_task("a")
        with pytest.raises(CommandExecutionError, match=r"Redo: Update task: a.*'a' has started"):
            editor.redo()
        assert editor.can_redo()

    @pytest.mark.parametrize(
        ("edit", "other"),
        [
            (lambda e: e.update_task("a", name="mine"), lambda c: setattr(c.get_task("a"), "name", "theirs")),
            (lambda e: e.create_and_add_task("n", "words"), lambda c: setattr(c.get_task("n"), "name", "theirs")),
            (lambda e: e.create_and_add_task("n", "words"), lambda c: c.add_dependency(TaskStarLine("a", "n"))),
            (lambda e: e.create_and_add_task("n", "words"), lambda c: c.remove_task("n")),
            (lambda e: e.remove_task("a"), lambda c: c.add_task(TaskStar("a", description="theirs"))),
            (
                lambda e: e.update_dependency(("a", "b"), metadata={"k": "mine"}),
                lambda c: c.get_all_dependencies()[0].update_metadata({"k": "theirs"}),
            ),
            (
                lambda e: e.create_and_add_dependency("b", "c"),
                lambda c: c.remove_dependency(c.get_task_dependencies("c")[0].line_id),
            ),
            (lambda e: e.build_constellation({"name": "mine", "tasks": {}}), lambda c: setattr(c, "name", "theirs")),
            (
                lambda e: e.build_constellation({"metadata": {"k": 1}, "tasks": {}}, False),
                lambda c: c.update_metadata({"k": 2}),
            ),
        ],
    )
    def test_what_somebody_else_has_edited_since_is_not_undone(
        self, edit: Callable[[ConstellationEditor], Any], other: Callable[[TaskConstellation], Any]
    ) -> None:
        editor = editor_of("a b c", "a>b")
        edit(editor)
        other(editor.constellation)
        before = editor.constellation.to_dict()
        with pytest.raises(CommandUndoError, match="edited by somebody else since") as caught:
            editor.undo()
        assert all(problem.is_conflict for problem in caught.value.problems)
        assert editor.constellation.to_dict() == before

    def test_another_s_edit_elsewhere_is_no_conflict(self) -> None:
        editor = editor_of("a b")
        editor.update_task("a", name="mine")
        editor.constellation.tasks["b"].name = "theirs"
        assert editor.undo()
        assert editor.constellation.tasks["b"].name == "theirs"


class TestTogether:
    def test_a_batch_takes_effect_as_one_step_and_gives_live_results(self) -> None:
        editor = editor_of("x")
        revision = editor.constellation.revision
        results = editor.batch_operations(
            [
                lambda e: e.create_and_add_task("a", "words"),
                lambda e: e.update_task("a", name="new"),
                lambda e: e.create_and_add_dependency("x", "a"),
                lambda e: e.remove_task("x") if e.get_task("zzz") else 7,
                lambda e: [task.task_id for task in e.list_tasks()],
            ]
        )
        assert results[0] is editor.get_task("a")
        assert results[1] is editor.get_task("a")
        assert results[2] is editor.list_dependencies()[0]
        assert results[3:] == [7, ["x", "a"]]
        assert editor.get_history() == ["Batch of 5 operations"]
        assert editor.constellation.revision == revision + 1
        assert editor.get_statistics()["editor_execution_count"] == 3
        assert editor.undo()
        assert (ids_of(editor), links_of(editor)) == (["x"], [])

    @pytest.mark.parametrize(
        ("last", "why"),
        [
            (lambda e: 1 / 0, "operation 2 of 2 raised ZeroDivisionError: division by zero"),
            (lambda e: e.remove_task("nobody"), "operation 2 of 2: there is no task 'nobody'"),
            (lambda e: e.undo(), "operation 2 of 2"),
            (lambda e: e.save_constellation("never.json"), "operation 2 of 2"),
            (lambda e: e.create_and_add_dependency("a", "x"), "cycle"),
        ],
    )
    def test_nothing_of_a_batch_stays_when_one_of_it_cannot_be(self, last: Callable[..., Any], why: str) -> None:
        editor = editor_of("x")
        told: list[str] = []
        editor.add_observer(lambda _, command, __: told.append(command))

        def first(e: ConstellationEditor) -> None:
            e.create_and_add_task("a", "words")
            e.create_and_add_dependency("x", "a")

        with pytest.raises(CommandExecutionError) as caught:
            editor.batch_operations([first, last])
        assert why in str(caught.value)
        assert (ids_of(editor), links_of(editor), editor.get_history(), told) == (["x"], [], [], [])
        editor.create_and_add_task("b", "words")  # nothing is left open
        assert editor.undo()

    def test_a_coroutine_in_a_batch_is_refused(self) -> None:
        async def later(editor: ConstellationEditor) -> None:
            editor.create_and_add_task("a", "words")

        with pytest.raises(CommandExecutionError, match="nothing can be awaited in a batch"):
            editor_of().batch_operations([later])

    def test_a_transaction_is_written_in_one_sentence(self) -> None:
        editor = editor_of("x y", "x>y")
        with editor.transaction("insert a between x and y") as edit:
            (
                edit.remove_dependency(("x", "y"))
                .create_and_add_task("a", "words")
                .add_task(TaskStar("z"))
                .create_and_add_dependency("x", "a")
                .add_dependency(TaskStarLine("a", "y"))
                .update_task("a", name="new")
                .update_dependency(("x", "a"), dependency_type="success_only")
                .merge_constellation(plan("m"), "other_")
                .remove_task("z")
            )
            assert ids_of(editor) == ["x", "y", "a", "other_m"]
            assert links_of(editor) == ["a>y", "x>a"]
            assert editor.constellation.task_count == 2
        assert ids_of(editor) == ["x", "y", "a", "other_m"]
        assert links_of(editor) == ["a>y", "x>a"]
        assert editor.get_history() == ["insert a between x and y"]
        assert editor.undo()
        assert (ids_of(editor), links_of(editor)) == (["x", "y"], ["x>y"])

    def test_a_transaction_that_raises_does_nothing(self) -> None:
        editor = editor_of()
        with pytest.raises(RuntimeError, match="never mind"), editor.transaction() as edit:
            edit.create_and_add_task("a", "words")
            raise RuntimeError("never mind")
        assert ids_of(editor) == []
        assert editor.get_history() == []

    def test_a_transaction_in_another_one_is_part_of_it_and_can_fail_alone(self) -> None:
        editor = editor_of()
        with editor.transaction() as edit:
            edit.create_and_add_task("a", "words")
            with editor.transaction() as inner:
                inner.create_and_add_task("b", "words")
            with pytest.raises(CommandExecutionError):
                editor.batch_operations([lambda e: e.create_and_add_task("c", "words"), lambda e: e.remove_task("z")])
            with pytest.raises(CommandExecutionError, match="'a' already exists"):
                edit.create_and_add_task("a", "again")
            assert ids_of(editor) == ["a", "b"]
        assert ids_of(editor) == ["a", "b"]
        assert editor.get_history() == ["2 operations"]

    def test_clearing_in_a_transaction_replaces_what_was_collected(self) -> None:
        editor = editor_of("x")
        with editor.transaction("anew") as edit:
            edit.create_and_add_task("a", "words")
            editor.clear_constellation()
            edit.create_and_add_task("b", "words")
        assert ids_of(editor) == ["b"]
        assert editor.undo()
        assert ids_of(editor) == ["x"]

    def test_an_empty_transaction_is_no_step(self) -> None:
        editor = editor_of()
        with editor.transaction("nothing"):
            pass
        assert editor.get_history() == []


class TestObservers:
    def test_observers_hear_each_command_with_its_result(self, tmp_path: Any) -> None:
        editor, heard = editor_of("x"), []

        def hear(who: ConstellationEditor, command: str, result: Any) -> None:
            assert who is editor
            heard.append((command, result))

        editor.add_observer(hear)
        editor.add_observer(hear)
        task = editor.create_and_add_task("a", "words")
        line = editor.create_and_add_dependency("x", "a")
        editor.save_constellation(tmp_path / "x.json")
        editor.undo()
        editor.redo()
        editor.clear_history()
        with pytest.raises(CommandExecutionError):
            editor.remove_task("nobody")
        editor.execute_command_by_name("update_task", "a", name="new")
        assert [command for command, _ in heard] == [
            "add_task",
            "add_dependency",
            "save_constellation",
            "undo",
            "redo",
            "clear_history",
        ]
        assert heard[0][1] is task
        assert heard[1][1] is line
        assert heard[3][1].description.startswith("Save constellation")
        with editor.transaction() as edit:
            editor.execute_command_by_name("update_task", "a", name="newer")
            edit.update_task("x", name="new")
        assert heard.pop() == ("update_task", editor.get_task("x"))
        assert len(heard) == 6
        editor.remove_observer(hear)
        editor.remove_observer(hear)
        editor.remove_task("a")
        assert len(heard) == 6

    def test_the_commands_of_a_transaction_are_told_when_it_has_taken_effect(self) -> None:
        editor, heard = editor_of(), []
        editor.add_observer(lambda who, command, result: heard.append((command, result, who.constellation.task_count)))
        with editor.transaction() as edit:
            edit.create_and_add_task("a", "words").create_and_add_task("b", "words")
            assert heard == []
        assert heard == [("add_task", editor.get_task("a"), 2), ("add_task", editor.get_task("b"), 2)]

    def test_an_observer_that_raises_is_logged_and_harms_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        editor, heard = editor_of(), []

        def broken(*_: Any) -> None:
            raise RuntimeError("no")

        editor.add_observer(broken)
        editor.add_observer(lambda *_: heard.append(1))
        editor.create_and_add_task("a", "words")
        assert heard == [1]
        assert "broken" in caplog.text

    def test_what_cannot_observe_is_refused(self) -> None:
        async def later(*_: Any) -> None:
            return None

        for wrong in (5, later):
            with pytest.raises(ValueError, match="an observer is a function"):
                editor_of().add_observer(wrong)  # type: ignore[arg-type]


class TestCommandsByName:
    def test_every_command_does_what_the_method_of_its_name_does(self, tmp_path: Any) -> None:
        editor = editor_of()
        do = editor.execute_command_by_name
        assert do("add_task", {"task_id": "a", "description": "words"}) is editor.get_task("a")
        do("add_task", task={"task_id": "b"})
        line = do("add_dependency", {"from_task_id": "a", "to_task_id": "b"})
        do("update_dependency", line.line_id, {"dependency_type": "success_only"})
        do("update_task", "a", {"name": "new"})
        do("remove_dependency", line.line_id)
        do("remove_task", "a")
        do("merge_constellation", plan("c"))
        do("save_constellation", tmp_path / "x.json")
        do("clear_constellation")
        assert ids_of(editor) == []
        do("load_constellation", tmp_path / "x.json")
        do("build_constellation", {"tasks": {"d": {}}}, clear_existing=False)
        assert ids_of(editor) == ["b", "c", "d"]
        assert len(editor.get_history()) == 12

    def test_a_command_that_there_is_not_or_wrong_arguments_are_value_errors(self) -> None:
        editor = editor_of()
        with pytest.raises(ValueError, match=r"Command 'fly' not found in registry; there are add_task"):
            editor.execute_command_by_name("fly")
        with pytest.raises(ValueError, match=r"Failed to create command remove_task: .*task_id"):
            editor.execute_command_by_name("remove_task")

    def test_commands_are_listed_by_category(self) -> None:
        editor = editor_of()
        assert editor.get_command_categories() == [
            "bulk_operations",
            "dependency_management",
            "file_operations",
            "task_management",
        ]
        assert set(editor.list_available_commands("task_management")) == {"add_task", "remove_task", "update_task"}
        assert set(editor.list_available_commands("nothing")) == set()
        found = editor.get_command_metadata("save_constellation")
        assert found == editor.list_available_commands()["save_constellation"]
        assert found is not None
        assert (found["category"], found["is_undoable"], found["parameters"]) == (
            "file_operations",
            True,
            ["file_path"],
        )
        assert editor.get_command_metadata("fly") is None


class TestQuestions:
    def test_questions_are_answered_by_the_plan(self, capsys: pytest.CaptureFixture[str]) -> None:
        editor = editor_of("a b", "a>b")
        assert editor.validate_constellation() == (True, [])
        assert editor.get_topological_order() == ["a", "b"]
        assert editor.has_cycles() is False
        assert editor.get_ready_tasks() == [editor.get_task("a")]
        assert editor.get_statistics()["editor_execution_count"] == 0
        assert "2 tasks" in repr(editor)
        editor.display_constellation()
        assert capsys.readouterr().out

    def test_an_editor_edits_constellations_only(self) -> None:
        with pytest.raises(ValueError, match="an editor edits a TaskConstellation"):
            ConstellationEditor({})  # type: ignore[arg-type]


class Hears:
    """Calls something when it hears that `a` was completed."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do
        self.caught: Exception | None = None

    async def on_event(self, event: Any) -> None:
        if event.event_type is EventType.TASK_COMPLETED and event.task_id == "a":
            try:
                self.do()
            except Exception as error:
                self.caught = error


@pytest.mark.anyio
async def test_a_running_plan_is_edited_and_what_has_run_is_not_undone() -> None:
    constellation = plan("a b", "a>b")
    editor = ConstellationEditor(constellation)

    def insert() -> None:
        with pytest.raises(CommandExecutionError, match="'a' has started"):
            editor.remove_task("a")
        with editor.transaction("insert c") as edit:
            edit.create_and_add_task("c", "words").create_and_add_dependency("a", "c", "success_only")
            edit.create_and_add_task("d", "words").create_and_add_dependency("c", "d")
        editor.remove_task("d")
        assert editor.undo()  # d is back
        editor.update_task("d", description="other")

    async with rig() as house:
        hears = Hears(insert)
        house.bus.subscribe(hears)
        result = await house.run(constellation)
    assert hears.caught is None
    assert result["status"] == "completed"
    assert set(result["results"]) == {"a", "b", "c", "d"}
    before = constellation.to_dict()
    with pytest.raises(CommandUndoError, match="'d' has started"):
        editor.undo()
    assert constellation.to_dict() == before
    assert editor.get_history() == ["insert c", "Update task: d"]
