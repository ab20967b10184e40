"""An adb server of our own: the one inside adbutils' wheel, on a private port, with a HOME of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from galaxy_core.errors import SimulatorError
from galaxy_core.testing.ports import port_for

STARTED_WITHIN_S: Final = 15
#: More than about 1,000 open files, four a device, abort adb 36 (FD_SETSIZE).
MOST_PHONES: Final = 250
#: What a server that is not there, or goes, is noticed by.
GONE: Final = (OSError, anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError)


def bundled_adb() -> Path:
    """The adb inside adbutils' wheel.

    Raises:
        SimulatorError: there is none, as on a platform without a wheel.
    """
    try:
        import adbutils
    except ImportError as error:
        raise SimulatorError("phone", f"adbutils is not installed: {error}") from error
    path = Path(adbutils.__file__).parent / "binaries" / ("adb.exe" if os.name == "nt" else "adb")
    if not path.is_file():
        raise SimulatorError("phone", f"adbutils' wheel for this platform ({sys.platform}) has no adb")
    return path


def free_port() -> int:
    """A port of the loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


async def ask(port: int, service: str) -> str:
    """The answer of the adb server on `port` to one `host:` request that is answered with a text.

    Raises:
        SimulatorError: it said FAIL, and why.
        OSError, anyio.EndOfStream, anyio.IncompleteRead: it is not there, or went away.
    """
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        raw = service.encode()
        await stream.send(b"%04x%s" % (len(raw), raw))
        reader = BufferedByteReceiveStream(stream)
        status = await reader.receive_exactly(4)
        text = await _text(reader)
        if status != b"OKAY":
            raise SimulatorError("phone", f"the adb server refused {service!r}: {text}")
        return text


async def _text(reader: BufferedByteReceiveStream) -> str:
    return (await reader.receive_exactly(int(await reader.receive_exactly(4), 16))).decode(errors="replace")


class Server:
    """One server process, which can die and be started again; `home` is where its key is."""

    def __init__(self, home: Path, adb: Path | None = None) -> None:
        self.home = home
        self.adb = adb or bundled_adb()
        self.port = port_for(self)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = anyio.Lock()

    @property
    def environment(self) -> Mapping[str, str]:
        """For the adb command line, so that it talks to this server and to no other."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "ANDROID_ADB_SERVER_PORT": str(self.port),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",  # no search for emulators
            "ADB_MDNS": "0",
            "ADB_LIBUSB": "0",
        }

    async def start(self) -> None:
        """Start it, unless one answers on the port already: the one under test may have been faster.

        Raises:
            SimulatorError: it does not answer in time.
        """
        async with self._lock:
            await self._start()

    async def _start(self) -> None:
        with anyio.move_on_after(STARTED_WITHIN_S):
            if await self.answers():
                return
            self._spawn()
            while not await self.answers():
                if self._process is not None and self._process.poll() is not None:
                    self._spawn()
                await anyio.sleep(0.01)
            return
        raise SimulatorError("phone", f"{self.adb} does not answer on port {self.port} after {STARTED_WITHIN_S} s")

    async def answers(self) -> bool:
        """Whether a server is there."""
        try:
            return bool(await ask(self.port, "host:version"))
        except GONE:
            return False

    def _spawn(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        setpriv = shutil.which("setpriv")
        self._process = subprocess.Popen(
            # It ends with the thread that started it: a killed test would leave it behind otherwise. And real phones that
            # are plugged in here are none of ours: it takes the USB device of a name that none has.
            [
                *((setpriv, "--pdeathsig", "KILL") if setpriv else ()),
                self.adb,
                "-L",
                f"tcp:localhost:{self.port}",
                "--one-device",
                "none",
                "server",
                "nodaemon",
            ],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """It dies at once, if it is ours and lives."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def die(self) -> None:
        """See `kill`."""
        self.kill()

    async def noticed(self, serial: str, online: Callable[[], bool]) -> None:
        """Wait until it says of this phone what the phone says of itself, or is not there to say anything."""
        with anyio.move_on_after(STARTED_WITHIN_S), contextlib.suppress(*GONE):
            while True:  # the server's own word about changes may come before it says so to others
                if ((await self.states()).get(serial) == "device") == online():
                    return
                await anyio.sleep(0.005)

    async def run(self, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """What the adb command line says to these arguments."""
        return await anyio.run_process([str(self.adb), *words], input=input, env=self.environment, check=False)

    async def connect(self, serials: Sequence[str]) -> None:
        """Have it connect to phones, whatever it says about that; see `until`."""
        for serial in serials:
            await ask(self.port, f"host:connect:{serial}")

    async def states(self) -> dict[str, str]:
        """In which state the server has each serial."""
        return dict(line.split("\t", 1) for line in (await ask(self.port, "host:devices")).splitlines())

    async def restore(self, serial: str) -> None:
        """It lives and has this phone, anew if it had lost it.

        Raises:
            SimulatorError: it does not get it.
        """
        async with self._lock:  # what one does to get a phone back looks to another as if it had gone
            await self._start()
            await self._restore(serial)

    async def _restore(self, serial: str) -> None:
        if (await self.states()).get(serial) == "offline":  # it tries by itself after a quarter of a second
            with contextlib.suppress(SimulatorError):
                await self.until({serial: "device"}, 0.7)
        for _ in range(5):
            state = (await self.states()).get(serial)
            if state == "device":
                return
            if state is not None:
                # Until it is gone, a request to connect would be answered "already connected", and then it would go.
                with contextlib.suppress(SimulatorError):
                    await ask(self.port, f"host:disconnect:{serial}")
                    await self.until({serial: "absent"}, 3)
            await self.connect([serial])
            with contextlib.suppress(SimulatorError):
                await self.until({serial: "device"}, 3)
                return
        raise SimulatorError("phone", f"the adb server does not get {serial} back: {await self.states()}")

    async def until(self, wanted: Mapping[str, str], within_s: float = 30) -> None:
        """Wait until each serial is in the given state ("absent": none).

        Raises:
            SimulatorError: it is not, in time.
        """
        states: dict[str, str] = {}
        with anyio.move_on_after(within_s):
            async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
                await stream.send(b"0012host:track-devices")
                reader = BufferedByteReceiveStream(stream)
                await reader.receive_exactly(4)
                while any(states.get(serial, "absent") != state for serial, state in wanted.items()):
                    lines = (await _text(reader)).splitlines()
                    states = dict(line.split("\t", 1) for line in lines)
                return
        raise SimulatorError("phone", f"the adb server says {states} and not {dict(wanted)} after {within_s} s")
