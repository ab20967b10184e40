"""A far side in memory: it runs work, can be told to misbehave in each way and phase, and knows what really happened.

It speaks a small protocol of its own over links. It waits for timers and events alone, so that it also works under virtual
time. `FakeTransport(far=…)` reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from attrs import define

from galaxy_core.model.request import Command
from galaxy_core.testing.contract.faults import FAULTS, PHASES, Fault, Phase, Truth
from galaxy_core.testing.far_link import Link, LinkLostError

SLOW_S: Final = 0.15
#: Later than any deadline of a bench.
LATE_S: Final = 3.0
PIECE_BYTES: Final = 1 << 16
HUGE_BYTES: Final = 1 << 20
#: The folder of this far side that files are put into.
ROOT: Final = "/far"


@define(eq=False)
class Process:
    """The work of one mark. `children` are processes that it has started."""

    starts: int = 0
    is_alive: bool = False
    exit_code: int | None = None
    children: int = 0
    scope: anyio.CancelScope | None = None

    @property
    def is_running(self) -> bool:
        """Whether anything of it is there."""
        return self.is_alive or self.children > 0


class FakeFarSide:
    """See the module. Enter it (`async with`) before it is reached.

    `address` is where settings that have one find it. `key` and `settings` are those of its sightings. `files` maps paths to what is in them. `facts` are what it tells about itself. `links` are those that are open.
    """

    def __init__(self) -> None:
        self.cells: Mapping[tuple[Fault, Phase], str | None] = {
            (fault, phase): None for fault in FAULTS for phase in PHASES
        }
        self.facts: dict[str, str] = {"model": "made of thought", "system": "none"}
        self.address = "here"
        self.key = "fake-1"
        self.settings: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.links: set[Link] = set()
        self.processes: dict[str, Process] = {}
        self.records: set[str] = set()
        self.markers: dict[str, int | str | None] = {}  # by mark: an exit code, "refused", or None: no end is known
        self.changed = anyio.Event()
        self._fault: Fault | None = None
        self._phase: Phase | None = None
        self._has_frozen = self._is_dead = self._is_full = False
        self._logins = 0
        self._healed = anyio.Event()
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> FakeFarSide:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        assert self._group is not None
        self._group.cancel_scope.cancel()
        return await self._group.__aexit__(*error)

    # --------------------------------------------------------------------------------------------- as a far side
    async def inject(self, fault: Fault, phase: Phase) -> None:
        """See `FarSide.inject`."""
        self._fault, self._phase = fault, phase
        if phase == "connect" and fault in ("disconnect", "server_dead"):
            self._die()
        await anyio.lowlevel.checkpoint()

    async def heal(self) -> None:
        """See `FarSide.heal`."""
        self._fault = self._phase = None
        self._has_frozen = self._is_dead = self._is_full = False
        healed, self._healed = self._healed, anyio.Event()
        healed.set()
        self._tell()
        await anyio.lowlevel.checkpoint()

    async def truth(self, mark: str) -> Truth:
        """See `FarSide.truth`."""
        process = self.processes.get(mark, Process())
        return Truth(process.starts, process.is_running, process.exit_code)

    async def remains(self) -> Sequence[str]:
        """See `FarSide.remains`."""
        running = [f"process of {mark}" for mark, process in self.processes.items() if process.is_running]
        links = [f"{len(self.links)} open links"] if self.links else []
        markers = [f"marker of {mark}" for mark, said in sorted(self.markers.items()) if said != "refused"]
        return [*running, *links, *(f"record of {mark}" for mark in sorted(self.records)), *markers]

    async def fill_disk(self) -> None:
        """See `FarSideThatFills.fill_disk`."""
        self._is_full = True

    async def logins(self) -> int:
        """See `FarSideThatCountsLogins.logins`. Each link that is asked for is a login."""
        return self._logins

    # --------------------------------------------------------------------------------------------- its own voice
    @property
    def is_there(self) -> bool:
        """Whether it can be reached."""
        return not self._is_dead

    async def connect(self) -> Link:
        """A new link, when it says so.

        Raises:
            LinkLostError: it cannot be reached.
        """
        await anyio.lowlevel.checkpoint()
        self._logins += 1
        struck = self._fault if self._phase == "connect" else None
        if struck in ("hang", "frozen", "lost_answer") or self._is_frozen:
            await self._healed.wait()
        elif struck in {"slow", "trickle"}:
            await anyio.sleep(SLOW_S)
        elif struck == "late_answer":
            await anyio.sleep(LATE_S)
        if not self.is_there:
            raise LinkLostError("nobody answers")
        if struck == "authentication_lost":
            raise LinkLostError("it does not know us any more")
        if struck == "garbage":
            raise LinkLostError("it answers in no language that we know")
        link = Link(self)
        self.links.add(link)
        return link

    def take(self, link: Link, message: Sequence[Any]) -> None:
        """A message has come."""
        assert self._group is not None, "enter the far side before it is reached"
        word, *about = message
        self._group.start_soon(getattr(self, f"_on_{word}"), link, *about)

    @property
    def _is_frozen(self) -> bool:
        return self._has_frozen

    def _tell(self) -> None:
        changed, self.changed = self.changed, anyio.Event()
        changed.set()

    def _die(self) -> None:
        self._is_dead = True
        self._drop()
        self._tell()

    def _drop(self) -> None:
        for link in list(self.links):
            link.close()

    async def _awake(self) -> None:
        while self._is_frozen:
            await self._healed.wait()

    async def _struck(self, link: Link, phase: Phase) -> bool:
        """Misbehave, if it is time to. Whether to go on with the work all the same."""
        await self._awake()
        if phase != self._phase:
            return True
        match self._fault:
            case "hang":
                await self._healed.wait()
            case "frozen":
                self._has_frozen = True
                await self._awake()
            case "disconnect":
                self._phase = None
                self._drop()
            case "server_dead":
                self._die()
            case "garbage":
                await link.answer("\x00\xff garbage", b"\x00")
            case "slow":
                await anyio.sleep(SLOW_S)
            case "trickle":
                link.is_trickling = True
            case "duplicate_answer":
                link.says_twice = True
                if phase == "middle":
                    await link.answer("started")
            case "late_answer":
                await anyio.sleep(LATE_S)
            case "lost_answer":
                link.is_mute = True
            case "authentication_lost" if phase == "start":
                await link.answer("denied", "it does not know us any more")
                return False
            case "huge_output" if phase in ("start", "middle", "exit"):
                for _ in range(HUGE_BYTES // PIECE_BYTES):
                    await link.answer("stdout", b"x" * PIECE_BYTES)
            case "binary_output" if phase in ("start", "middle", "exit"):
                await link.answer("stdout", b"\xff\xfe\x00\x80")
        return True

    # --------------------------------------------------------------------------------------------- what it is asked
    async def _on_hello(self, link: Link) -> None:
        await self._awake()
        await link.answer("facts", dict(self.facts))

    async def _on_run(self, link: Link, mark: str, command: Command, marked: bool = False) -> None:
        if command.cwd is not None and command.cwd != ROOT:
            await link.answer("denied", f"there is no folder {command.cwd!r}")
            return
        self.records.add(mark)
        process = self.processes.setdefault(mark, Process())
        with anyio.CancelScope() as process.scope:
            if not await self._struck(link, "start"):
                self.records.discard(mark)
                return
            if marked and mark in self.markers:
                self.records.discard(mark)
                await link.answer("denied", "an attempt with this mark was there before")
                return
            if marked:
                self.markers[mark] = None
            process.starts += 1
            process.is_alive, process.exit_code = True, None
            try:
                await link.answer("started")
                process.exit_code = await self._work(link, process, command)
                if marked:
                    self.markers[mark] = process.exit_code
            finally:
                process.is_alive = False
                self._tell()
            await self._struck(link, "exit")
            await link.answer("exit", process.exit_code)

    async def _on_kill(self, link: Link, mark: str) -> None:
        await self._awake()
        process = self.processes.setdefault(mark, Process())
        process.children = 0
        if process.scope is not None:
            process.scope.cancel()
        while process.is_running:
            await anyio.lowlevel.checkpoint()
        self.records.discard(mark)
        await link.answer("gone")

    async def _on_fence(self, link: Link, mark: str) -> None:
        """From now on nothing starts under this mark."""
        await self._awake()
        self.markers.setdefault(mark, "refused")
        await link.answer("fenced")

    async def _on_settle(self, link: Link, mark: str, fences: bool = True) -> None:
        """Says what became of a mark, once it has ended."""
        await self._awake()
        if mark not in self.markers:
            if fences:
                self.markers[mark] = "refused"
            await link.answer("settled", "refused")
            return
        while (process := self.processes.get(mark)) is not None and process.is_alive:
            await self.changed.wait()
        self.records.discard(mark)
        await link.answer("settled", self.markers.get(mark))

    async def _on_release(self, link: Link, marks: Sequence[str]) -> None:
        await self._awake()
        for mark in marks:
            if self.markers.get(mark) != "refused":
                self.markers.pop(mark, None)
        await link.answer("released")

    async def _on_kill_leader(self, link: Link, mark: str) -> None:
        """What a careless transport would ask for."""
        process = self.processes.setdefault(mark, Process())
        if process.scope is not None:
            process.scope.cancel()
        while process.is_alive:
            await anyio.lowlevel.checkpoint()
        self.records.discard(mark)
        await link.answer("gone")

    async def _on_forget(self, link: Link, mark: str) -> None:
        if await self._struck(link, "clean_up"):
            self.records.discard(mark)
            await link.answer("forgotten")

    async def _on_push(self, link: Link, path: str, pieces: Sequence[bytes]) -> None:
        """Nothing is at `path` until all of it is here."""
        await self._struck(link, "start")
        part = b""
        for number, piece in enumerate(pieces):
            if number == len(pieces) // 2:
                await self._struck(link, "middle")
            if link.lost.is_set():
                return
            part += piece
        if self._is_full:
            await link.answer("full", 0)
            return
        self.files[path] = part
        await link.answer("pushed", len(part))

    async def _on_pull(self, link: Link, path: str) -> None:
        await self._struck(link, "start")
        found = self.files.get(path)
        if found is None:
            folder = any(name.startswith(f"{path}/") for name in self.files)
            await link.answer("missing", "it is a folder" if folder else "it does not exist")
            return
        for start in range(0, len(found), PIECE_BYTES):
            await link.answer("piece", found[start : start + PIECE_BYTES])
        await link.answer("pulled", len(found))

    # --------------------------------------------------------------------------------------------- work
    async def _work(self, link: Link, process: Process, command: Command) -> int:
        verb, *words = [str(word) for word in command.argv or ()]
        out, err, code, stays = b"", b"", 0, False
        match verb:
            case "say":
                out, err = words[0].encode(), words[1].encode() if len(words) > 1 else b""
            case "wait":
                await self._say(link, "stdout", words[0].encode() + b"\n")
                await anyio.sleep(float(words[1]))
            case "end":
                code = int(words[0])
            case "stay":
                out, stays, process.children = words[0].encode() + b"\n", True, int(words[1])
            case "copy":
                out = str(command.stdin or "").encode()
            case "binary":
                out = b"a\xff\xfeb"
            case "arguments":
                out = "".join(f"[{word}]\n" for word in words).encode()
            case "variable":
                out = str(command.env.get(words[0], "")).encode()
            case "where":
                out = (command.cwd or "/").encode()
            case "show":
                out = self.files.get(f"{ROOT}/{words[0]}", b"")
            case "leave":
                self.files[f"{ROOT}/{words[0]}"] = words[1].encode()
            case "flood":
                await self._flood(link, int(words[0]))
            case _:
                err, code = f"{verb}: not found\n".encode(), 127
        await self._say(link, "stdout", out[: len(out) // 2])
        await self._struck(link, "middle")
        await self._say(link, "stdout", out[len(out) // 2 :])
        await self._say(link, "stderr", err)
        if stays:
            await anyio.sleep(math.inf)
        return code

    async def _say(self, link: Link, stream: str, data: bytes) -> None:
        size = 1 if link.is_trickling else PIECE_BYTES
        for start in range(0, len(data), size):
            if link.is_trickling:
                await anyio.sleep(0.001)
            await link.answer(stream, data[start : start + size])

    async def _flood(self, link: Link, size_bytes: int) -> None:
        for start in range(0, size_bytes, PIECE_BYTES):
            await self._say(link, "stdout", b"x" * min(PIECE_BYTES, size_bytes - start))
