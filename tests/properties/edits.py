"""Edits of a constellation that runs, as somebody else in the same program would make them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import evolve

from galaxy_core import DeviceType, PlanError, TaskConstellation, TaskStar, TaskStarLine
from tests.properties.oracle import COMPLETED, FAILED, End
from tests.properties.values import Happening, LinkPlan, TaskPlan
from tests.properties.world import EVALUATORS, World, make_link, make_task


def edit(world: World, run_id: str, happening: Happening) -> None:
    """Make an edit, unless the model refuses it."""
    with suppress(PlanError):  # the model may refuse, and has to be as it was
        EDITS[happening.edit](world, run_id, happening)
    world.check_graphs()


def _pick(constellation: TaskConstellation, number: int) -> TaskStar:
    tasks = constellation.get_all_tasks()
    if not tasks:
        raise PlanError("nothing is left to edit")
    return tasks[number % len(tasks)]


def _pick_link(constellation: TaskConstellation, number: int) -> TaskStarLine:
    lines = constellation.get_all_dependencies()
    if not lines:
        raise PlanError("no link is left to edit")
    return lines[number % len(lines)]


def _add(world: World, run_id: str, happening: Happening) -> None:
    constellation = world.constellations[run_id]
    plan = evolve(happening.task, task_id=f"new{len(world.plans)}")
    source = _pick(constellation, happening.pick).task_id
    world.plans[run_id, plan.task_id] = plan
    constellation.add_task(make_task(plan))
    constellation.add_dependency(make_link(LinkPlan(source, plan.task_id, happening.kind, happening.condition)))


def _add_before(world: World, run_id: str, happening: Happening) -> None:
    constellation = world.constellations[run_id]
    plan = evolve(happening.task, task_id=f"new{len(world.plans)}")
    target = _pick(constellation, happening.pick).task_id
    world.plans[run_id, plan.task_id] = plan
    constellation.add_task(make_task(plan))
    constellation.add_dependency(make_link(LinkPlan(plan.task_id, target, happening.kind, happening.condition)))


def _link(world: World, run_id: str, happening: Happening) -> None:
    constellation = world.constellations[run_id]
    source, target = _pick(constellation, happening.pick), _pick(constellation, happening.other)
    link = LinkPlan(source.task_id, target.task_id, happening.kind, happening.condition)
    constellation.add_dependency(make_link(link))


def _unlink(world: World, run_id: str, happening: Happening) -> None:
    constellation = world.constellations[run_id]
    constellation.remove_dependency(_pick_link(constellation, happening.pick).line_id)


def _remove(world: World, run_id: str, happening: Happening) -> None:
    constellation = world.constellations[run_id]
    constellation.remove_task(_pick(constellation, happening.pick).task_id)


def _kind(world: World, run_id: str, happening: Happening) -> None:
    _pick_link(world.constellations[run_id], happening.pick).dependency_type = happening.kind


def _condition(world: World, run_id: str, happening: Happening) -> None:
    evaluator = None if happening.condition is None else EVALUATORS[happening.condition]
    _pick_link(world.constellations[run_id], happening.pick).condition_evaluator = evaluator


def _setter(name: str, value: Callable[[Happening], Any], said: str | None = None) -> Callable[..., None]:
    def change(world: World, run_id: str, happening: Happening) -> None:
        task = _pick(world.constellations[run_id], happening.pick)
        setattr(task, name, value(happening))
        if said is not None:
            key = run_id, task.task_id
            world.plans[key] = evolve(world.plans[key], **{said: getattr(happening.task, said)})

    return change


def _pin(world: World, run_id: str, happening: Happening) -> None:
    task = _pick(world.constellations[run_id], happening.pick)
    task.target_device_id = None if happening.task.pin is None else f"d{happening.task.pin % len(world.fakes)}"


def _by_hand(end: Callable[[TaskConstellation, TaskStar], End]) -> Callable[..., None]:
    def finish(world: World, run_id: str, happening: Happening) -> None:
        constellation = world.constellations[run_id]
        task = _pick(constellation, happening.pick)
        if not task.is_terminal:
            ended = end(constellation, task)
            world.by_hand[run_id, task.task_id] = ended

    return finish


def _cancelled(constellation: TaskConstellation, task: TaskStar) -> End:
    task.cancel()
    return End(task.status)


def _completed(constellation: TaskConstellation, task: TaskStar) -> End:
    constellation.mark_task_completed(task.task_id, success=True, result=1)
    return End(COMPLETED, 1)


def _failed(constellation: TaskConstellation, task: TaskStar) -> End:
    error = LookupError("it was not found")
    constellation.mark_task_completed(task.task_id, success=False, error=error)
    return End(FAILED, error)


EDITS: dict[str, Callable[[World, str, Happening], None]] = {
    "add": _add,
    "add before": _add_before,
    "link": _link,
    "unlink": _unlink,
    "remove": _remove,
    "kind": _kind,
    "condition": _condition,
    "priority": _setter("priority", lambda happening: happening.task.priority),
    "requires": _setter("requires", lambda happening: happening.task.requires, "requires"),
    "device type": _setter("device_type", lambda happening: _type(happening.task), "device_type"),
    "effect": _setter("effect", lambda happening: happening.task.effect, "effect"),
    "pin": _pin,
    "cancel by hand": _by_hand(_cancelled),
    "complete by hand": _by_hand(_completed),
    "fail by hand": _by_hand(_failed),
}


def _type(task: TaskPlan) -> DeviceType | None:
    return None if task.device_type is None else DeviceType(task.device_type)
