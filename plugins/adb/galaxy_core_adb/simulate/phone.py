"""A simulated phone: it listens as `adb tcpip` has a phone listen, and really runs what it is asked to run."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal, Protocol

import anyio
from anyio.abc import SocketListener, SocketStream, TaskGroup, TaskStatus

from galaxy_core.testing.contract.faults import Fault, Phase, Truth
from galaxy_core_adb.simulate import services
from galaxy_core_adb.simulate.disk import Disk
from galaxy_core_adb.simulate.faults import CELLS, GARBAGE, Faults, Strike, WireFaults
from galaxy_core_adb.simulate.keys import PublicKey
from galaxy_core_adb.simulate.link import Link
from galaxy_core_adb.simulate.logs import Log
from galaxy_core_adb.simulate.packages import programs_of
from galaxy_core_adb.simulate.process import Process
from galaxy_core_adb.simulate.stream import Stream
from galaxy_core_adb.simulate.stubs import place_stubs, serve_stub
from galaxy_core_adb.simulate.truth import Attempts, kill, processes_with
from galaxy_core_adb.simulate.wire import CNXN, MAX_PAYLOAD, VERSION_WITHOUT_CHECKSUMS

#: What a phone does with a host whose key it does not know: agree; ask its owner, which `agree` answers; ask and get no
#: answer. "open" takes every host without a key.
Authentication = Literal["open", "accepts", "asks", "refuses"]
_FEATURES: Final = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "sendrecv_v2")
_PROPERTIES: Final = {
    "ro.product.manufacturer": "Simulated",
    "ro.product.brand": "simulated",
    "ro.product.model": "Simulated Phone",
    "ro.product.name": "sim",
    "ro.product.device": "sim",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.build.fingerprint": "simulated/sim/sim:14/SIM/1:userdebug/test-keys",
    "ro.build.type": "userdebug",
    "sys.boot_completed": "1",
}


class ServerOfPhone(Protocol):
    """The adb server behind which a phone stands, as far as a phone has to do with it."""

    async def die(self) -> None: ...
    async def restore(self, serial: str) -> None: ...
    async def noticed(self, serial: str, online: Callable[[], bool]) -> None: ...


class Phone:
    """One phone. Enter `running` to have it live; then `serial` is what `adb connect` takes.

    `shell_v2` false: as Android before 7. `version` below VERSION_WITHOUT_CHECKSUMS: as before Android 9.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "sim",
        *,
        authentication: Authentication = "accepts",
        shell_v2: bool = True,
        version: int = VERSION_WITHOUT_CHECKSUMS,
        boot_s: float = 0.3,
    ) -> None:
        self.name = name
        self.authentication = authentication
        self.shell_v2 = shell_v2
        self.version = version
        self.boot_s = boot_s
        self.identity = f"{name}-{secrets.token_hex(8)}"
        self.disk = Disk(folder)
        self.faults = Faults()
        self.wire = WireFaults()
        self.attempts = Attempts()
        self.log = Log()
        self.properties = {**_PROPERTIES, "ro.serialno": name}
        self.packages: dict[str, str] = {"com.android.settings": "/system/app/Settings.apk"}
        self.settings: dict[tuple[str, str], str] = {}
        self.battery: dict[str, str] = {}
        self.inputs: list[tuple[str, ...]] = []
        self.activities: list[str] = []
        self.width, self.height = 1080, 2400
        self.serial = ""
        self.port = 0
        self.links: set[Link] = set()
        self.keys: set[PublicKey] = set()
        self.programs = programs_of(self)
        self.cells = CELLS
        self._agreed = anyio.Event()
        self._plugged = anyio.Event()
        self._plugged.set()
        self._ear = anyio.CancelScope()
        self._frozen = False
        self._tasks: TaskGroup | None = None
        self._server: ServerOfPhone | None = None
        self.charge()

    # ------------------------------------------------------------------------------------------------------ living

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Phone]:
        """Listen on this machine's loopback until left; then no process of it is there any more."""
        failure: Exception | None = None
        self._bind(port)
        async with AsyncExitStack() as exits, anyio.create_task_group() as tasks:
            self._tasks = tasks
            stubs = await exits.enter_async_context(await anyio.create_unix_listener(f"\0{self.identity}"))
            tasks.start_soon(partial(stubs.serve, partial(serve_stub, programs=self.programs)))
            await tasks.start(self._listen)
            try:
                yield self
            except Exception as error:  # of whoever uses the phone: raised again outside of the group, as it is
                failure = error
            finally:
                self._tasks = None
                for link in self.links:
                    link.drop()
                self._end_processes()
                tasks.cancel_scope.cancel()
        self._socket.close()
        if failure is not None:
            raise failure

    def _bind(self, port: int) -> None:
        """Have the port, but do not listen: whoever connects is refused."""
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self.serial = f"127.0.0.1:{self.port}"

    async def _listen(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take connections while it is plugged in."""
        while True:
            await self._plugged.wait()
            self._socket.listen(128)
            assert self._tasks is not None, "cancelled before it is None"
            with anyio.CancelScope() as self._ear:
                async with await SocketListener.from_socket(self._socket) as listener:
                    task_status.started()
                    task_status = anyio.TASK_STATUS_IGNORED
                    await listener.serve(self._connected, self._tasks)
            self._bind(self.port)

    def _end_processes(self) -> None:
        for _ in range(100):  # one that is just being killed may have started another
            found = [number for number, _ in processes_with(self._variable)]
            for number in found:
                kill(number)
            if not found:
                return

    async def _connected(self, host: SocketStream) -> None:
        if not self._plugged.is_set() or self.faults.connecting == "disconnect":
            await anyio.aclose_forcefully(host)
            return
        link = Link(host, self)
        if self._frozen or self.faults.connecting == "frozen":
            link.freeze()
        self.links.add(link)
        try:
            await link.serve()
        finally:
            self.links.discard(link)

    @property
    def _variable(self) -> str:
        return f"GALAXY_PHONE={self.identity}"

    def start(self, words: Sequence[str], *, one_output: bool) -> Process:
        """Start a program of a command.

        Raises:
            OSError: this machine does not take it.
        """
        assert self._tasks is not None, "a phone serves while it is running"
        stubs = self.disk.place("/system/bin")
        if not stubs.is_dir():  # not before they are needed: there may be hundreds of phones
            place_stubs(stubs, self.programs)
        environment = {
            "PATH": f"{stubs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.disk.root),
            "TMPDIR": str(self.disk.temporary),
            "EXTERNAL_STORAGE": str(self.disk.shared),
            "ANDROID_ROOT": "/system",
            "ANDROID_DATA": "/data",
            "GALAXY_PHONE": self.identity,
        }
        process = Process(words, environment, self.disk.root, one_output=one_output)
        self._tasks.start_soon(process.reap)
        return process

    # ------------------------------------------------------------------------------------------------ for its links

    def asks(self) -> bool:
        """Whether hosts must show a key."""
        return self.authentication != "open" or self.faults.connecting == "authentication_lost"

    def knows(self, token: bytes, signature: bytes) -> bool:
        """Whether a key that it trusts made the signature."""
        if self.faults.connecting == "authentication_lost":
            return False
        return any(key.verify(token, signature) for key in self.keys)

    async def agrees(self, key: PublicKey) -> bool:
        """Whether its owner trusts the key from now on; waits for the owner."""
        if self.authentication == "asks":
            await self._agreed.wait()
        if self.authentication == "refuses" or self.faults.connecting == "authentication_lost":
            await anyio.sleep_forever()
        self.keys.add(key)
        return True

    def agree(self) -> None:
        """Its owner taps on "allow", now and from now on."""
        self._agreed.set()

    async def welcome(self, link: Link) -> bool:
        """Say who it is; False when it says something else."""
        fault = self.faults.connecting
        if fault in ("hang", "lost_answer"):
            return False
        if fault in ("slow", "late_answer"):
            await anyio.sleep(self.faults.slow_s if fault == "slow" else self.faults.late_s)
        if fault == "garbage":
            link.send_raw(GARBAGE)
            return False
        banner = self._banner(fault)
        if fault == "trickle":
            self.wire.trickle = (16, 0.002)
        link.send(CNXN, self.version, MAX_PAYLOAD, banner)
        if fault == "duplicate_answer":
            link.send(CNXN, self.version, MAX_PAYLOAD, banner)
        if fault == "server_dead":
            await link.flushed()
            await self.kill_server()
        return True

    def _banner(self, fault: Fault | None) -> bytes:
        model = self.properties["ro.product.model"].encode()
        if fault == "huge_output":
            model *= 1000
        elif fault == "binary_output":
            model = bytes(range(128, 256))
        names = self.properties
        features = ",".join(feature for feature in _FEATURES if self.shell_v2 or feature == "cmd")
        return (
            f"device::ro.product.name={names['ro.product.name']};ro.product.model=".encode()
            + model
            + f";ro.product.device={names['ro.product.device']};features={features}".encode()
        )

    async def serve(self, link: Link, stream: Stream) -> None:
        """Serve one stream."""
        await services.serve(self, link, stream)

    # --------------------------------------------------------------------------------------------- what befalls it

    def unplug(self) -> None:
        """Its links are cut, and it refuses new ones."""
        self._plugged = anyio.Event()
        self._ear.cancel()
        for link in list(self.links):
            link.drop()

    def plug(self) -> None:
        """It takes links again. An adb server that has lost it tries again after 10 seconds; see `come_back`."""
        self._plugged.set()

    def come_back(self, after_s: float) -> None:
        """It is unplugged, and plugged in again after so many seconds, of which its adb server learns at once."""
        assert self._tasks is not None, "only a running phone can be unplugged"
        self.unplug()
        self._tasks.start_soon(self._return, after_s)

    async def _return(self, after_s: float) -> None:
        await anyio.sleep(after_s)
        self.plug()
        if self._server is not None:
            await self._server.restore(self.serial)
        self.properties["sys.boot_completed"] = "1"

    def reboot(self) -> None:
        """All its processes end; it is back after `boot_s`."""
        self.properties["sys.boot_completed"] = ""
        self._end_processes()
        self.activities.clear()
        self.log.clear()
        self.come_back(self.boot_s)

    def freeze(self) -> None:
        """It does not answer any more; what it runs goes on. A whole frozen process is `Child.freeze`."""
        self._frozen = True
        for link in self.links:
            link.freeze()

    def thaw(self) -> None:
        """It answers again, also what it was asked meanwhile."""
        self._frozen = False
        for link in self.links:
            link.thaw()

    def forget_keys(self) -> None:
        """It trusts no host any more, and no new one until healed; links that there are stay."""
        self.keys.clear()
        self.faults.connecting = "authentication_lost"

    def misbehave(
        self, fault: Fault | Literal["refuse"], phase: Phase = "start", *, times: int | None = 1, on: str = ""
    ) -> None:
        """Arm a fault for the next `times` services whose name contains `on`."""
        self.faults.armed.append(Strike(fault, phase, times, on))

    def charge(self) -> None:
        """The battery is as it was."""
        self.battery = {
            "AC powered": "false",
            "USB powered": "true",
            "status": "2",
            "level": "87",
            "temperature": "251",
        }

    def clock(self) -> str:
        """Its time of day, as its screen shows it."""
        return f"{datetime.now().astimezone():%H:%M:%S}"

    async def kill_server(self) -> None:
        """The adb server behind which it stands dies; nothing happens to a phone that stands behind none of ours."""
        if self._server is not None:
            await self._server.die()

    def behind(self, server: ServerOfPhone) -> None:
        """Say behind which server it stands."""
        self._server = server

    # --------------------------------------------------------------------------------------------- FarSide

    async def inject(self, fault: Fault, phase: Phase) -> None:
        """See `galaxy_core.testing.contract.faults.FarSide`."""
        if phase != "connect":
            self.faults.armed.append(Strike(fault, phase))
            return
        self.faults.connecting = fault
        if fault == "server_dead":
            await self.kill_server()
        for link in list(self.links):
            link.drop()
        if self._server is not None:
            await self._server.noticed(self.serial, lambda: self.online)

    @property
    def online(self) -> bool:
        """Whether a host has a link to it."""
        return any(link.online for link in self.links)

    async def heal(self) -> None:
        """See `FarSide`. Links stay, but those that are of no use; what was not answered will not be."""
        tainted = self.wire.tainted
        self.faults.clear()
        self.wire.clear()
        self.plug()
        for link in list(self.links):
            if tainted or not link.online:
                link.drop()
            for stream in list(link.streams.values()):
                if not stream.accepted:
                    stream.scope.cancel()
        self.thaw()
        if self._server is not None:
            await self._server.noticed(self.serial, lambda: self.online)
            await self._server.restore(self.serial)

    async def truth(self, mark: str) -> Truth:
        """See `FarSide`."""
        return self.attempts.of(mark)

    async def remains(self) -> Sequence[str]:
        """See `FarSide`: processes, streams, and files that look unfinished or like notes (".x", "x.part", "x.sh")."""
        found = [f"process {number}: {words}" for number, words in processes_with(self._variable)]
        found += [f"stream {stream.name!r}" for link in self.links for stream in link.streams.values()]
        for path in sorted(self.disk.temporary.rglob("*")):
            if path.parent.parent.name == "marks":
                found.append(f"marker {path}")
            elif _UNFINISHED.search(path.name) and path.name != ".galaxy":
                found.append(f"file {path}")
        return found


_UNFINISHED: Final = re.compile(r"^\.|\.(part|tmp|sh)$")
