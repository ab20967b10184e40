"""One shell per connection that stays open: it ends processes, hashes files and answers probes, without a new login."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import asyncssh
from anyio import Event

from galaxy_core_ssh import scripts
from galaxy_core_ssh.remote.channel import Channel
from galaxy_core_ssh.remote.faults import LinkLostError, clean

#: How much a host may say before it says hello: greetings of a login shell.
GREETING_BYTES = 256 * 1024
#: We ask for a dozen.
MOST_FACTS = 50


class Helper:
    """Runs short texts side by side. `facts` is what the host said of itself."""

    def __init__(self) -> None:
        self._channel = Channel(self._take, stir=self._stir)
        self._buffer = b""
        self._greeting = b""
        self._has_said_hello = False
        self._jobs: dict[int, _Job] = {}
        self._count = 0
        self._ready = Event()
        self.facts: dict[str, str] = {}

    async def open(self, connection: asyncssh.SSHClientConnection, root: str) -> None:
        """Start it, and learn about the host.

        Raises:
            ChannelRefusedError: the host opens no channel.
            LinkLostError: what runs there is no shell that we can use, or the connection is gone.
        """
        await self._channel.open(connection, scripts.HELPER)
        with suppress(LinkLostError):  # it may have ended already, and have said why
            self._channel.write_at_once(scripts.line(scripts.hello(root)))
        await self._ready.wait()
        if "root" not in self.facts:
            if connection.is_closed():
                raise LinkLostError("the connection was lost as soon as it had let us in")
            said = clean(self._greeting.decode("utf-8", "replace"))
            what = f"it said {said!r}" if said else "it said nothing"
            raise LinkLostError(
                "its login shell does not run /bin/sh, so that commands cannot be run as Galaxy does: "
                f"{what}; log in as a user with an ordinary shell (sh, bash, zsh, fish, csh)"
            )

    async def run(self, text: str) -> tuple[int, str]:
        """The exit code of a short text for /bin/sh, and the beginning of what it printed, line breaks as blanks.

        Cancelled, it stops waiting; the text runs on.

        Raises:
            LinkLostError: there will be no answer.
        """
        self._count += 1
        number, job = self._count, _Job()
        self._jobs[number] = job
        try:
            self._channel.write_at_once(scripts.line(scripts.job(number, text)))
            await job.done.wait()
        finally:
            del self._jobs[number]
        if job.answer is None:
            raise LinkLostError("the connection was lost")
        return job.answer

    def close(self) -> None:
        self._channel.close()

    def _take(self, stream: str, data: bytes) -> None:
        if not self._has_said_hello:
            self._greeting = (self._greeting + data)[-GREETING_BYTES:]
        if stream == "stderr":
            return
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        self._buffer = self._buffer[-GREETING_BYTES:]
        for raw in lines:
            self._hear(raw.decode("utf-8", "replace"))

    def _hear(self, line: str) -> None:
        if not self._has_said_hello:
            self._has_said_hello = line == scripts.HELLO
        elif line.startswith("galaxy-job "):
            _, number, code, *said = line.split(" ", 3)
            if number.isdigit() and code.isdigit() and int(number) in self._jobs:
                job = self._jobs[int(number)]
                job.answer = int(code), said[0].strip() if said else ""
                job.done.set()
        elif line == "galaxy-ready":
            self._ready.set()
        elif not self._ready.is_set() and "=" in line and len(self.facts) < MOST_FACTS:
            name, _, value = line.partition("=")
            self.facts[clean(name)] = clean(value)

    def _stir(self) -> None:
        if self._channel.is_gone or self._channel.has_exited:
            self._ready.set()
            for job in self._jobs.values():
                job.done.set()


class _Job:
    def __init__(self) -> None:
        self.done = Event()
        self.answer: tuple[int, str] | None = None


def facts_of(said: Mapping[str, str], version: str) -> dict[str, str]:
    """What a host said of itself, as facts of the device."""
    facts = {name: value for name, value in said.items() if value and name not in ("problem", "processes")}
    if {"system", "release", "machine"} <= facts.keys():
        facts["platform"] = " ".join(facts[name] for name in ("system", "release", "machine"))
    return {**facts, "ssh_server": clean(version)}
