"""Those who edit: authors of drafts and transactions, an editor that answers by events, editors and reviews of plugins."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from galaxy_core import (
    Committed,
    ConstellationEvent,
    Draft,
    EditConflictError,
    EditError,
    EndedTasks,
    Event,
    EventType,
    ProposedEdit,
    TaskConstellation,
    TaskEvent,
    Transaction,
    hookimpl,
)
from galaxy_core.model.snapshot import snapshot
from galaxy_core.runtime.holding import HoldScope
from tests.properties.oracle import BLINK_S
from tests.properties.sim.draws import GRID_S, grid
from tests.properties.sim.holds import Holds, OpenDraft
from tests.properties.sim.model import touched
from tests.properties.sim.proposing import Proposer
from tests.properties.sim.stage import Stage
from tests.properties.sim.world import RUN, SimWorld


class AuthorError(Exception):
    """An author breaks off in the middle of a draft."""


class Author:
    """Edits the plan once, in one of many ways, and perhaps takes that back."""

    def __init__(self, world: SimWorld, holds: Holds, number: int, kind: str, commits: list[Committed]) -> None:
        self.world, self.holds, self.kind = world, holds, kind
        self.rng = random.Random(world.scenario.seed * 1000 + number)
        self.proposer = Proposer(world, f"a{number}", self.rng)
        self.commits = commits
        self.edits = world.synchronizer

    async def work(self) -> None:
        """What it does, from the start of the run; whatever goes wrong with an edit is an EditError."""
        rng = self.rng
        await anyio.sleep(grid(rng, 8.0))
        try:
            if self.kind in ("sends", "stale"):
                await self._send()
            elif self.kind == "elsewhere":
                await self._edit_another_plan()
            elif self.kind == "undoes":
                await anyio.sleep(grid(rng, 4.0))
                await self._undo()
            else:
                await self._draft()
            if rng.random() < 0.3:
                await anyio.sleep(grid(rng, 3.0))
                await self._undo()
        except EditError as error:
            self.world.note(f"{self.kind} {type(error).__name__} {[problem.kind for problem in error.problems]}")
        except AuthorError:
            self.world.note("an author raised")

    async def _undo(self) -> None:
        if self.commits:
            self.commits.append(await self.edits.undo(self.rng.choice(self.commits)))

    async def _edit_another_plan(self) -> None:
        """What is held of a plan that does not run holds nothing of this one."""
        other = TaskConstellation(self.proposer.fresh())
        self.world.orchestrator.manager.register_constellation(other)
        async with self.edits.edit(other.constellation_id, hold="all") as draft:
            await self._think()
            draft.discard()

    async def _send(self) -> None:
        """Commit what was prepared some time ago, or for a revision that is still to come."""
        rng, world = self.rng, self.world
        name, base = self.proposer.fresh(), rng.choice((None, world.plan.revision, world.plan.revision))
        if rng.random() < 0.1:
            base = world.plan.revision + 5
        operations = self.proposer.operations(snapshot(world.plan))
        if self.kind == "stale":
            await anyio.sleep(grid(rng, 6.0))
        transaction = Transaction(operations, base, name, self.kind)
        world.propose(name, operations, base)
        is_ahead = base is not None and base > world.plan.revision
        self.commits.append(await self.edits.commit(transaction, RUN))
        if is_ahead:
            world.problem(f"{name} was committed on revision {base}, which was still to come")

    # ------------------------------------------------------------------------------------------- drafts
    async def _draft(self) -> None:
        rng, world = self.rng, self.world
        hold: HoldScope = rng.choice(("all", "footprint", "footprint", "none"))
        around = rng.sample(list(world.plan.tasks), min(len(world.plan.tasks), rng.choice((0, 0, 1, 2))))
        timeout_s = rng.choice((None, None, 2.0, 6.0))
        name = self.proposer.fresh()
        draft = self.edits.edit(
            RUN,
            hold=hold,
            around=around,
            timeout=timeout_s,
            description=name,
            author=self.kind,
        )
        limit_s = world.scenario.timeout_s if timeout_s is None else timeout_s
        held = OpenDraft(hold, anyio.current_time() + limit_s, set(around), "closed", frozenset(around))
        self.holds.drafts.append(held)
        self.holds.drafted[name] = held
        try:
            with anyio.move_on_after(grid(rng, 5.0) if self.kind == "cancelled" else None):
                async with draft:
                    held.state = "open"
                    await self._fill(draft, held)
                    held.state = "closing"
        except EditError as error:
            if self._is_late(held) and "over" not in [problem.kind for problem in error.problems]:
                world.problem(f"{name} was refused when its time was over, but not for that: {error}")
            raise
        finally:
            held.state = "closed"
            world.note(f"{name} is over")
        if draft.committed is not None:
            if self._is_late(held):
                world.problem(f"{name} was committed when its time was over")
            self.commits.append(draft.committed)

    def _is_late(self, held: OpenDraft) -> bool:
        return self.world.scenario.policy != "hold" and anyio.current_time() > held.until + BLINK_S

    async def _fill(self, draft: Draft, held: OpenDraft) -> None:
        """Add operations, with time to think between them, and bring the draft to the end that its author comes to."""
        rng, world = self.rng, self.world
        if self.kind == "replaces":
            copy = draft.plan
            await self._think()
            self.proposer.play_with(copy)
            self._add(draft, held, draft.replace, copy)
        else:
            view = draft.plan if rng.random() < 0.5 else world.plan
            for _ in range(rng.choice((1, 2))):
                await self._think()
                if rng.random() < 0.8:
                    self._add(draft, held, draft.add, *self.proposer.operations(view))
        await self._think()
        if self.kind == "raises":
            raise AuthorError
        if self.kind in ("dies", "cancelled"):
            await anyio.sleep_forever()
        if self.kind == "discards":
            held.state = "closing"
            return draft.discard()
        world.propose(draft.description, draft.transaction.operations, draft.base_revision)
        if rng.random() < 0.5:
            return None
        try:
            held.state = "closing"
            await draft.commit()
        except EditConflictError:
            if not draft.is_over:
                await self._rebase(draft, held)
        return None

    async def _rebase(self, draft: Draft, held: OpenDraft) -> None:
        draft.rebase()
        held.ids = touched(draft.transaction.operations, self.world.plan) | held.around
        self.world.propose(draft.description, draft.transaction.operations, draft.base_revision)
        try:
            await draft.commit()
        except EditError as error:
            if not self.world.scenario.review:
                self.world.problem(f"{draft.description} was rebased, and is refused all the same: {error}")
            raise

    def _add(self, draft: Draft, held: OpenDraft, add: Callable[..., Any], *what: Any) -> None:
        add(*what)
        held.ids |= touched(draft.transaction.operations, self.world.plan)

    async def _think(self) -> None:
        await anyio.sleep(grid(self.rng, 6.0 if self.kind == "slow" else 2.0))


class Answering:
    """An editor of the API document's kind: it answers ends of tasks by CONSTELLATION_MODIFIED."""

    def __init__(self, world: SimWorld, holds: Holds) -> None:
        self.world, self.holds, self.kind = world, holds, world.scenario.answers
        self.rng = random.Random(world.scenario.seed * 1000 + 999)
        self.proposer = Proposer(world, "e", self.rng)
        self.inbox: list[str] = []
        self.copies = {"started": snapshot(world.plan)}  # by the end that it was taken at
        self.stirred = anyio.Event()
        self.left = self.rng.randint(0, 4) if self.kind in ("dies", "leaves", "dead") else 10**6

    async def on_event(self, event: Event) -> None:
        """A task has ended."""
        assert isinstance(event, TaskEvent)
        self.inbox.append(event.task_id)
        self.copies.pop(event.task_id, None)  # of an end before
        if self.kind != "rubbish" and self.rng.random() < 0.5:
            self.copies[event.task_id] = snapshot(self.world.plan)
        self.stirred.set()

    async def work(self) -> None:
        """Answer, one end after the other or several at once."""
        while self.left:
            await self.stirred.wait()
            self.stirred = anyio.Event()
            while self.inbox and self.left:
                if self.kind != "prompt":
                    await anyio.sleep(grid(self.rng, 4.0))
                count = len(self.inbox) if self.kind == "batch" else 1
                ids, self.inbox = self.inbox[:count], self.inbox[count:]
                self.left -= 1
                self._answer(ids)
        if self.kind == "leaves":
            await anyio.sleep(GRID_S)  # who answers is an editor, and the last answer is still on its way
            self.world.synchronizer.remove_editor(RUN)
            self.holds.attached = False
            self.world.note("the editor leaves")

    def _is_late(self, ids: list[str]) -> bool:
        """Whether nobody waits for this answer any more, so that it has to be refused."""
        awaits, retried = self.holds.by_event(surely=False), self.world.retried
        return self.holds.is_under_way and not any(awaits(one) or (RUN, one) in retried for one in ids)

    def _copy(self, ids: list[str], data: dict[str, Any]) -> TaskConstellation:
        """The plan as it is, was when it was told of one of these ends, or was at the start: that it has to say."""
        drawn = self.rng.random()
        taken = next((self.copies[task_id] for task_id in ids if task_id in self.copies), None)
        copy = snapshot(self.copies["started"] if drawn < 0.3 else taken if taken and drawn < 0.7 else self.world.plan)
        if drawn < 0.3 or self.rng.random() < 0.3:
            data["base_revision"] = copy.revision
        return copy

    def _answer(self, ids: list[str]) -> None:
        data: dict[str, Any] = {"on_task_id": ids, "constellation_id": RUN}
        seen = self.world.plan.revision
        if self.kind == "rubbish":
            data["new_constellation"] = self.rng.choice(("rubbish", TaskConstellation(self.proposer.fresh()), None, 17))
            data["on_task_id"] = [*ids, "nobody"]
        elif self.rng.random() < 0.5:
            copy = self._copy(ids, data)
            seen = copy.revision
            if self.rng.random() < 0.8:
                self.proposer.play_with(copy)
            data["new_constellation"] = copy
            copy._id = self.proposer.fresh()  # under which its merge is told of
        plan = data.get("new_constellation")
        if isinstance(plan, TaskConstellation):
            self.world.propose_merge(plan, seen, is_late=self._is_late(ids))
        self.holds.answers(ids)
        at = self.world.clock.wall()
        about = ConstellationEvent(EventType.CONSTELLATION_MODIFIED, "agent", at, data, RUN, "executing")
        self.world.bus.post((about,))


class PluginEditor:
    """Proposes edits when tasks have ended; how, the scenario says."""

    def __init__(self, number: int) -> None:
        self.number = number

    @hookimpl
    async def galaxy_propose_edit(self, ended: EndedTasks) -> Any:
        world, me = Stage.world, Stage.holds.asked[self.number]
        kind, proposer = world.scenario.plugin_editors[self.number], Stage.proposers[self.number]
        for problem in me.begin(ended, anyio.current_time() + world.scenario.timeout_s, Stage.holds.ends):
            world.problem(problem)
        world.note(f"editor {self.number} is asked about {[task.task_id for task in ended.tasks]}")
        try:
            if kind == "slow" or proposer.rng.random() < 0.2:
                await anyio.sleep(grid(proposer.rng, 5.0))
            return await self._answer(kind, proposer, ended)
        finally:
            me.answered |= me.now
            world.note(f"editor {self.number} has answered")

    async def _answer(self, kind: str, proposer: Proposer, ended: EndedTasks) -> Any:
        if kind == "hangs" and proposer.rng.random() < 0.3:
            await anyio.sleep_forever()
        if kind == "raises" and proposer.rng.random() < 0.5:
            raise AuthorError
        if kind == "wrong" and proposer.rng.random() < 0.5:
            return proposer.rng.choice((17, "rubbish", ["rubbish"], {"a": 1}))
        if proposer.rng.random() < (0.4 if kind != "stubborn" else 0.1):
            return None
        if len(ended.plan.tasks) > 30:
            return None  # an editor that always adds something would never let a run end
        name = proposer.fresh()
        operations = proposer.operations(ended.plan)
        Stage.world.propose(name, operations, ended.revision)
        return Transaction(operations, None, name)


class Reviewer:
    """Reviews edits, and may take its time; how, the scenario says."""

    @hookimpl
    async def galaxy_review_edit(self, edit: ProposedEdit) -> str | None:
        transaction = edit.transaction
        with Stage.holds.reviewing(transaction.description, transaction.operations):
            if Stage.world.scenario.review == "slow":
                await anyio.sleep(grid(Stage.proposers[-1].rng, 4.0))
            return _review(transaction.description)


class PromptReviewer:
    """Reviews edits at once, so that a ConstellationEditor can be agreed with, too."""

    @hookimpl
    def galaxy_review_edit(self, edit: ProposedEdit) -> str | None:
        return _review(edit.transaction.description)


def _review(name: str) -> str | None:
    world, rng, kind = Stage.world, Stage.proposers[-1].rng, Stage.world.scenario.review
    if kind == "mixed" and rng.random() < 0.2:
        raise AuthorError
    if kind == "mixed" and rng.random() < 0.2:
        Stage.meddler.meddle()
    refuses = kind == "refuse" or (kind == "mixed" and rng.random() < 0.4)
    world.note(f"a review of {name} {'refuses' if refuses else 'agrees'}")
    if refuses:
        return "not today"
    world.agreed.add(name)
    return None


def happen(world: SimWorld, holds: Holds, what: str, number: int, host: anyio.CancelScope) -> Awaitable[Any] | None:
    """Something happens that is no edit; what has to be awaited of it, beside everything else."""
    run = world.orchestrator.run_of(RUN)
    fake = world.fakes[f"d{number % len(world.fakes)}"]
    world.note(f"{what} {number}")
    if what == "unplug":
        fake.unplug()
    elif what == "plug_in":
        fake.plug_in()
    elif run is not None and what == "cancel_task":
        ids = list(world.plan.tasks)
        if ids:
            world.orchestrator.cancel_task(ids[number % len(ids)], RUN)
    elif run is not None and what == "cancel_run":
        world.cancelled.add(RUN)
        return world.orchestrator.cancel_execution(RUN)
    elif run is not None and what == "cancel_host":
        holds.host_cancelled = True
        host.cancel()
    return None
