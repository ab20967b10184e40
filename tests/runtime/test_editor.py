"""ConstellationEditor: what each method does, returns and refuses."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from galaxy_core import (
    Action,
    Call,
    Command,
    DependencyType,
    DeviceType,
    Effect,
    Reference,
    RetryPolicy,
    TaskConfiguration,
    TaskConstellation,
    TaskPriority,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.errors import CommandExecutionError, CommandUndoError, EditError
from galaxy_core.model.condition import Expression
from galaxy_core.model.request import Request
from galaxy_core.runtime.editor.constellation_editor import ConstellationEditor

from .editors import editor_of, ids_of, is_five, links_of
from .fakes import plan


class TestTasks:
    def test_an_added_task_is_live_and_a_copy_of_what_was_given(self) -> None:
        editor, task = editor_of(), TaskStar("a", description="do a")
        added = editor.add_task(task)
        assert added is editor.constellation.get_task("a")
        assert added is not task
        assert editor.get_task("a") is added

    def test_a_task_is_added_from_what_to_dict_says(self) -> None:
        task = TaskStar(
            "a",
            "name",
            "words",
            ["tip"],
            "phone",
            DeviceType.ANDROID,
            TaskPriority.HIGH,
            3.5,
            2,
            {"k": [1]},
            "text",
            request=Command(["ls"], env={"A": "b"}),
            requires={"posix"},
            effect=Effect.READ,
            retry=RetryPolicy(backoff_s=3),
            estimate_s=9,
        )
        added = editor_of().add_task(task.to_dict())
        assert added.to_dict() | {"created_at": 0, "updated_at": 0} == task.to_dict() | {
            "created_at": 0,
            "updated_at": 0,
        }
        assert added.requires == {"posix"}
        assert added.request == task.request

    def test_a_task_is_added_from_the_keys_of_a_plan_file(self) -> None:
        editor = editor_of("before")
        added = editor.add_task(
            {
                "task_id": "a",
                "run": ["echo", {"from": "before"}],
                "env": {"A": "b"},
                "device": "here",
                "timeout_s": 4,
                "retry": {"count": 2, "backoff_s": 7},
                "priority": "high",
                "data": {"k": 1},
                "effect": "read",
            }
        )
        assert added.request == Command(["echo", Reference("before")], env={"A": "b"})
        assert (added.target_device_id, added.timeout, added.retry_count) == ("here", 4, 2)
        assert (added.retry_policy.backoff_s, added.priority, added.task_data) == (7, TaskPriority.HIGH, {"k": 1})
        assert added.effect is Effect.READ
        assert links_of(editor) == ["before>a"]
        assert editor.undo()
        assert ids_of(editor) == ["before"]

    def test_needs_of_a_task_become_dependencies_in_the_same_edit(self) -> None:
        editor = editor_of("x y")
        needs = ["x", {"task": "y", "when": "exit_code == `0`"}]
        editor.add_task({"task_id": "a", "description": "words", "needs": needs})
        kinds = {line.from_task_id: line.dependency_type for line in editor.get_task_dependencies("a")}
        assert kinds == {"x": DependencyType.SUCCESS_ONLY, "y": DependencyType.CONDITIONAL}
        assert len(editor.get_history()) == 1

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"task_id": "a", "descripton": "x"}, "no field 'descripton'; did you mean 'description'"),
            ({"task_id": "a", "description": 5}, "description: a text is wanted here, not 5"),
            ({"task_id": "a", "tips": "abc"}, "tips: a list of texts is wanted"),
            ({"task_id": "a", "requires": "posix"}, "requires: a list of texts"),
            ({"task_id": "a", "priority": "urgent"}, "priority: one of low, medium, high, critical"),
            ({"task_id": "a", "priority": True}, "priority: one of low"),
            ({"task_id": "a", "device_type": "toaster"}, "device_type: one of windows"),
            ({"task_id": "a", "timeout": 0}, "timeout: a positive number"),
            ({"task_id": "a", "timeout": "5"}, "timeout: a number"),
            ({"task_id": "a", "timeout": float("nan")}, "timeout: a number"),
            ({"task_id": "a", "retry_count": 1.5}, "retry_count: a whole number"),
            ({"task_id": "a", "task_data": [1]}, "task_data: a mapping"),
            ({"task_id": "a", "estimate_s": -1}, "estimate_s: a number of seconds"),
            ({"task_id": "a", "effect": "maybe"}, "effect: one of read, idempotent, once"),
            ({"task_id": "a", "request": "ls"}, "request: a request"),
            ({"task_id": "a", "request": {"run": ["ls"], "into": 1}}, "request has no key 'into'"),
            (
                {"task_id": "a", "request": {"run": ["ls", 5]}},
                "request: run[1]: found the number 5; text or a reference",
            ),
            (
                {"task_id": "a", "request": {"action": 5}},
                "request: action: found the number 5; a mapping is wanted here",
            ),
            ({"task_id": "a", 5: 5}, "no field 5"),
            ({"task_id": "a", "request": {"call": "os:getcwd"}}, "Python function cannot be read"),
            ({"task_id": "a", "retry": {"backoff": 1}}, "retry: a retry policy"),
            ({"task_id": "a", "retry": {"backoff_s": "1"}}, "retry: a number"),
            ({"task_id": "a", "run": ["ls"], "request": {"run": ["ls"]}}, "says request twice"),
            ({"task_id": "a", "device": "x", "target_device_id": "x"}, "says target_device_id twice"),
            ({"task_id": "a", "run": "ls"}, "run"),
            ({"task_id": "a", "run": ["ls"], "needs": ["nobody"]}, "there is no task 'nobody'"),
            ({"task_id": 7}, "an id is wanted"),
            ({"task_id": " "}, "an id is wanted"),
            ({"description": "x"}, "an id is wanted"),
            (["a"], "a task is a TaskStar or a mapping"),
            (TaskStar("a", priority=3), "Priority must be a TaskPriority"),  # type: ignore[arg-type]
            (TaskStar(""), "its id is not a text"),
        ],
    )
    def test_a_task_that_says_what_cannot_be_is_refused(self, given: Any, why: str) -> None:
        editor = editor_of("x")
        with pytest.raises(CommandExecutionError) as caught:
            editor.add_task(given)
        assert why in str(caught.value)
        assert str(caught.value).startswith("Command execution failed: Command cannot be executed: Add task: ")
        assert ids_of(editor) == ["x"]
        assert editor.get_history() == []

    def test_all_that_is_wrong_with_a_task_is_told_at_once(self) -> None:
        with pytest.raises(EditError) as caught:
            editor_of().add_task({"task_id": "a", "name": 1, "tips": 2, "nmae": 3})
        assert len(caught.value.problems) == 3

    def test_a_second_task_of_an_id_is_refused(self) -> None:
        with pytest.raises(CommandExecutionError, match="Reason: Task 'a' already exists in constellation"):
            editor_of("a").add_task(TaskStar("a"))

    def test_a_task_is_created_with_the_arguments_of_a_task(self) -> None:
        editor = editor_of()
        task = editor.create_and_add_task("a", "words", "name", priority=TaskPriority.LOW, device_type="linux")
        assert (task.description, task.name, task.priority) == ("words", "name", TaskPriority.LOW)
        assert task.device_type is DeviceType.LINUX
        config = TaskConfiguration(timeout=3, retry_count=2, retry_delay=5, metadata={"a": 1})
        other = editor.create_and_add_task("b", "words", config=config)
        assert (other.timeout, other.retry_count, other.retry_policy.backoff_s) == (3, 2, 5)
        assert other.task_data == {"a": 1}
        with pytest.raises(CommandExecutionError, match="TaskConfiguration is wanted"):
            editor.create_and_add_task("c", "words", config={})

    def test_an_update_changes_the_live_task_and_returns_it(self) -> None:
        editor = editor_of("a")
        task = editor.get_task("a")
        assert editor.update_task("a", name="new", priority="critical") is task
        assert task is not None
        assert (task.name, task.priority) == ("new", TaskPriority.CRITICAL)
        editor.update_task("a", {"description": "other"})
        with pytest.raises(CommandExecutionError, match="a mapping of fields is wanted"):
            editor.update_task("a", 5)  # type: ignore[arg-type]
        assert task.description == "other"

    @pytest.mark.parametrize("updates", [{"nmae": "x"}, {"name": 1}, {"status": "completed"}, {"task_id": "b"}])
    def test_an_update_of_unknown_or_ill_typed_fields_is_refused(self, updates: dict[str, Any]) -> None:
        editor = editor_of("a")
        with pytest.raises(CommandExecutionError, match="Update task: a"):
            editor.update_task("a", updates)
        assert editor.constellation.revision == 1
        assert not editor.can_undo()

    def test_a_task_that_there_is_not_is_named_with_those_that_there_are(self) -> None:
        editor = editor_of("alpha beta")
        for edit in (lambda: editor.remove_task("alpah"), lambda: editor.update_task("alpah", name="x")):
            with pytest.raises(CommandExecutionError) as caught:
                edit()
            assert "not found in constellation. Existing task IDs: ['alpha', 'beta']" in str(caught.value)
            assert "did you mean 'alpha'" in str(caught.value)
        with pytest.raises(CommandExecutionError, match="an id is wanted"):
            editor.remove_task(None)  # type: ignore[arg-type]

    def test_a_removed_task_goes_with_its_links_and_its_id_is_returned(self) -> None:
        editor = editor_of("a b c", "a>b b>c")
        assert editor.remove_task("b") == "b"
        assert ids_of(editor) == ["a", "c"]
        assert links_of(editor) == []

    def test_a_running_task_cannot_be_changed_or_removed(self) -> None:
        editor = editor_of("a")
        editor.constellation.start_task("a")
        for edit in (lambda: editor.remove_task("a"), lambda: editor.update_task("a", name="x")):
            with pytest.raises(CommandExecutionError, match="because it is currently running"):
                edit()


class TestDependencies:
    def test_a_dependency_is_added_from_a_line_a_mapping_or_its_ends(self) -> None:
        editor = editor_of("a b c d")
        first = editor.add_dependency(TaskStarLine("a", "b", line_id="one"))
        assert first is editor.get_dependency("one")
        second = editor.add_dependency({"from_task_id": "b", "to_task_id": "c", "dependency_type": "SUCCESS_ONLY"})
        assert second.dependency_type is DependencyType.SUCCESS_ONLY
        third = editor.create_and_add_dependency("c", "d", "completion_only", condition_description="whatever")
        assert third.dependency_type is DependencyType.COMPLETION_ONLY
        assert editor.create_and_add_dependency("a", "d").dependency_type is DependencyType.UNCONDITIONAL
        assert links_of(editor) == ["a>b", "a>d", "b>c", "c>d"]
        assert editor.get_history()[0] == "Add dependency: a -> b"
        assert [line.line_id for line in editor.get_task_dependencies("b")] == ["one"]

    def test_what_to_dict_says_of_a_dependency_is_understood(self) -> None:
        line = TaskStarLine.create_conditional("a", "b", "five", Expression("value == `5`"))
        line.update_metadata({"k": 1})
        added = editor_of("a b").add_dependency(line.to_dict())
        assert (added.condition_evaluator, added.metadata) == (Expression("value == `5`"), {"k": 1})
        assert added.line_id == line.line_id

    def test_an_unknown_type_of_dependency_is_a_key_error(self) -> None:
        with pytest.raises(KeyError, match="SUCCESS_ONLY"):
            editor_of("a b").create_and_add_dependency("a", "b", "SOMETIMES")

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"from_task_id": "a"}, "needs to_task_id"),
            ({"from_task_id": "a", "to_task_id": 4}, "an id is wanted"),
            ({"from_task_id": "a", "to_task_id": "b", "type": "x"}, "no field 'type'"),
            ({"from_task_id": "a", "to_task_id": "b", "dependency_type": "x"}, "dependency_type: one of unconditional"),
            ({"from_task_id": "a", "to_task_id": "b", "condition_evaluator": "x"}, "a function"),
            ({"from_task_id": "a", "to_task_id": "b", "condition_expression": "]["}, "condition_expression"),
            ({"from_task_id": "a", "to_task_id": "zzz"}, "not found in constellation"),
            ({"from_task_id": "a", "to_task_id": "b", "line_id": "one"}, "Dependency 'one' already exists"),
            ({"from_task_id": "b", "to_task_id": "a"}, "Adding dependency b -> a would create a cycle"),
            ({"from_task_id": "a", "to_task_id": "a"}, "would create a cycle"),
            (5, "a dependency is a TaskStarLine or a mapping"),
            (TaskStarLine("a", "b", "success"), "no DependencyType"),  # type: ignore[arg-type]
        ],
    )
    def test_a_dependency_that_cannot_be_is_refused(self, given: Any, why: str) -> None:
        editor = editor_of("a b")
        editor.add_dependency(TaskStarLine("a", "b", line_id="one"))
        with pytest.raises(CommandExecutionError) as caught:
            editor.add_dependency(given)
        assert why in str(caught.value)
        assert links_of(editor) == ["a>b"]

    def test_a_dependency_is_updated_and_removed_by_its_id_or_its_ends(self) -> None:
        editor = editor_of("a b c", "a>b b>c")
        line = editor.get_task_dependencies("b")[0]
        assert editor.update_dependency(line.line_id, dependency_type="completion_only") is line
        assert editor.update_dependency(("a", "b"), {"condition_evaluator": is_five}) is line
        assert (line.dependency_type, line.condition_evaluator) == (DependencyType.COMPLETION_ONLY, is_five)
        assert editor.remove_dependency(("a", "b")) == line.line_id
        second = editor.list_dependencies()[0].line_id
        assert editor.remove_dependency(second) == second
        assert editor.list_dependencies() == []

    @pytest.mark.parametrize("name", ["none", ("a", "c"), 5, ("a",), ("a", 5)])
    def test_a_dependency_that_there_is_not_is_refused(self, name: Any) -> None:
        editor = editor_of("a b c", "a>b")
        for edit in (lambda: editor.remove_dependency(name), lambda: editor.update_dependency(name, metadata={})):
            with pytest.raises(CommandExecutionError):
                edit()
        assert links_of(editor) == ["a>b"]

    def test_the_target_of_a_dependency_must_not_have_started(self) -> None:
        editor = editor_of("a b")
        editor.constellation.start_task("b")
        with pytest.raises(CommandExecutionError, match="currently running"):
            editor.create_and_add_dependency("a", "b")


class TestWholePlans:
    def test_a_plan_is_built_from_dictionaries_in_the_same_object(self) -> None:
        editor = editor_of("old")
        live, revision = editor.constellation, editor.constellation.revision
        built = editor.build_constellation(plan("a b", "a>b").to_dict())
        assert built is live
        assert editor.constellation is live
        assert ids_of(editor) == ["a", "b"]
        assert links_of(editor) == ["a>b"]
        assert live.revision == revision + 1
        assert editor.get_history() == ["Build constellation: 2 tasks, 1 dependencies"]
        assert editor.undo()
        assert ids_of(editor) == ["old"]
        assert links_of(editor) == []
        assert editor.redo()
        assert links_of(editor) == ["a>b"]

    def test_a_plan_is_built_from_every_form_of_one(self) -> None:
        source = plan("a b", "a>b")
        for given in (source, source.to_dict(), source.to_basemodel(), source.to_basemodel().to_dict_with_lists()):
            editor = editor_of()
            editor.build_constellation(given)
            assert (ids_of(editor), links_of(editor)) == (["a", "b"], ["a>b"])

    def test_a_plan_is_built_from_a_plan_file_s_document(self) -> None:
        editor = editor_of()
        tasks = {
            "a": {"run": ["ls"]},
            "b": {"run": ["cat"], "stdin": {"from": "a"}},
            "c": {"description": "read", "needs": ["b"]},
        }
        editor.build_constellation({"name": "night", "strategy": "round_robin", "tasks": tasks})
        assert links_of(editor) == ["a>b", "b>c"]
        assert editor.constellation.name == "night"
        assert editor.constellation.metadata == {"strategy": "round_robin"}
        assert editor.undo()
        assert editor.constellation.name == editor.constellation.constellation_id
        assert editor.constellation.metadata == {}

    def test_a_plan_is_built_beside_what_there_is(self) -> None:
        editor = editor_of("x")
        editor.build_from_tasks_and_dependencies(
            [{"task_id": "a", "description": "words"}, TaskStar("b")],
            [{"from_task_id": "x", "to_task_id": "a"}],
            clear_existing=False,
            metadata={"k": 1},
        )
        assert ids_of(editor) == ["x", "a", "b"]
        assert links_of(editor) == ["x>a"]
        assert editor.constellation.metadata == {"k": 1}

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"taks": {}}, "a plan has no key 'taks'"),
            ({"tasks": 5}, "a mapping or a list"),
            ({"tasks": [{"description": "x"}]}, "an id is wanted"),
            ({"tasks": [{"task_id": "a"}, {"task_id": "a"}]}, "there are two tasks 'a'"),
            ({"tasks": {"a": {"task_id": "b"}}}, "stands for an entry whose task_id is 'b'"),
            ({"tasks": {"a": {"nmae": "b"}, "b": {"name": 4}}}, "task 'b': name: a text"),
            (
                {"tasks": {"a": {}}, "dependencies": [{"from_task_id": "a", "to_task_id": "z"}]},
                "Target task z not found",
            ),
            ({"tasks": {"a": {"run": ["x"], "needs": ["b"]}, "b": {"run": ["x"], "needs": ["a"]}}}, "a cycle"),
            (
                {
                    "tasks": ["a", "b"],
                },
                "a mapping is wanted",
            ),
            ({"name": 5}, "name: a text is wanted"),
            ({"metadata": 5}, "metadata: a mapping"),
            (7, "a plan is a mapping or a constellation"),
        ],
    )
    def test_a_plan_that_cannot_be_leaves_what_there_is(self, given: Any, why: str) -> None:
        editor = editor_of("old", author="me")
        with pytest.raises(CommandExecutionError) as caught:
            editor.build_constellation(given)
        assert why in str(caught.value)
        assert ids_of(editor) == ["old"]
        assert editor.get_history() == []

    def test_a_cycle_in_what_is_built_leaves_what_there_is(self) -> None:
        editor = editor_of("old")
        lines = [{"from_task_id": "a", "to_task_id": "b"}, {"from_task_id": "b", "to_task_id": "a"}]
        for clear in (True, False):
            with pytest.raises(CommandExecutionError, match="cycle"):
                editor.build_from_tasks_and_dependencies([TaskStar("a"), TaskStar("b")], lines, clear)
        assert ids_of(editor) == ["old"]

    def test_building_on_a_running_plan_keeps_what_has_started_and_says_so(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        editor = editor_of("a b c", "a>b b>c")
        live = editor.constellation
        live.mark_task_completed("a", True, 5)
        live.start_task("b")
        a, b = live.get_task("a"), live.get_task("b")
        with caplog.at_level(logging.WARNING, "galaxy_core.editor"):
            editor.build_constellation({"tasks": {"d": {}}, "dependencies": [{"from_task_id": "b", "to_task_id": "d"}]})
        assert ids_of(editor) == ["a", "b", "d"]
        assert links_of(editor) == ["a>b", "b>d"]
        assert (live.get_task("a"), live.get_task("b")) == (a, b)
        assert a is not None
        assert (a.status, a.result) == (TaskStatus.COMPLETED, 5)
        (entry,) = editor.get_history_entries()
        assert entry.kept == ("a", "b")
        assert "kept, because they have started: 'a', 'b'" in entry.description
        assert "kept, because they have started: 'a', 'b'" in caplog.text
        assert editor.undo()
        assert links_of(editor) == ["a>b", "b>c"]

    def test_clearing_takes_out_what_has_not_started(self) -> None:
        editor = editor_of("a b", "a>b")
        assert editor.clear_constellation() is editor.constellation
        assert ids_of(editor) == []
        assert editor.get_history() == ["Clear constellation"]
        assert editor.undo()
        assert links_of(editor) == ["a>b"]

    def test_building_over_a_task_takes_its_pin_away_when_the_new_plan_has_none(self) -> None:
        editor = editor_of("a", "")
        editor.update_task("a", target_device_id="phone")
        editor.build_constellation({"tasks": {"a": {}}})
        task = editor.get_task("a")
        assert task is not None
        assert task.target_device_id is None

    def test_a_merge_prefixes_ids_also_in_references_and_keeps_conditions(self) -> None:
        other = TaskConstellation(name="other")
        other.add_task(TaskStar("a", request=Command(["ls"])))
        requests: dict[str, Request] = {
            "b": Command(["echo", Reference("a")], env={"X": Reference("a")}, stdin=Reference("a")),
            "c": Action("go", {"x": Reference("a")}),
            "d": Call(print, (Reference("a"),), {"end": Reference("a")}),
        }
        for task_id, request in requests.items():
            other.add_task(TaskStar(task_id, request=request))
            other.add_dependency(
                TaskStarLine("a", task_id, DependencyType.CONDITIONAL, "five", is_five, f"a-{task_id}")
            )
        editor = editor_of("a")
        assert editor.merge_constellation(other, "new_") is None  # type: ignore[func-returns-value]
        assert ids_of(editor) == ["a", "new_a", "new_b", "new_c", "new_d"]
        line = editor.get_dependency("new_a-b")
        assert line is not None
        assert (line.from_task_id, line.to_task_id, line.condition_evaluator) == ("new_a", "new_b", is_five)
        for task_id in requests:
            task = editor.get_task(f"new_{task_id}")
            assert task is not None
            assert task.request is not None
            assert {reference.task_id for reference in task.request.references} == {"new_a"}
        assert editor.get_history() == ["Merge constellation: other"]
        assert editor.undo()
        assert ids_of(editor) == ["a"]
        assert [task.task_id for task in other.get_all_tasks()] == ["a", "b", "c", "d"]

    def test_a_merge_that_cannot_be_adds_nothing(self) -> None:
        editor = editor_of("b")
        with pytest.raises(CommandExecutionError, match="Task 'b' already exists"):
            editor.merge_constellation(editor_of("a b c", "a>c"))
        assert ids_of(editor) == ["b"]
        for wrong in ((5, ""), (editor_of("z"), 5)):
            with pytest.raises(CommandExecutionError):
                editor.merge_constellation(*wrong)

    def test_a_subgraph_is_an_editor_of_copies_with_the_links_between_them(self) -> None:
        editor = ConstellationEditor(plan("a b c", "a>b b>c"))
        editor.constellation.name = "whole"
        editor.update_dependency(("a", "b"), dependency_type="conditional", condition_evaluator=is_five)
        part = editor.create_subgraph(["a", "b", "nobody"])
        assert isinstance(part, ConstellationEditor)
        assert part.constellation.name == "whole_subgraph"
        assert (ids_of(part), links_of(part)) == (["a", "b"], ["a>b"])
        assert part.list_dependencies()[0].condition_evaluator is is_five
        part.remove_task("a")
        assert ids_of(editor) == ["a", "b", "c"]
        with pytest.raises(CommandExecutionError, match="a list of ids"):
            editor.create_subgraph("ab")


class TestFiles:
    def test_a_saved_plan_is_loaded_with_its_name_and_keeps_the_editor_s_id(self, tmp_path: Any) -> None:
        path = tmp_path / "plan.json"
        saved = editor_of("a b", "a>b")
        saved.constellation.name = "night"
        assert saved.save_constellation(str(path)) == str(path)
        editor = editor_of("x")
        constellation_id = editor.constellation.constellation_id
        assert editor.load_constellation(str(path)) is editor.constellation
        assert (editor.constellation.constellation_id, editor.constellation.name) == (constellation_id, "night")
        assert (ids_of(editor), links_of(editor)) == (["a", "b"], ["a>b"])
        assert editor.get_history() == [f"Load constellation: {path}"]
        assert editor.undo()
        assert ids_of(editor) == ["x"]
        assert editor.constellation.name == constellation_id

    def test_a_plan_file_is_loaded(self, tmp_path: Any) -> None:
        path = tmp_path / "plan.yaml"
        path.write_text("name: night\ntasks:\n  a: {run: [ls]}\n  b: {run: [cat], needs: [a]}\n")
        editor = editor_of()
        editor.load_constellation(path)
        assert (ids_of(editor), links_of(editor), editor.constellation.name) == (["a", "b"], ["a>b"], "night")

    def test_loading_from_text_and_from_data(self) -> None:
        editor = editor_of()
        text = plan("a b", "a>b").to_json()
        assert editor.load_from_json_string(text) is editor.constellation
        assert links_of(editor) == ["a>b"]
        editor.load_from_dict(plan("c").to_dict())
        assert ids_of(editor) == ["c"]

    def test_undo_of_a_save_deletes_or_restores_the_file(self, tmp_path: Any) -> None:
        path = tmp_path / "plan.json"
        editor = editor_of("a")
        editor.save_constellation(path)
        assert editor.undo()
        assert not path.exists()
        assert editor.redo()
        assert TaskConstellation.from_json(file_path=path).task_count == 1

    def test_undo_of_a_save_over_a_file_restores_it(self, tmp_path: Any) -> None:
        path = tmp_path / "plan.json"
        path.write_text("before")
        path.chmod(0o640)
        editor = editor_of("a")
        editor.save_constellation(path)
        assert TaskConstellation.from_json(file_path=path).task_count == 1
        assert path.stat().st_mode & 0o777 == 0o640
        assert editor.undo()
        assert path.read_text() == "before"
        assert editor.redo()
        assert TaskConstellation.from_json(file_path=path).task_count == 1
        assert [found.name for found in tmp_path.iterdir()] == ["plan.json"]

    def test_undo_of_a_save_leaves_a_file_that_somebody_else_has_written_since(self, tmp_path: Any) -> None:
        path = tmp_path / "plan.json"
        editor = editor_of("a")
        editor.save_constellation(path)
        path.write_text("theirs")
        with pytest.raises(CommandUndoError, match="edited by somebody else"):
            editor.undo()
        assert path.read_text() == "theirs"
        assert editor.can_undo()

    def test_a_file_that_cannot_be_read_or_written_is_refused(self, tmp_path: Any) -> None:
        editor = editor_of("a")
        with pytest.raises(CommandExecutionError, match=r"File '.*nope\.json' not found"):
            editor.load_constellation(tmp_path / "nope.json")
        for text in ("{", "[1]", '{"tasks": 5}'):
            (tmp_path / "bad.json").write_text(text)
            with pytest.raises(CommandExecutionError, match="Load constellation"):
                editor.load_constellation(tmp_path / "bad.json")
        with pytest.raises(CommandExecutionError, match="Load constellation: 5"):
            editor.load_constellation(5)  # type: ignore[arg-type]
        (tmp_path / "bad.yaml").write_text("tasks: {a: {runs: [x]}}")
        with pytest.raises(CommandExecutionError, match="runs"):
            editor.load_constellation(tmp_path / "bad.yaml")
        with pytest.raises(CommandExecutionError, match="Save constellation"):
            editor.save_constellation(tmp_path / "no" / "folder.json")
        assert ids_of(editor) == ["a"]
        assert editor.get_history() == []

    def test_python_functions_stay_when_a_saved_plan_is_loaded_again(
        self, tmp_path: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        editor = editor_of("a b", "a>b")
        editor.update_task("a", request=Call(print))
        editor.update_dependency(("a", "b"), dependency_type="conditional", condition_evaluator=is_five)
        editor.save_constellation(tmp_path / "plan.json")
        assert "the call of task 'a', the condition of a -> b" in caplog.text
        editor.update_task("b", description="other")
        editor.load_constellation(tmp_path / "plan.json")
        task = editor.get_task("a")
        assert task is not None
        assert task.request == Call(print)
        assert editor.list_dependencies()[0].condition_evaluator is is_five
        with pytest.raises(CommandExecutionError, match="Python function"):
            editor_of().load_constellation(tmp_path / "plan.json")

    def test_conditions_stay_when_a_language_model_repeats_links_without_ids(self) -> None:
        editor = editor_of("a b", "a>b")
        editor.update_dependency(("a", "b"), dependency_type="conditional", condition_evaluator=is_five)
        line = editor.list_dependencies()[0]
        editor.build_from_tasks_and_dependencies(
            [{"task_id": "a"}, {"task_id": "b"}, {"task_id": "c"}],
            [{"from_task_id": "a", "to_task_id": "b", "dependency_type": "CONDITIONAL"}],
        )
        assert editor.list_dependencies() == [line]
        assert line.condition_evaluator is is_five

    def test_loading_a_plan_that_had_progress_says_that_it_starts_anew(self, caplog: pytest.LogCaptureFixture) -> None:
        source = plan("a b", "a>b")
        source.mark_task_completed("a", True)
        editor = editor_of()
        editor.load_from_json_string(source.to_json())
        assert [task.status for task in editor.list_tasks()] == [TaskStatus.PENDING] * 2
        assert "1 tasks that had started or ended stand in the plan as not started" in caplog.text
