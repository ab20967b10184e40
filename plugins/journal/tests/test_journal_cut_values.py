"""A run goes on whose long values are lost, because their files are gone or changed: no task gets a part of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict

from galaxy_core import (
    Action,
    ConstellationDeviceManager,
    Device,
    Effect,
    PluginRegistry,
    Reference,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)
from galaxy_core.errors import ResumeError
from galaxy_core.extension.interfaces import Completed
from galaxy_core.testing.journals import MemoryJournal
from galaxy_core_journal import SqliteJournal

BIG = "x" * 3_000_000


class Taken(BaseModel):
    """Any arguments."""

    model_config = ConfigDict(extra="allow")


class Work:
    """What tasks do: the length of what each of them got is noted."""

    name, features = "work", frozenset[str]({"stops", "sends"})
    settings_model = device_type = None
    requests = frozenset({"none"})
    actions: Mapping[str, Any] = {"take": Taken}

    def __init__(self) -> None:
        self.got: dict[str, dict[str, Any]] = {}
        self.began = anyio.Event()

    @asynccontextmanager
    async def open(self, device: Device, settings: Any) -> AsyncIterator[Work]:
        yield self

    async def execute(self, attempt: Any) -> Completed:
        request = attempt.request
        given = {**(attempt.task.task_data or {}), **(request.arguments if isinstance(request, Action) else {})}
        self.got[attempt.task_id] = given
        if attempt.task_id == "wait" and not self.began.is_set():
            self.began.set()
            await anyio.sleep_forever()
        if attempt.task_id == "first":
            return Completed(value=BIG)
        return Completed()

    async def probe(self) -> dict[str, Any]:
        return {}


def given_data() -> TaskConstellation:
    return plan_of(TaskStar("b", target_device_id="here", task_data={"text": BIG, "bytes": BIG.encode()}))


def given_arguments() -> TaskConstellation:
    return plan_of(
        TaskStar(
            "b", target_device_id="here", request=Action("take", {"text": BIG, "nested": {"bytes": [BIG.encode()]}})
        )
    )


def referring() -> TaskConstellation:
    return plan_of(
        TaskStar("b", target_device_id="here", request=Action("take", {"text": Reference("first", "value")}))
    )


def plan_of(task: TaskStar) -> TaskConstellation:
    names = ("first", "wait")
    tasks = [TaskStar(name, target_device_id="here", effect=Effect.IDEMPOTENT) for name in names]
    lines = [TaskStarLine("first", "wait"), TaskStarLine("first", "b"), TaskStarLine("wait", "b")]
    return TaskConstellation.build([*tasks, task], lines, constellation_id="p")


async def left(journal: Any, plan: TaskConstellation, work: Work) -> None:
    """Have a run be left by its process when its first task has ended."""
    async with running(journal, work) as orchestrator, anyio.create_task_group() as group:

        async def stop() -> None:
            await work.began.wait()
            await orchestrator.stop("p", interrupt=True)

        group.start_soon(stop)
        assert (await orchestrator.orchestrate_constellation(plan))["status"] == "stopped"
    work.got.clear()


@asynccontextmanager
async def running(journal: Any, work: Work) -> AsyncIterator[TaskConstellationOrchestrator]:
    plugins = PluginRegistry()
    plugins.register(work)
    async with ConstellationDeviceManager(plugins=plugins) as manager:
        manager.add_device(Device("here", "work"))
        yield TaskConstellationOrchestrator(manager, journal=journal)


def lose(folder: Path, what: str) -> None:
    found = list(folder.rglob("texts/*"))
    assert found
    for path in found:
        path.unlink() if what == "missing" else path.write_text("y" * path.stat().st_size)


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["missing", "changed", "never there"])
@pytest.mark.parametrize("build", [given_data, given_arguments])
async def test_a_task_whose_long_input_is_lost_never_gets_its_beginning(
    build: Callable[[], TaskConstellation], what: str, tmp_path: Path
) -> None:
    work, journal = Work(), MemoryJournal() if what == "never there" else SqliteJournal(tmp_path)
    await left(journal, build(), work)
    if what != "never there":
        lose(tmp_path, what)
    async with running(journal, work) as orchestrator:
        with pytest.raises(ResumeError, match=r"is missing or was changed|keeps no files"):
            await orchestrator.resume("p")
        assert work.got == {}
        if build is given_data and what != "never there":
            other = plan_of(
                TaskStar("b", target_device_id="here", task_data={"text": BIG[:-1] + "z", "bytes": BIG.encode()})
            )
            with pytest.raises(ResumeError, match="another task data"):
                await orchestrator.resume("p", constellation=other)
        assert (await orchestrator.resume("p", constellation=build()))["status"] == "completed"
    found = work.got["b"]
    assert found["text"] == BIG
    assert found.get("bytes") == BIG.encode() or list(found["nested"]["bytes"]) == [BIG.encode()]


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["missing", "changed", "never there", "there"])
async def test_a_task_that_refers_to_a_lost_value_fails_and_says_which_file(what: str, tmp_path: Path) -> None:
    work, journal = Work(), MemoryJournal() if what == "never there" else SqliteJournal(tmp_path)
    await left(journal, referring(), work)
    if what in ("missing", "changed"):
        lose(tmp_path, what)
    async with running(journal, work) as orchestrator:
        run = await orchestrator.resume("p")
    if what == "there":
        assert work.got["b"]["text"] == BIG
        return
    assert "b" not in work.got
    assert run["status"] == "partially_failed"
    assert "are left, because the" in str(run["results"]["b"].error)
