"""Control sockets: who may use them, what they answer, and that nobody who connects can harm or hold the run."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import define, field

from galaxy_core import (
    Completed,
    ConstellationModificationSynchronizer,
    ControlError,
    EventType,
    TaskConstellation,
    UnknownRunError,
    ask_run,
    control_socket,
    hookimpl,
    reachable_runs,
    watch_run,
)
from galaxy_core.extension.interfaces import Attempt
from galaxy_core.runtime.control import client
from galaxy_core.runtime.control.connection import ControlLimits
from galaxy_core.runtime.control.place import LONGEST, control_folder, find_socket, listen, socket_name
from galaxy_core.runtime.desk import UNWANTED

from .fakes import Rig, plan, rig, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="there are no UNIX sockets in anyio there"),
]

ADD_D = {"operations": [{"add_task": {"id": "d", "run": ["echo"], "needs": ["a"]}}]}


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


@define
class Running:
    """A run whose tasks end when `go_on` says so."""

    house: Rig
    constellation: TaskConstellation
    synchronizer: ConstellationModificationSynchronizer
    path: Path
    name: str
    gates: dict[str, anyio.Event] = field(factory=dict)
    result: dict[str, Any] = field(factory=dict)

    async def step(self, attempt: Attempt) -> Completed:
        await self.gate(attempt.task_id).wait()
        attempt.emit("stdout", f"{attempt.task_id} speaks")
        return Completed(stdout="x" * 1000)

    def gate(self, task_id: str) -> anyio.Event:
        return self.gates.setdefault(task_id, anyio.Event())

    def go_on(self, *task_ids: str) -> None:
        for task_id in task_ids:
            self.gate(task_id).set()

    async def ask(self, what: str, **more: Any) -> dict[str, Any]:
        with anyio.fail_after(30):
            return await ask_run(self.name, {"do": what, **more})


@asynccontextmanager
async def running(
    tasks: str = "a b c",
    links: str = "a>b b>c",
    name: str = "nightly",
    slots: int = 1,
    plugins: Sequence[object] = (),
    recorded: bool = True,
    **limits: Any,
) -> AsyncIterator[Running]:
    """A run that can be reached, under way; it ends with the block, whatever of it has not."""
    async with rig(slots=slots, plugins=plugins) as house, anyio.create_task_group() as group:
        if not recorded:
            house.bus.unsubscribe(house.recorder)
        constellation = plan(tasks, links, constellation_id=name)
        synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
        house.orchestrator.set_modification_synchronizer(synchronizer)
        begun = anyio.Event()
        async with control_socket(
            house.orchestrator, synchronizer, constellation, limits=ControlLimits(**limits)
        ) as path:
            run = Running(house, constellation, synchronizer, path, name)

            async def step(attempt: Attempt) -> Completed:
                begun.set()
                return await run.step(attempt)

            async def execute() -> None:
                run.result |= await house.run(constellation)

            house.transport.default = step
            group.start_soon(execute)
            with anyio.fail_after(30):
                await begun.wait()
            yield run
            await house.orchestrator.cancel_all()


async def until_over(run: Running) -> None:
    with anyio.fail_after(60):
        await until(lambda: run.result)


@asynccontextmanager
async def raw(path: Path) -> AsyncIterator[tuple[anyio.abc.SocketStream, BufferedByteReceiveStream]]:
    with anyio.fail_after(60):
        async with await anyio.connect_unix(path) as stream:
            yield stream, BufferedByteReceiveStream(stream)


async def answer(lines: BufferedByteReceiveStream) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(await lines.receive_until(b"\n", 1 << 26))
    return document


async def is_closed(lines: BufferedByteReceiveStream) -> bool:
    try:
        await lines.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return True
    return False


# ------------------------------------------------------------------------------------------------- questions
async def test_a_run_says_how_it_stands() -> None:
    async with running() as run:
        status = await run.ask("status")
    assert status["ok"] is True
    assert (status["run"], status["status"], status["pid"]) == ("nightly", "executing", os.getpid())
    assert status["journal"] is None
    assert (status["total_tasks"], status["counts"]) == (3, {"running": 1, "pending": 2})
    assert [(task["task"], task["device"], task["attempt"]) for task in status["running"]] == [("a", "d1", 1)]


async def test_a_run_says_why_a_task_waits() -> None:
    async with running() as run:
        why = await run.ask("why", task="c")
        unknown = await run.ask("why", task="cc")
    assert (why["kind"], why["holders"]) == ("link", ["b"])
    assert "'c' waits for 'b'" in why["text"]
    assert (unknown["ok"], unknown["code"]) == (False, "unknown task")


async def test_a_run_that_has_not_started_says_so_and_cannot_be_edited() -> None:
    async with rig() as house:
        constellation = plan("a", constellation_id="early")
        synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
        async with control_socket(house.orchestrator, synchronizer, constellation):
            assert (await ask_run("early", {"do": "status"}))["started"] is None
            assert (await ask_run("early", {"do": "why", "task": "a"}))["kind"] == "not running"
            refused = await ask_run("early", {"do": "edit", "transaction": ADD_D})
    assert (refused["ok"], refused["code"]) == (False, "not running")


# ------------------------------------------------------------------------------------------------- edits
async def test_a_preview_says_what_would_change_and_changes_nothing() -> None:
    async with running() as run:
        found = await run.ask("preview", transaction=ADD_D, mermaid=True)
        assert found["ok"], found
        assert [task["task_id"] for task in found["preview"]["tasks"]["added"]] == ["d"]
        assert "d" in found["text"]
        assert found["mermaid"].startswith("flowchart")
        assert (run.constellation.task_count, run.constellation.revision) == (3, found["preview"]["revision"])


async def test_an_edit_takes_effect_and_its_task_runs() -> None:
    async with running() as run:
        done = await run.ask("edit", transaction=ADD_D, author="ann")
        assert done["ok"], done
        assert done["revision"] == run.constellation.revision
        run.go_on("a", "b", "c", "d")
        await until_over(run)
        task = run.constellation.get_task("d")
        assert task is not None
        assert task.status == "completed"
    assert run.result["status"] == "completed"


async def test_an_edit_that_cannot_be_says_why_of_each_operation_and_changes_nothing() -> None:
    wrong = {"operations": [{"remove_task": "a"}, {"remove_task": "nobody"}]}
    async with running() as run:
        before = run.constellation.revision
        refused = await run.ask("edit", transaction=wrong)
        assert run.constellation.revision == before
    assert refused["ok"] is False
    assert [(problem["operation"], problem["kind"]) for problem in refused["problems"]] == [
        (0, "started"),
        (1, "unknown"),
    ]


async def test_an_edit_can_be_bound_to_the_revision_of_its_preview() -> None:
    change = {"operations": [{"update_task": {"id": "c", "priority": "high"}}]}
    async with running() as run:
        seen = (await run.ask("preview", transaction=change))["preview"]["revision"]
        assert (await run.ask("edit", transaction={"operations": [{"update_task": {"id": "c", "timeout_s": 9}}]}))["ok"]
        conflict = await run.ask("edit", transaction=change, revision=seen)
        assert (conflict["ok"], conflict["code"]) == (False, "conflict")
        elsewhere = {"operations": [{"update_task": {"id": "b", "priority": "high"}}]}
        assert (await run.ask("edit", transaction=elsewhere, revision=seen))["ok"]


async def test_an_edit_can_be_taken_back_once() -> None:
    async with running() as run:
        done = await run.ask("edit", transaction=ADD_D)
        undone = await run.ask("undo", edit=done["edit"])
        assert undone["ok"], undone
        assert run.constellation.get_task("d") is None
        again = await run.ask("undo", edit=done["edit"])
        assert (again["ok"], again["code"]) == (False, "unknown edit")


async def test_a_transaction_that_is_none_is_unreadable() -> None:
    async with running() as run:
        refused = await run.ask("edit", transaction={"operatoins": []})
        also = await run.ask("edit", transaction="{")
        third = await run.ask("edit", transaction=7)
    assert [one["code"] for one in (refused, also, third)] == ["unreadable", "unreadable", "garbage"]
    assert refused["problems"]


async def test_an_edit_is_taken_back_by_a_beginning_of_its_id_that_is_its_own() -> None:
    async with running() as run:
        done = await run.ask("edit", transaction=ADD_D)
        assert (await run.ask("undo", edit=""))["code"] == "unknown edit"
        assert (await run.ask("undo", edit=done["edit"][:6]))["ok"]
        assert run.constellation.get_task("d") is None


async def test_an_edit_that_changes_nothing_says_so_and_cannot_be_taken_back() -> None:
    same = {"operations": [{"update_task": {"id": "c", "priority": "medium"}}]}
    async with running() as run:
        before = await run.ask("edit", transaction=ADD_D)
        done = await run.ask("edit", transaction=same)
        assert (before["changed"], done["changed"]) == (True, False)
        assert done["revision"] == before["revision"]
        assert (await run.ask("undo", edit=done["edit"]))["code"] == "unknown edit"
        assert (await run.ask("undo"))["ok"]
        assert run.constellation.get_task("d") is None


# ------------------------------------------------------------------------------------------------- edits given up
def _edit(**more: Any) -> bytes:
    return json.dumps({"do": "edit", "transaction": ADD_D, **more}).encode() + b"\n"


async def until_free(run: Running) -> dict[str, Any]:
    """Wait until the only connection that there may be has ended."""
    while not (status := await run.ask("status"))["ok"]:
        assert status["code"] == "busy"
    return status


async def test_an_edit_whose_client_has_left_before_it_was_read_is_not_done() -> None:
    async with running(connections=1) as run:
        with socket.socket(socket.AF_UNIX) as one:  # as of a process that was stopped meanwhile
            one.connect(str(run.path))
            one.sendall(_edit())
        assert (await until_free(run))["total_tasks"] == 3


async def test_a_client_that_says_no_more_but_reads_still_has_not_left() -> None:
    async with running() as run, raw(run.path) as (stream, lines):
        await stream.send(_edit())
        await stream.send_eof()
        assert (await answer(lines))["ok"]
        assert run.constellation.get_task("d") is not None


async def test_an_edit_is_not_done_after_the_time_that_its_client_waits() -> None:
    async with running() as run:
        late = await run.ask("edit", transaction=ADD_D, until=time.time() - 1)
        assert (late["ok"], late["code"]) == (False, "too late")
        assert run.constellation.get_task("d") is None
        assert (await run.ask("edit", transaction=ADD_D, until="soon"))["code"] == "garbage"
        done = await run.ask("edit", transaction=ADD_D, until=time.time() + 1000)
        assert (await run.ask("undo", edit=done["edit"], until=1))["code"] == "too late"
        assert run.constellation.get_task("d") is not None


class Reviewer:
    """Takes its time, and with `shield` cannot be kept from it."""

    def __init__(self, shield: bool = False) -> None:
        self.asked, self.may_go_on = anyio.Event(), anyio.Event()
        self.shield = shield

    @hookimpl
    async def galaxy_review_edit(self, edit: Any) -> None:
        self.asked.set()
        with anyio.CancelScope(shield=self.shield):
            await self.may_go_on.wait()


def given_up(run: Running) -> list[str]:
    """The reasons of refused edits, as events told them."""
    told = run.house.recorder.of(EventType.EDIT_REFUSED)
    return [problem["reason"] for one in told for problem in one.data["problems"]]


async def test_an_edit_whose_client_leaves_while_it_is_reviewed_is_not_done() -> None:
    reviewer = Reviewer()
    async with running(plugins=[reviewer], connections=1) as run:
        async with raw(run.path) as (stream, _):
            await stream.send(_edit() + b'{"do": "status"}\n')
            await reviewer.asked.wait()
        assert (await until_free(run))["total_tasks"] == 3
        assert given_up(run) == [UNWANTED.reason]
        reviewer.may_go_on.set()
        assert (await run.ask("edit", transaction=ADD_D))["ok"]


async def test_an_edit_whose_client_has_left_when_a_review_agrees_at_last_is_not_done_and_that_is_told() -> None:
    reviewer = Reviewer(shield=True)
    async with running(plugins=[reviewer], connections=1) as run:
        async with raw(run.path) as (stream, _):
            await stream.send(_edit())
            await reviewer.asked.wait()
        reviewer.may_go_on.set()
        assert (await until_free(run))["total_tasks"] == 3
        assert given_up(run) == [UNWANTED.reason]
        assert (await run.ask("edit", transaction=ADD_D))["ok"]


async def test_an_undo_whose_client_has_left_when_a_review_agrees_at_last_is_not_done_and_can_be_done_later() -> None:
    reviewer = Reviewer(shield=True)
    async with running(plugins=[reviewer]) as run:
        reviewer.may_go_on.set()
        assert (await run.ask("edit", transaction=ADD_D))["ok"]
        reviewer.asked, reviewer.may_go_on = anyio.Event(), anyio.Event()
        async with raw(run.path) as (stream, _):
            await stream.send(b'{"do": "undo"}\n')
            await reviewer.asked.wait()
        reviewer.may_go_on.set()
        await until(lambda: given_up(run))
        assert given_up(run) == [UNWANTED.reason]
        assert run.constellation.get_task("d") is not None
        assert (await run.ask("undo"))["ok"]
        assert run.constellation.get_task("d") is None


async def test_an_edit_that_is_reviewed_longer_than_its_client_waits_is_not_done() -> None:
    reviewer = Reviewer()
    async with running(plugins=[reviewer]) as run:
        late = await run.ask("edit", transaction=ADD_D, until=time.time() + 0.2)
        assert late["code"] == "too late"
        assert run.constellation.get_task("d") is None
        assert given_up(run) == [UNWANTED.reason]


async def test_what_is_asked_while_an_edit_is_reviewed_is_answered_afterwards() -> None:
    reviewer = Reviewer()
    async with running(plugins=[reviewer]) as run, raw(run.path) as (stream, lines):
        await stream.send(_edit())
        await reviewer.asked.wait()
        await stream.send(b'{"do": "status"}\n')
        await anyio.wait_all_tasks_blocked()
        reviewer.may_go_on.set()
        assert (await answer(lines))["changed"]
        assert (await answer(lines))["total_tasks"] == 4


# ------------------------------------------------------------------------------------------------- watching
async def test_a_watcher_who_wants_output_hears_it_though_nobody_did_when_the_run_started() -> None:
    async with running(recorded=False) as run, aclosing(watch_run("nightly", output=True)) as documents:
        assert (await anext(documents))["ok"]
        run.go_on("a", "b", "c")
        with anyio.fail_after(30):
            events = [document["event"] async for document in documents if "event" in document]
    told = {event["task"]: event["text"] for event in events if event["type"] == "task_output"}
    assert told == {"b": "b speaks", "c": "c speaks"}  # `a` had started before


async def test_a_watcher_hears_of_all_that_happens_and_of_the_end() -> None:
    async with running() as run:
        heard: list[dict[str, Any]] = []
        with anyio.fail_after(30):
            async with aclosing(watch_run("nightly")) as documents:
                async for document in documents:
                    heard.append(document)
                    if "ok" in document:
                        run.go_on("a")
                        await run.ask("edit", transaction=ADD_D)
                        run.go_on("b", "c", "d")
    assert heard[0]["ok"]
    assert heard[-1] == {"over": True}
    events = [document["event"] for document in heard[1:-1]]
    ended = [event["task"] for event in events if event["type"] == "task_completed"]
    assert sorted(ended) == ["a", "b", "c", "d"]
    edit = next(event for event in events if event["type"] == "edit_committed")
    assert [task["task_id"] for task in edit["diff"]["tasks"]["added"]] == ["d"]
    assert (events[-1]["type"], events[-1]["status"]) == ("run_result", "completed")


async def test_who_comes_to_watch_after_the_end_is_told_so() -> None:
    async with running() as run:
        run.go_on("a", "b", "c")
        await until_over(run)
        with anyio.fail_after(30):
            async with aclosing(watch_run("nightly")) as documents:
                heard = [document async for document in documents]
    assert heard[0]["status"] == "completed"
    assert heard[1:] == [{"over": True}]


async def test_a_watcher_that_does_not_read_is_dropped_with_a_word_and_the_run_ends_all_the_same() -> None:
    names = " ".join(f"t{number}" for number in range(600))
    async with running(names, "", slots=50, queued=100) as run, raw(run.path) as (stream, lines):
        await stream.send(b'{"do": "watch"}\n')
        assert (await answer(lines))["ok"]
        run.go_on(*names.split())
        await until_over(run)
        assert run.constellation.is_complete()
        said = [await answer(lines)]
        while "event" in said[-1]:
            said.append(await answer(lines))
        assert said[-1]["code"] == "too slow"
        assert len(said) < 1200
        assert await is_closed(lines)


async def test_a_watcher_that_leaves_is_no_longer_heard_for() -> None:
    async with running() as run:
        mailboxes = len(run.house.bus._each)
        async with raw(run.path) as (stream, lines):
            await stream.send(b'{"do": "watch"}\n')
            assert (await answer(lines))["ok"]
            assert len(run.house.bus._each) == mailboxes + 1
        with anyio.fail_after(30):
            await until(lambda: len(run.house.bus._each) == mailboxes)


async def test_a_watcher_does_not_hear_of_other_runs() -> None:
    async with running(slots=2) as run, aclosing(watch_run("nightly")) as documents:
        assert (await anext(documents))["ok"]
        run.go_on("other", "a", "b", "c")
        await run.house.run(plan("other", constellation_id="elsewhere"))
        with anyio.fail_after(30):
            heard = [document async for document in documents]
    assert "other" not in {document.get("event", {}).get("task") for document in heard}
    assert heard[-1] == {"over": True}


# ------------------------------------------------------------------------------------------------- bad input
GARBAGE = [
    b"\n",
    b"hello\n",
    b"\x00\xff\xfe\n",
    b"[]\n",
    b"null\n",
    b"{" * 100_000 + b"\n",
    b"[" * 100_000 + b"\n",
]


@pytest.mark.parametrize("line", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_is_answered_and_the_connection_closed(line: bytes) -> None:
    async with running() as run:
        async with raw(run.path) as (stream, lines):
            await stream.send(line)
            refused = await answer(lines)
            assert (refused["ok"], refused["code"]) == (False, "garbage")
            assert await is_closed(lines)
        assert (await run.ask("status"))["ok"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": 7},
        {"do": "dance"},
        {"do": "status", "more": 1},
        {"do": "why"},
        {"do": "why", "task": ["a"]},
        {"do": "edit"},
        {"do": "edit", "transaction": ADD_D, "revision": "soon"},
        {"do": "edit", "transaction": ADD_D, "author": 7},
    ],
    ids=str,
)
async def test_a_request_that_means_nothing_is_answered_and_the_next_one_heard(request_: Mapping[str, Any]) -> None:
    async with running() as run:
        before = run.constellation.revision
        async with raw(run.path) as (stream, lines):
            await stream.send(json.dumps(request_).encode() + b"\n" + b'{"do": "status"}\n')
            refused = await answer(lines)
            assert (refused["ok"], refused["code"]) == (False, "garbage")
            assert (await answer(lines))["ok"]
        assert run.constellation.revision == before


async def test_a_line_that_is_too_long_is_refused_before_it_is_whole() -> None:
    async with running() as run:
        async with raw(run.path) as (stream, lines):
            with pytest.raises(anyio.BrokenResourceError):
                for _ in range(11 * 16 + 100):
                    await stream.send(b"x" * (1 << 16))
            refused = await answer(lines)
        assert (refused["ok"], refused["code"]) == (False, "too long")
        assert (await run.ask("status"))["ok"]


async def test_half_a_line_and_then_silence_is_given_up() -> None:
    async with running(silence_s=0.05) as run:
        async with raw(run.path) as (stream, lines):
            await stream.send(b'{"do": "sta')
            refused = await answer(lines)
            assert (refused["ok"], refused["code"]) == (False, "silent")
            assert await is_closed(lines)
        run.go_on("a", "b", "c")
        await until_over(run)


async def test_half_a_line_and_then_the_end_is_nothing() -> None:
    async with running() as run:
        async with raw(run.path) as (stream, lines):
            await stream.send(b'{"do": "sta')
            await stream.send_eof()
            assert await is_closed(lines)
        assert (await run.ask("status"))["ok"]


async def test_connections_beyond_the_limit_are_turned_away_and_those_before_it_go_on() -> None:
    async with running(connections=2) as run, raw(run.path) as (stream, lines), raw(run.path) as other:
        for one, its_lines in ((stream, lines), other):
            await one.send(b'{"do": "status"}\n')
            assert (await answer(its_lines))["ok"]
        refused = await run.ask("status")
        assert (refused["ok"], refused["code"]) == (False, "busy")
        await stream.send(b'{"do": "status"}\n')
        assert (await answer(lines))["ok"]


async def test_of_connections_that_come_at_once_the_first_are_taken() -> None:
    async with running(connections=2) as run:
        with ExitStack() as stack:
            found = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(5)]
            for one in found:
                one.connect(str(run.path))  # all of them before the server can take one
            with anyio.fail_after(30):
                codes = [await anyio.to_thread.run_sync(one.makefile().readline) for one in found[2:]]
            assert [json.loads(code)["code"] for code in codes] == ["busy"] * 3
            assert not select.select(found[:2], [], [], 0)[0]


async def test_a_hundred_connections_at_once_leave_the_run_as_it_is() -> None:
    async with running(connections=8) as run:
        answers: list[bool] = []

        async def one() -> None:
            answers.append((await run.ask("status"))["ok"])

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(one)
        assert len(answers) == 100
        run.go_on("a", "b", "c")
        await until_over(run)
    assert run.result["status"] == "completed"


# ------------------------------------------------------------------------------------------------- places
async def test_the_socket_and_its_folder_are_the_owners_alone(runtime: Path) -> None:
    before = os.umask(0)
    try:
        async with running() as run:
            assert run.path == runtime / "galaxy" / "nightly.sock"
            assert run.path.stat().st_mode & 0o777 == 0o600
            assert run.path.parent.stat().st_mode & 0o777 == 0o700
            assert os.listdir(run.path.parent) == ["nightly.sock"]
    finally:
        os.umask(before)
    assert os.listdir(run.path.parent) == []


async def test_a_folder_that_is_not_safe_is_refused_by_both_ends(runtime: Path, tmp_path: Path) -> None:
    folder = runtime / "galaxy"
    async with rig() as house:
        synchronizer = ConstellationModificationSynchronizer(house.orchestrator)

        async def both(match: str) -> None:
            with pytest.raises(ControlError, match=match):
                async with control_socket(house.orchestrator, synchronizer, plan("a", constellation_id="x")):
                    pass
            with pytest.raises(ControlError, match=match):
                await ask_run("x", {"do": "status"})

        folder.mkdir()
        folder.chmod(0o777)
        await both("others can write")
        folder.rmdir()
        folder.symlink_to(tmp_path)
        await both("symbolic link")
        folder.unlink()
        if os.geteuid() == 0:
            folder.mkdir(mode=0o700)
            os.chown(folder, 65534, -1)
            await both("belongs to user 65534")


async def test_a_folder_of_another_user_in_the_environment_is_not_used(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert control_folder() == tmp_path / ".local" / "state" / "galaxy" / "runs"
    if os.geteuid() == 0:
        os.chown(runtime, 65534, -1)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        assert control_folder() == tmp_path / ".local" / "state" / "galaxy" / "runs"
        os.chown(runtime, 0, -1)


async def test_a_second_run_of_the_same_id_is_refused_a_socket_and_the_first_keeps_its_own() -> None:
    async with running() as run, rig() as house:
        synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
        with pytest.raises(ControlError, match="can be reached already"):
            async with control_socket(house.orchestrator, synchronizer, plan("a", constellation_id="nightly")):
                pass
        assert (await run.ask("status"))["total_tasks"] == 3


async def test_what_a_dead_process_has_left_gives_way(runtime: Path) -> None:
    folder = runtime / "galaxy"
    folder.mkdir(mode=0o700)
    for name in ("nightly.sock", "other.sock"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / name))
    async with running() as run:
        assert (await run.ask("status"))["ok"]
        assert [one["run"] for one in await reachable_runs()] == ["nightly"]
        assert os.listdir(folder) == ["nightly.sock"]
        with pytest.raises(UnknownRunError):
            await ask_run("other", {"do": "status"})


async def test_a_file_that_is_no_socket_is_left_alone(runtime: Path) -> None:
    folder = runtime / "galaxy"
    folder.mkdir(mode=0o700)
    (folder / "nightly.sock").write_text("mine")
    async with rig() as house:
        synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
        with pytest.raises(ControlError, match="is no socket"):
            async with control_socket(house.orchestrator, synchronizer, plan("a", constellation_id="nightly")):
                pass
    assert (folder / "nightly.sock").read_text() == "mine"


async def test_a_socket_that_is_removed_meanwhile_ends_nothing() -> None:
    async with running() as run, raw(run.path) as (stream, lines):
        os.unlink(run.path)
        with pytest.raises(UnknownRunError):
            await ask_run("nightly", {"do": "status"})
        await stream.send(b'{"do": "status"}\n')
        assert (await answer(lines))["ok"]


async def test_a_socket_that_is_somebody_elses_by_now_is_not_taken_away() -> None:
    async with running() as run:
        os.unlink(run.path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(run.path))
    assert run.path.exists()


async def test_a_long_or_strange_id_has_a_short_file_name_and_is_found_by_itself() -> None:
    names = ["x" * 300, "../../etc/passwd", "two words\n", "ünï", "a\x00b"]
    assert len({socket_name(name) for name in names}) == len(names)
    for name in names:
        assert len(socket_name(name)) <= 45
        assert "/" not in socket_name(name)
    async with running(name="two words\n") as run:
        assert (await run.ask("status"))["run"] == "two words\n"


async def test_a_path_that_is_too_long_for_a_socket_is_said_to_be(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * LONGEST)
    async with rig() as house:
        synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
        with pytest.raises(ControlError, match="too long"):
            async with control_socket(house.orchestrator, synchronizer, plan("a"), folder / "a.sock"):
                pass


async def test_a_run_is_found_by_the_beginning_or_the_end_of_its_id_that_is_its_own() -> None:
    async with running(name="plan_1_abc") as run, running(name="plan_2_abd"):
        assert find_socket("plan_1") == run.path
        assert find_socket("_abc") == run.path
        for little in ("abc", "1_ab", "lan_1"):  # too short, or in the middle
            with pytest.raises(UnknownRunError, match="no run"):
                find_socket(little)
        with pytest.raises(UnknownRunError, match="may mean 'plan_1_abc', 'plan_2_abd'") as several:
            find_socket("plan")
        assert several.value.several == ("plan_1_abc", "plan_2_abd")
        with pytest.raises(UnknownRunError, match="did you mean 'plan_1_abc'"):
            find_socket("plan_1_abx")
        with pytest.raises(UnknownRunError):
            find_socket("")


async def test_a_run_is_found_by_the_name_of_its_plan_if_no_other_has_it() -> None:
    async with running(name="one_1") as run, running(name="two_2") as other, running(name="two words\n") as strange:
        run.constellation.name = "nightly"
        other.constellation.name = strange.constellation.name = "backup"
        assert (await ask_run("nightly", {"do": "status"}))["run"] == "one_1"
        with pytest.raises(UnknownRunError, match=r"may mean .*'two_2' \(plan 'backup'\)") as several:
            await ask_run("backup", {"do": "status"})
        assert len(several.value.several) == 2
        with pytest.raises(UnknownRunError, match="did you mean 'nightly'"):
            await ask_run("nigthly", {"do": "status"})
        strange.constellation.name = "weekly"
        assert (await ask_run("weekly", {"do": "status"}))["run"] == "two words\n"


async def test_the_name_of_a_plan_goes_before_a_part_of_the_id_of_another_run() -> None:
    async with running(name="plan_1_0855"), running(name="plan_2_abcd") as other:
        assert (await ask_run("0855", {"do": "status"}))["run"] == "plan_1_0855"
        other.constellation.name = "0855"
        assert (await ask_run("0855", {"do": "status"}))["run"] == "plan_2_abcd"


async def test_an_error_inside_leaves_as_it_is_and_the_socket_goes() -> None:
    async with rig() as house:
        synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
        with pytest.raises(LookupError):
            async with control_socket(house.orchestrator, synchronizer, plan("a")) as path:
                raise LookupError
        assert not path.exists()


# ------------------------------------------------------------------------------------------------- another user
CONNECT = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as one:
    try:
        one.connect(sys.argv[1])
    except PermissionError:
        print("permission")
        sys.exit()
    try:
        one.sendall(b'{"do": "edit"}\\n')
    except BrokenPipeError:
        pass  # we have been answered and left already
    print(one.makefile().readline())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's")
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_user_is_refused_by_permissions_and_without_them_by_who_he_is(runtime: Path) -> None:
    async with running() as run:

        async def connect() -> str:
            command = [sys.executable, "-c", CONNECT, str(run.path)]
            with anyio.fail_after(60):
                done = await anyio.run_process(command, stderr=subprocess.PIPE)
            return done.stdout.decode().strip()

        os.chmod(runtime, 0o755)  # noqa: S103  it is what must not be enough
        assert await connect() == "permission"
        os.chmod(run.path.parent, 0o755)  # noqa: S103  it is what must not be enough
        assert await connect() == "permission"
        os.chmod(run.path, 0o666)  # noqa: S103  it is what must not be enough
        refused = json.loads(await connect())
        assert (refused["ok"], refused["code"]) == (False, "another user")
        assert "you are user 65534" in refused["error"]
        assert (await run.ask("status"))["ok"]


async def test_a_run_that_is_stopped_is_not_counted_among_those_that_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.05)
    async with running(name="one_1") as run:
        run.constellation.name = "nightly"
        stopped, place = await listen(control_folder() / "stopped_2.sock")  # nobody ever takes what comes
        with stopped:
            with pytest.raises(
                UnknownRunError, match="'stopped_2' does not answer: its process may be stopped, or busy"
            ) as caught:
                await ask_run("backup", {"do": "status"})
            assert caught.value.silent == ("stopped_2",)
            assert "those that can: 'one_1' (plan 'nightly')" in str(caught.value)
            assert (await ask_run("nightly", {"do": "status"}))["run"] == "one_1"
            place.leave()


async def test_a_run_that_is_not_there_may_have_ended_and_one_whose_process_is_gone_has() -> None:
    with pytest.raises(UnknownRunError, match="no run 'nightly' can be reached; it may have ended"):
        await ask_run("nightly", {"do": "status"})
    dead, _ = await listen(control_folder() / "dead_1.sock")
    dead.close()
    with pytest.raises(UnknownRunError, match="the run 'dead_1' has ended") as caught:
        await ask_run("dead_1", {"do": "status"})
    assert caught.value.is_gone


def test_of_several_runs_it_is_said_how_much_of_an_id_is_enough() -> None:
    ids = ["constellation_20261122_165440_e6979b6b", "constellation_20261122_165441_0b7d3c11"]
    assert "its last 8 characters are enough, such as '0b7d3c11'" in str(UnknownRunError("nightly", ids, ids))
    assert "enough" not in str(UnknownRunError("a", ["a1", "a2"], ["a1", "a2"]))
