"""A ConstellationEditor on a plan that runs: its edits are reviewed and told of like those of anybody else."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core import ConstellationEditor, TaskConstellation, TaskStar
from galaxy_core.errors import CommandExecutionError, CommandUndoError
from galaxy_core.extension.hookspecs import hookimpl

from .editing import Study, study
from .fakes import link, plan

pytestmark = pytest.mark.anyio


class Reviewer:
    """A plugin that reviews edits: `answer` is what it says, or what calling it with the edit returns."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, list[str]]] = []

    @hookimpl
    def galaxy_review_edit(self, edit: Any) -> Any:
        self.asked.append((str(edit.transaction), [task.task_id for task in edit.preview.tasks_added]))
        return self.answer(edit) if callable(self.answer) else self.answer


def editor_and_plan(**options: Any) -> tuple[ConstellationEditor, TaskConstellation]:
    constellation = plan("a b c", "a>b b>c")
    return ConstellationEditor(constellation, **options), constellation


def in_short(house: Study) -> list[tuple[str, str, str]]:
    return [(kind, data["description"], data["author"]) for kind, data in house.edits()]


@pytest.mark.parametrize("attached", [True, False], ids=["with a synchronizer", "without"])
async def test_what_it_does_undoes_and_redoes_is_told_with_revisions_and_the_diff(attached: bool) -> None:
    editor, constellation = editor_and_plan(author="Ada")
    async with study(attached=attached) as house:
        async with house.running(constellation):
            before = constellation.revision
            editor.add_task(TaskStar("new"))
            editor.undo()
            editor.redo()
        told = house.edits()
    assert in_short(house) == [
        ("edit_committed", "Add task: new", "Ada"),
        ("edit_undone", "Undo: Add task: new", "Ada"),
        ("edit_committed", "Redo: Add task: new", "Ada"),
    ]
    assert [(data["before"], data["revision"]) for _, data in told] == [
        (before + step, before + step + 1) for step in range(3)
    ]
    assert [[task["task_id"] for task in data["diff"]["tasks"]["added"]] for _, data in told] == [["new"], [], ["new"]]
    assert all(data["constellation_id"] == constellation.constellation_id for _, data in told)
    assert constellation.tasks["new"].status == "completed"
    if attached:
        counts = house.synchronizer.edit_statistics()
        assert (counts["committed"], counts["undone"]) == (2, 1)


async def test_a_batch_is_told_once() -> None:
    editor, constellation = editor_and_plan()
    async with study() as house, house.running(constellation):
        with editor.transaction("two more", author="Bob"):
            editor.add_task(TaskStar("d"))
            editor.add_task(TaskStar("e"))
            editor.add_dependency(link("d>e"))
    assert in_short(house) == [("edit_committed", "two more", "Bob")]


async def test_what_is_refused_is_told_with_its_reasons() -> None:
    editor, constellation = editor_and_plan()
    async with study() as house, house.running(constellation):
        with pytest.raises(CommandExecutionError, match="'a'"):
            editor.remove_task("a")
    ((kind, data),) = house.edits()
    assert (kind, data["description"], data["problems"][0]["kind"]) == ("edit_refused", "Remove task: a", "started")


async def test_what_no_device_could_ever_run_is_refused() -> None:
    editor, constellation = editor_and_plan()
    async with study() as house, house.running(constellation):
        with pytest.raises(CommandExecutionError, match="gpu"):
            editor.add_task(TaskStar("new", requires={"gpu"}))
    assert "new" not in constellation.tasks
    assert [kind for kind, _ in house.edits()] == ["edit_refused"]


async def test_names_metadata_and_files_are_no_edits_of_the_plan(tmp_path: Any) -> None:
    editor, constellation = editor_and_plan()
    async with study() as house, house.running(constellation):
        editor.save_constellation(tmp_path / "plan.json")
        editor.undo()
    assert house.edits() == []


async def test_a_plan_that_does_not_run_is_nobodys_concern() -> None:
    editor, constellation = editor_and_plan()
    reviewer = Reviewer("no")
    async with study(reviewer) as house:
        editor.add_task(TaskStar("new"))
        async with house.running(constellation):
            pass
    assert (house.edits(), reviewer.asked) == ([], [])


class TestReviewed:
    async def test_each_command_undo_and_redo_is_shown_to_every_reviewer(self) -> None:
        editor, constellation = editor_and_plan()
        reviewer = Reviewer()
        async with study(reviewer) as house, house.running(constellation):
            editor.add_task(TaskStar("new"))
            editor.undo()
            editor.redo()
        assert [added for _, added in reviewer.asked] == [["new"], [], ["new"]]

    async def test_what_a_reviewer_refuses_is_not_done(self) -> None:
        editor, constellation = editor_and_plan()
        reviewer = Reviewer("not on a Friday")
        async with study(reviewer) as house, house.running(constellation):
            revision = constellation.revision
            with pytest.raises(CommandExecutionError, match="refuses: not on a Friday"):
                editor.add_task(TaskStar("new"))
            assert constellation.revision == revision
            assert not editor.can_undo()
        assert [kind for kind, _ in house.edits()] == ["edit_refused"]

    async def test_an_undo_that_is_refused_leaves_the_step_done(self) -> None:
        editor, constellation = editor_and_plan()
        reviewer = Reviewer()
        async with study(reviewer) as house, house.running(constellation):
            editor.add_task(TaskStar("new"))
            reviewer.answer = "keep it"
            with pytest.raises(CommandUndoError, match="keep it"):
                editor.undo()
            assert editor.can_undo()
        assert constellation.tasks["new"].status == "completed"

    async def test_a_file_is_not_written_for_a_plan_that_is_refused(self, tmp_path: Any) -> None:
        editor, constellation = editor_and_plan()
        async with study(Reviewer("no")) as house, house.running(constellation):
            editor.save_constellation(tmp_path / "plan.json")  # saving edits nothing, so that nobody is asked
        assert (tmp_path / "plan.json").exists()

    async def test_a_reviewer_that_would_answer_later_has_not_agreed(self) -> None:
        async def later(edit: Any) -> None:
            return None

        editor, constellation = editor_and_plan()
        async with study(Reviewer(later)) as house, house.running(constellation):
            with pytest.raises(CommandExecutionError, match=r"whoever asks cannot wait; use synchronizer\.edit"):
                editor.add_task(TaskStar("new"))
            async with house.synchronizer.edit() as draft:
                draft.add_task(TaskStar("new"))
        assert constellation.tasks["new"].status == "completed"

    async def test_a_reviewer_that_raises_has_refused(self) -> None:
        editor, constellation = editor_and_plan()
        async with study(Reviewer(lambda edit: 1 / 0)) as house, house.running(constellation):
            with pytest.raises(CommandExecutionError, match="division by zero"):
                editor.add_task(TaskStar("new"))

    async def test_a_reviewer_that_edits_the_plan_meanwhile_cannot_break_it(self) -> None:
        editor, constellation = editor_and_plan()

        def meddle(edit: Any) -> None:
            if "new" not in constellation.tasks:
                constellation.add_task(TaskStar("new"))

        async with study(Reviewer(meddle)) as house, house.running(constellation):
            with pytest.raises(CommandExecutionError, match="already exists"):
                editor.add_task(TaskStar("new"))
        assert constellation.validate_dag() == (True, [])

    async def test_an_undo_does_not_take_back_what_a_reviewer_edits_meanwhile(self) -> None:
        editor, constellation = editor_and_plan()

        def meddle(edit: Any) -> None:
            if str(edit.transaction).startswith("Undo"):
                constellation.tasks["c"].description = "said by the reviewer"

        async with study(Reviewer(meddle)) as house, house.running(constellation):
            editor.update_task("c", description="said by the editor")
            with pytest.raises(CommandUndoError, match="edited by somebody else"):
                editor.undo()
        assert constellation.tasks["c"].description == "said by the reviewer"
