"""Runs that are paused, continued, stopped and told of a task's end through their control socket; and in their journal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from galaxy_core import Attempt, Completed, RunError, TransitionError, Unknown, UnknownTaskError, resolve_recorded
from galaxy_core.model.records.replay import replay
from galaxy_core.testing.journals import MemoryJournal

from .fakes import plan, rig
from .test_control import running, until_over

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="there are no UNIX sockets in anyio there"),
]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Real time: the other end of a socket has no virtual one."""
    return request.param, {}


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets are; pytest's own folders have paths that are too long for them."""
    with TemporaryDirectory(prefix="g") as place:
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        yield Path(place)


async def test_a_run_is_paused_and_goes_on() -> None:
    async with running() as run:
        paused = await run.ask("pause", author="ann")
        assert paused == {"ok": True, "run": "nightly", "changed": True, "status": "paused", "running": 1}
        assert (await run.ask("pause"))["changed"] is False
        assert (await run.ask("status"))["status"] == "paused"
        run.go_on("a", "b", "c")
        with anyio.fail_after(30):
            while (await run.ask("why", task="b"))["kind"] != "paused":
                await anyio.lowlevel.checkpoint()
        assert (await run.ask("continue"))["changed"] is True
        await until_over(run)
    assert run.result["status"] == "completed"


async def test_a_run_that_nothing_keeps_is_not_stopped_and_goes_on() -> None:
    async with running() as run:
        refused = await run.ask("stop")
        assert (refused["ok"], refused["code"]) == (False, "refused")
        assert "kept in no journal" in refused["error"]
        run.go_on("a", "b", "c")
        await until_over(run)
        assert (await run.ask("pause"))["code"] == "not running"
    assert run.result["status"] == "completed"


async def test_what_is_no_request_to_steer_is_told_what_is() -> None:
    async with running() as run:
        assert (await run.ask("pause", now=True))["code"] == "garbage"
        assert (await run.ask("pause", author=3))["code"] == "garbage"
        assert (await run.ask("resolve", task="a"))["code"] == "garbage"


async def test_only_a_task_that_is_unknown_is_resolved() -> None:
    async with running("a b", "") as run:
        unknown = await run.ask("resolve", task="aa", **{"as": "failed"})
        assert (unknown["code"], unknown["problems"]) == ("unknown task", [{"near": ["a"], "known": ["a", "b"]}])
        refused = await run.ask("resolve", task="a", **{"as": "failed"})
        assert (refused["code"], "running" in refused["error"]) == ("refused", True)


async def test_a_task_of_a_run_that_nobody_runs_is_resolved_in_its_journal() -> None:
    journal = MemoryJournal()
    constellation = plan("pay thank", "pay>thank", constellation_id="paying")

    async def forgets(attempt: Attempt) -> Completed | Unknown:
        return Unknown("the line was cut")

    async with rig(slots=1) as house:
        house.transport.default = forgets
        house.orchestrator._journal = journal
        result = await house.run(constellation)
    assert result["statistics"]["task_status_counts"] == {"unknown": 1, "skipped": 1}
    found = await resolve_recorded(journal, "paying", "pay", "completed", by="ann")
    assert [task.task_id for task in found.ready] == ["thank"]
    known = replay(journal.read("paying"))
    assert known.resolutions[-1]["by"] == "ann"
    statuses = {name: task["status"] for name, task in known.document()["tasks"].items()}
    assert statuses == {"pay": "completed", "thank": "pending"}
    before = list(journal.read("paying"))
    with pytest.raises(TransitionError):
        await resolve_recorded(journal, "paying", "pay", "failed")
    with pytest.raises(UnknownTaskError):
        await resolve_recorded(journal, "paying", "pya", "failed")
    with pytest.raises(RunError):
        await resolve_recorded(journal, "playing", "pay", "failed")
    assert journal.read("paying") == before
