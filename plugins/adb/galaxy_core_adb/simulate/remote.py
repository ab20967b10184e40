"""Phones in a process of their own, seen from this one: for figures, and to freeze them as a whole."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count as numbers
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from galaxy_core.errors import SimulatorError
from galaxy_core.testing.contract.faults import Fault, Phase, Truth
from galaxy_core_adb.simulate.child import lines
from galaxy_core_adb.simulate.faults import CELLS
from galaxy_core_adb.simulate.rig import make_key
from galaxy_core_adb.simulate.server import Server


class RemotePhone:
    """One phone there. It is a FarSide; `do` gives any other order of `child`."""

    def __init__(self, process: PhoneProcess, number: int, serial: str) -> None:
        self._process = process
        self._number = number
        self.serial = serial
        self.cells = CELLS

    async def do(self, verb: str, *given: Any) -> Any:
        """Have it do something, and wait until that is done.

        Raises:
            ValueError: it cannot.
        """
        return await self._process.order(self._number, verb, given)

    async def inject(self, fault: Fault, phase: Phase) -> None:
        """See FarSide."""
        await self.do("inject", fault, phase)
        if phase == "connect":
            await self._noticed()

    async def _noticed(self) -> None:
        online: bool = await self.do("online")
        await self._process.server.noticed(self.serial, lambda: online)

    async def heal(self) -> None:
        """See FarSide."""
        self._process.thaw()
        await self.do("heal")
        await self._noticed()
        await self._process.server.restore(self.serial)

    async def truth(self, mark: str) -> Truth:
        """See FarSide."""
        return Truth(**await self.do("truth", mark))

    async def remains(self) -> Sequence[str]:
        """See FarSide."""
        found: list[str] = await self.do("remains")
        return found


class PhoneProcess:
    """The phones of one process, and the server before them. Index it for a phone."""

    def __init__(self, process: subprocess.Popen[bytes], server: Server, tasks: TaskGroup) -> None:
        self.server = server
        self.phones: list[RemotePhone] = []
        self._process = process
        self._tasks = tasks
        self._numbers = numbers(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._asked: dict[int, anyio.Event] = {}
        self._ready = anyio.Event()

    def __getitem__(self, number: int) -> RemotePhone:
        return self.phones[number]

    def __len__(self) -> int:
        return len(self.phones)

    def __iter__(self) -> Iterator[RemotePhone]:
        return iter(self.phones)

    @property
    def port(self) -> int:
        """That of the adb server."""
        return self.server.port

    def freeze(self) -> None:
        """None of its phones does anything any more, not even what they run; the system still takes connections."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on as if nothing had been."""
        self._process.send_signal(signal.SIGCONT)

    async def order(self, phone: int, verb: str, given: Sequence[Any]) -> Any:
        """Give one order and wait for its answer."""
        assert self._process.stdin is not None
        number = next(self._numbers)
        self._asked[number] = anyio.Event()
        line = json.dumps({"id": number, "phone": phone, "do": verb, "with": list(given)}).encode() + b"\n"
        self._process.stdin.write(line)
        self._process.stdin.flush()
        try:
            await self._asked[number].wait()
        finally:
            del self._asked[number]
        answer = self._answers.pop(number)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["value"]

    async def ready(self) -> None:
        """Wait until the phones are there."""
        await self._ready.wait()
        if not self.phones:
            raise SimulatorError("phone", "the process of the phones ended at once")

    async def listen(self) -> None:
        """Hear what the process says, until it ends."""
        assert self._process.stdout is not None
        async for line in lines(self._process.stdout.fileno()):
            self._heard(json.loads(line))
        self._ready.set()

    def _heard(self, said: Mapping[str, Any]) -> None:
        if "serials" in said:
            self.phones = [RemotePhone(self, number, serial) for number, serial in enumerate(said["serials"])]
            self._ready.set()
        elif "kill_server" in said:
            self.server.kill()
        elif "restore" in said:
            self._tasks.start_soon(self.server.restore, self.phones[said["restore"]].serial)
        else:
            asked = self._asked.get(said["id"])
            if asked is not None:  # else whoever asked was cancelled
                self._answers[said["id"]] = dict(said)
                asked.set()


@asynccontextmanager
async def phones_elsewhere(
    count: int = 1, *, server: Server | None = None, **options: Any
) -> AsyncIterator[PhoneProcess]:
    """Start `count` phones in a process of their own, and a server that has them, or have an existing one connect to them.

    `options` are those of `Phone`, as far as JSON can say them.

    Raises:
        SimulatorError: they cannot be started here.
    """
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="galaxy-phones-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if server is None:
            server = Server(folder / "home")
            stack.callback(server.kill)
            await make_key(server)
        await server.start()
        key = (server.home / ".android" / "adbkey.pub").read_text()
        process = _spawn(count, folder, options)
        stack.callback(_end, process)
        async with anyio.create_task_group() as tasks:
            phones = PhoneProcess(process, server, tasks)
            tasks.start_soon(phones.listen)
            try:
                await phones.ready()
                for phone in phones:
                    await phone.do("trust", key)
                await server.connect([phone.serial for phone in phones])
                await server.until({phone.serial: "device" for phone in phones})
                yield phones
            except Exception as error:  # of whoever uses the phones: raised again outside of the group, as it is
                failure = error
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _spawn(count: int, folder: Path, options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "galaxy_core_adb.simulate.child", str(count), str(folder), json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    with process:  # closes its input, by which it ends, and waits for it
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
