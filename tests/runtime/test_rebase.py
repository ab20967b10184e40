"""Rebasing drafts: what still fits is kept, what does not is dropped with its reason, in few steps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from galaxy_core import Command, Reference, TaskStar
from galaxy_core.model import edits_rebase
from galaxy_core.model.changes import Changes
from galaxy_core.runtime.drafts import Draft

from .editing import Study, kinds, new, study
from .fakes import link, plan

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def drafted(tasks: str, links: str = "") -> AsyncIterator[tuple[Study, Draft]]:
    """A draft of a plan that runs; nothing of it is committed in the end."""
    async with study() as house, house.running(plan(tasks, links, "c1")):
        draft = house.synchronizer.edit("c1")
        yield house, draft
        draft.discard()


def taking(task_id: str, source_id: str) -> TaskStar:
    """A task that takes something from another one."""
    return TaskStar(task_id, request=Command(["x"], env={"IT": Reference(source_id, "stdout")}))


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many operations were checked, at each time."""
    found: list[int] = []

    class Counted(Changes):
        def _read(self) -> None:
            found.append(len(self.transaction.operations))
            super()._read()

    monkeypatch.setattr(edits_rebase, "Changes", Counted)
    return found


async def test_thousands_of_cycles_are_dropped_in_two_steps(checks: list[int]) -> None:
    pairs = 1500
    tasks = " ".join(f"x{n} y{n}" for n in range(pairs))
    links = " ".join(f"a>x{n} a>y{n}" for n in range(pairs))
    async with drafted(f"a {tasks}", links) as (house, draft):
        async with house.synchronizer.edit("c1") as other:
            for n in range(pairs):
                other.add_dependency(link(f"x{n}>y{n}"))
        draft.add_task(new("z"))
        for n in range(pairs):
            draft.add_dependency(link(f"y{n}>x{n}"))
        dropped = draft.rebase()
        assert [(one.operation, one.kind, one.is_conflict) for one in dropped] == [
            (place, "cycle", True) for place in range(1, pairs + 1)
        ]
        assert checks == [pairs + 1, 1]
        assert list(map(str, draft.transaction.operations)) == ["Add task: z"]


async def test_of_links_that_close_a_cycle_together_only_the_last_one_is_dropped() -> None:
    async with drafted("a b c d", "a>b a>c a>d") as (_, draft):
        for arrow in ("b>c", "c>d", "d>b", "c>b", "b>d"):
            draft.add_dependency(link(arrow))
        assert [one.operation for one in draft.rebase()] == [2, 3]
        assert draft.problems() == []
        draft.add_task(new("x")).add_dependency(link("x>x")).add_dependency(link("d>x")).add_dependency(link("x>b"))
        assert [(one.operation, one.reason.rpartition(": ")[2]) for one in draft.rebase()] == [
            (4, "x -> x"),
            (6, "x -> b -> d -> x"),
        ]
        assert draft.problems() == []


async def test_links_back_along_one_way_are_dropped_each_with_its_own_cycle() -> None:
    async with drafted("a b c d e", "a>b b>c c>d d>e") as (_, draft):
        for arrow in ("d>b", "e>b", "e>c", "c>b", "b>e"):
            draft.add_dependency(link(arrow))
        assert [(one.operation, one.reason.rpartition(": ")[2]) for one in draft.rebase()] == [
            (0, "d -> b -> c -> d"),
            (1, "e -> b -> c -> d -> e"),
            (2, "e -> c -> d -> e"),
            (3, "c -> b -> c"),
        ]


async def test_a_long_cycle_is_told_in_few_words() -> None:
    tasks = " ".join(f"t{n}" for n in range(500))
    links = " ".join(f"t{n}>t{n + 1}" for n in range(499))
    async with drafted(f"a {tasks}", f"a>t0 {links}") as (_, draft):
        draft.add_dependency(link("t499>t0"))
        for (problem,) in (draft.problems(), draft.rebase()):
            assert problem.reason.startswith("the plan would have a cycle: t")
            assert " more … -> t" in problem.reason
            assert len(problem.reason) < 300


async def test_what_follows_from_a_task_that_cannot_be_added_is_dropped_with_it_in_few_steps(checks: list[int]) -> None:
    length = 300
    async with drafted("a x", "a>x") as (house, draft):
        before = "x"
        for n in range(length):
            draft.add_task(taking(f"t{n}", before)).add_dependency(link(f"{before}>t{n}"))
            before = f"t{n}"
        draft.add_task(new("z")).add_dependency(link("a>z"))
        async with house.synchronizer.edit("c1") as other:
            other.remove_task("x")
        dropped = draft.rebase()
        assert {one.operation for one in dropped} == set(range(2 * length))
        assert all(one.is_conflict for one in dropped)
        assert len(checks) < 5
        assert list(map(str, draft.transaction.operations)) == ["Add task: z", "Add dependency: a -> z"]


async def test_a_task_that_takes_from_another_one_in_the_end_is_kept() -> None:
    async with drafted("a b", "a>b") as (_, draft):
        draft.add_task(taking("x", "nobody")).add_task(taking("y", "x")).update_task("y", request=Command(["y"]))
        assert kinds(draft.rebase()) == [("input", "x")]
        assert list(map(str, draft.transaction.operations)) == ["Add task: y", "Update task: y"]
        assert draft.problems() == []


async def test_places_in_the_reasons_are_those_before_the_draft_was_rebased() -> None:
    async with drafted("a b c", "a>b a>c") as (house, draft):
        draft.remove_task("b").add_task(new("x")).add_dependency(link("x>b")).add_task(taking("y", "x"))
        async with house.synchronizer.edit("c1") as other:
            other.update_task("b", description="another")
        assert [(one.operation, one.kind) for one in draft.rebase()] == [(0, "changed"), (3, "input")]
        assert list(map(str, draft.transaction.operations)) == ["Add task: x", "Add dependency: x -> b"]


async def test_what_no_device_could_ever_run_is_dropped_too() -> None:
    async with drafted("a b", "a>b") as (_, draft):
        draft.add_task(TaskStar("y", target_device_id="moon")).add_task(new("x")).add_dependency(link("y>x"))
        dropped = draft.rebase()
        assert [(one.operation, one.kind) for one in dropped] == [(0, "invalid"), (2, "unknown")]
        assert list(map(str, draft.transaction.operations)) == ["Add task: x"]
        await draft.commit()
