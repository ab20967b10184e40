"""A throw-away server behind a proxy that misbehaves when it is told to, and knows what really happened.

Everything that is asked of the server goes through a small script (`ForceCommand`), which writes down what it starts and how
that ends, and can be held before the work begins, while it runs, and when it has ended.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any, Final

from anyio import Lock, create_task_group, sleep, to_thread
from anyio.abc import TaskGroup

from galaxy_core.extension.adapter.posix import MARK, quote
from galaxy_core.testing.contract.faults import FAULTS, PHASES, Fault, Phase, Truth
from galaxy_core.testing.proxy import Proxy
from galaxy_core_ssh.simulate.daemon import Daemon, find_sftp_server

#: How much a flood is, and what stands for output that is no text.
FLOOD: Final = b"x" * 63 + b"\n"
FLOOD_LINES: Final = 64 * 1024
BINARY: Final = bytes(range(256)) * 4
#: Time between two looks at what has happened.
LOOK_S: Final = 0.005
#: How long nothing may pass before what there was to tell has been told.
QUIET_S: Final = 0.1

_COPY = "SSH counts and authenticates its packets: one that comes twice ends the connection, as garbage does"
_OVER = "when the end was told, nothing more is said"
CELLS: Final[Mapping[tuple[Fault, Phase], str | None]] = {
    (fault, phase): (
        _COPY
        if fault == "duplicate_answer"
        else _OVER
        if phase == "clean_up" and fault in ("huge_output", "binary_output")
        else None
    )
    for fault in FAULTS
    for phase in PHASES
}

_RECORDER: Final = """\
#!/bin/sh
gates=@GATES@; truth=@TRUTH@
command=$SSH_ORIGINAL_COMMAND; unset SSH_ORIGINAL_COMMAND
case $command in
*GALAXY_MARK=*) mark=${command#*GALAXY_MARK=};;
*" galaxy-"*) mark=${command##* galaxy-};;
*) [ -e "$gates/connect.say" ] && cat "$gates/connect.say"; exec "$SHELL" -c "$command";;
esac
mark=${mark%%[!0-9a-zA-Z-]*}
say() { [ -e "$gates/$1.say" ] && cat "$gates/$1.say"; }
hold() { while [ -e "$gates/$1.reached" ]; do sleep 0.01; done; }
taken() { mv "$gates/$1" "$gates/$1.reached" 2>/dev/null; }
say start
taken start && hold start
echo start >>"$truth/$mark"
say middle
if taken middle; then
  GALAXY_MARK=$mark /bin/sh -c 'while [ -e "$1" ]; do sleep 0.01; done' sh "$gates/middle.reached" || exit
fi
"$SHELL" -c "$command"; status=$?
say exit
echo "exit $status" >>"$truth/$mark"
taken exit && hold exit
taken clean_up
exit $status
"""


class SshFarSide:
    """One server, reached through a proxy at `port`. Use `far_side` to make one; see `FarSide` for what it can do."""

    cells: Mapping[tuple[Fault, Phase], str | None] = CELLS

    def __init__(self, daemon: Daemon, proxy: Proxy, group: TaskGroup) -> None:
        self.daemon = daemon
        self.proxy = proxy
        self._group = group
        self._gates = daemon.folder / "gates"
        self._truth = daemon.folder / "truth"
        self._keys = (daemon.folder / "authorized_keys").read_bytes()
        self._healings = 0
        self._turn = Lock()

    @property
    def port(self) -> int:
        return self.proxy.port

    def settings(self, **more: Any) -> dict[str, Any]:
        """How an inventory reaches it, through the proxy."""
        daemon = self.daemon
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "username": daemon.user,
            "keys": [str(daemon.user_key)],
            "known_hosts": str(daemon.known_hosts),
            "root": str(daemon.home / "work"),
            **more,
        }

    # --------------------------------------------------------------------------------------------- misbehaving
    async def inject(self, fault: Fault, phase: Phase) -> None:
        if fault in ("huge_output", "binary_output"):
            content = FLOOD * FLOOD_LINES if fault == "huge_output" else BINARY
            (self._gates / f"{phase}.say").write_bytes(content)
        elif phase == "connect" or (fault, phase) == ("frozen", "start"):
            await self._strike(fault, phase)
        else:
            (self._gates / phase).touch()
            self._group.start_soon(self._strike_at, fault, phase)

    async def heal(self) -> None:
        self._healings += 1
        async with self._turn:
            await self._heal()

    async def _heal(self) -> None:
        for gate in self._gates.iterdir():
            gate.unlink(missing_ok=True)
        self.proxy.heal()
        (self.daemon.folder / "authorized_keys").write_bytes(self._keys)
        await to_thread.run_sync(self.daemon.signal, SIGCONT)
        if not await to_thread.run_sync(self.daemon.listens):
            await to_thread.run_sync(self.daemon.start)

    async def _strike_at(self, fault: Fault, phase: Phase) -> None:
        reached, armed, healings = self._gates / f"{phase}.reached", self._gates / phase, self._healings
        while not reached.exists():
            if not armed.exists() and not reached.exists():
                return  # it was healed before anything came that far
            await sleep(LOOK_S)
        if phase == "clean_up":
            await self._quiet()
        async with self._turn:
            if self._healings != healings:
                return  # it was healed meanwhile
            await self._strike(fault, phase)
        reached.unlink(missing_ok=True)

    async def _quiet(self) -> None:
        """Until what has ended has been told."""
        before = -1
        while before != (now := self.proxy.passed("answers")):
            before = now
            await sleep(QUIET_S)

    async def _strike(self, fault: Fault, phase: Phase) -> None:
        proxy, connecting = self.proxy, phase == "connect"
        acts: dict[Fault, Callable[[], None]] = {
            "hang": proxy.hang,
            "disconnect": (lambda: proxy.cut_at("answers", 500)) if connecting else proxy.cut,
            "garbage": lambda: proxy.garble("answers"),
            "slow": lambda: proxy.delay(0.01),
            "trickle": lambda: proxy.trickle(256, 0.001),
            "late_answer": lambda: proxy.hang("answers"),
            "lost_answer": lambda: proxy.swallow("answers"),
            "server_dead": lambda: self.daemon.signal(SIGKILL),
            "frozen": lambda: self.daemon.signal(SIGSTOP),
            "authentication_lost": lambda: _emptied(self.daemon.folder / "authorized_keys"),
        }
        if fault in ("server_dead", "frozen"):
            await to_thread.run_sync(acts[fault])
        else:
            acts[fault]()

    # --------------------------------------------------------------------------------------------- what it knows
    async def truth(self, mark: str) -> Truth:
        running = bool(await to_thread.run_sync(processes_with, f"{MARK}={mark}"))
        try:
            lines = (self._truth / mark).read_text().splitlines()
        except FileNotFoundError:
            return Truth(running=running)
        ends = [int(line.removeprefix("exit ")) for line in lines if line.startswith("exit ")]
        # 126 is how a shell says that what it was to run has not begun.
        starts = lines.count("start") - ends.count(126)
        ended = not running and bool(ends) and lines[-1] != "start" and ends[-1] <= 128
        return Truth(starts, running, ends[-1] if ended else None)

    async def remains(self) -> Sequence[str]:
        return await to_thread.run_sync(self._remains)

    def _remains(self) -> list[str]:
        home = f"HOME={self.daemon.home}"  # others may have attempts on this machine, too
        found = {f"process {pid} of an attempt: {name}" for pid, name in processes_with(home, f"{MARK}=")}
        if not self.proxy.connections:
            found |= {f"process {pid}: {name}" for pid, name in processes_with(home)}
        found |= {f"marker {path}" for path in self.daemon.home.glob("**/.galaxy/marks/*/*")}
        found |= {f"part of a file {path.name!r}" for path in self.daemon.home.rglob("*.galaxy-part")}
        return sorted(found)


@asynccontextmanager
async def far_side(folder: Path, **more: Any) -> AsyncIterator[SshFarSide]:
    """A server in `folder` and a proxy before it. `more` is for `Daemon`.

    Raises:
        SimulatorError: OpenSSH is not installed.
    """
    for name in ("gates", "truth"):
        (folder / name).mkdir(parents=True)
    recorder = folder / "recorder"
    text = _RECORDER.replace("@GATES@", quote(str(folder / "gates"))).replace("@TRUTH@", quote(str(folder / "truth")))
    recorder.write_text(text)
    recorder.chmod(0o755)
    options = [f"ForceCommand {quote(str(recorder))}", *more.pop("options", ())]
    daemon = Daemon(folder, options=options, sftp=find_sftp_server(), **more)
    await to_thread.run_sync(daemon.prepare)
    try:
        async with Proxy(("127.0.0.1", daemon.port)) as proxy, create_task_group() as group:
            await to_thread.run_sync(daemon.start)
            daemon.write_known_hosts(proxy.port)
            yield SshFarSide(daemon, proxy, group)
            group.cancel_scope.cancel()
    finally:
        daemon.stop()


def _emptied(path: Path) -> None:
    path.write_text("")


def processes_with(*texts: str) -> list[tuple[int, str]]:
    """Living processes that have each of `texts` as an environment variable, and their command lines. Blocks.

    A text that ends with "=" stands for any value.
    """
    # The environment is a sequence of texts with NUL between them.
    wanted = [b"\0" + text.encode() + (b"" if text.endswith("=") else b"\0") for text in texts]
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            environ = b"\0" + _read(f"/proc/{name}/environ") + b"\0"
            if not all(text in environ for text in wanted):
                continue
            state = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()[0]
            line = _read(f"/proc/{name}/cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except (OSError, IndexError):
            continue
        if state not in b"ZX":
            found.append((int(name), line))
    return found


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # many times faster than by way of `pathlib`, and every process is looked at
        return file.read()
