"""Random operations, some of which cannot be: on started and unknown tasks, in circles, twice the same id."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from galaxy_core import (
    AddDependency,
    AddTask,
    DependencyType,
    RemoveDependency,
    RemoveTask,
    TaskConstellation,
    TaskPriority,
    TaskStar,
    TaskStarLine,
    UpdateDependency,
    UpdateTask,
)
from tests.properties.sim import draws
from tests.properties.sim.model import is_started
from tests.properties.sim.world import RUN, SimWorld
from tests.properties.values import LinkPlan
from tests.properties.world import EVALUATORS, make_link, make_task


class Proposer:
    """Draws operations for one author or editor; `name` keeps its new ids apart from those of others."""

    def __init__(self, world: SimWorld, name: str, rng: random.Random) -> None:
        self.world, self.name, self.rng = world, name, rng
        self._count = 0

    def fresh(self) -> str:
        """A name that nothing had."""
        self._count += 1
        return f"{self.name}.{self._count}"

    def operations(self, view: TaskConstellation) -> list[Any]:
        """Some operations on a plan as it looks to them."""
        rng, found = self.rng, list[Any]()
        for _ in range(rng.choice((1, 1, 2, 3))):
            draw = rng.choice(
                (self._add, self._add, self._remove, self._update, self._update, self._link, self._relink)
            )
            found += draw(view)
        return found

    def play_with(self, copy: TaskConstellation) -> None:
        """Change a copy of a plan as somebody does who edits it by hand."""
        ids = [task_id for task_id, task in copy.tasks.items() if not is_started(task)]
        if ids and self.rng.random() < 0.5:
            copy.remove_task(self.rng.choice(ids))
        if self.rng.random() < 0.7:
            task = self.new_task()
            if copy.get_task(task.task_id) is None:
                copy.add_task(task)
                ended = self.rng.choice(list(copy.tasks))
                if ended != task.task_id and self.rng.random() < 0.5:
                    copy.add_dependency(self._line(ended, task.task_id))
        for task_id in ids:
            here = copy.get_task(task_id)
            if here is not None and not is_started(here) and self.rng.random() < 0.2:
                here.task_description = self.fresh()

    def new_task(self) -> TaskStar:
        """A task that is new, or one of an id that was there."""
        rng, known = self.rng, self.world.plans
        gone = [task_id for _, task_id in known if self.world.plan.get_task(task_id) is None]
        if gone and rng.random() < 0.5:
            return make_task(known[RUN, rng.choice(gone)])
        drawn = draws.task(rng, self.fresh(), len(self.world.fakes))
        self.world.add_task_plan(drawn)
        return make_task(drawn)

    def _some(self, view: TaskConstellation) -> str:
        ids = list(view.tasks)
        still = [task_id for task_id in ids if not is_started(view.tasks[task_id])]
        recent = {task_id for _, keys, _ in self.world.history[-3:] for kind, task_id in keys if kind == "task"}
        if (recent := recent.intersection(still)) and self.rng.random() < 0.4:
            return self.rng.choice(sorted(recent))  # where somebody else is at work
        if still and self.rng.random() < 0.85:
            return self.rng.choice(still)
        return self.rng.choice([*ids, "nobody"])

    def _line(self, source: str, target: str) -> TaskStarLine:
        rng = self.rng
        kind = DependencyType.SUCCESS_ONLY if rng.random() < 0.5 else rng.choice(draws.KINDS)
        condition = rng.choice((None, "yes", "no", *draws.MEDDLING)) if kind is DependencyType.CONDITIONAL else None
        return make_link(LinkPlan(source, target, kind, condition), self.fresh())

    def _add(self, view: TaskConstellation) -> Iterator[Any]:
        task = self.new_task()
        yield AddTask(task)
        if self.rng.random() < 0.5:
            yield AddDependency(self._line(self.rng.choice([*view.tasks, "nobody"]), task.task_id))
        if self.rng.random() < 0.3:
            yield AddDependency(self._line(task.task_id, self._some(view)))

    def _remove(self, view: TaskConstellation) -> Iterator[Any]:
        yield RemoveTask(self._some(view))

    def _update(self, view: TaskConstellation) -> Iterator[Any]:
        rng = self.rng
        changes: dict[str, Any] = rng.choice(
            (
                {"description": self.fresh()},
                {"description": self.fresh(), "estimate_s": float(rng.randint(1, 3))},
                {"priority": rng.choice(tuple(TaskPriority))},
                {"target_device_id": rng.choice([*self.world.fakes, None])},
            )
        )
        yield UpdateTask(self._some(view), changes)

    def _link(self, view: TaskConstellation) -> Iterator[Any]:
        source, target = self._some(view), self._some(view)
        if self.rng.random() < 0.5 and view.tasks:
            source = self.rng.choice(list(view.tasks))
        yield AddDependency(self._line(source, target))

    def _relink(self, view: TaskConstellation) -> Iterator[Any]:
        rng, lines = self.rng, view.get_all_dependencies()
        still = [line for line in lines if line._target is not None and not is_started(line._target)]
        if not lines:
            return
        line = rng.choice(still or lines)
        name: Any = line.line_id if rng.random() < 0.5 else (line.from_task_id, line.to_task_id)
        if rng.random() < 0.4:
            yield RemoveDependency(name)
        else:
            kind = rng.choice(draws.KINDS)
            evaluator = EVALUATORS[rng.choice(("yes", "no"))] if kind is DependencyType.CONDITIONAL else None
            yield UpdateDependency(name, {"dependency_type": kind, "condition_evaluator": evaluator})
