"""OpenSSH's own programs see what we see."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from anyio import run_process

from galaxy_core import Action, Command
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.adapter.posix import wrap
from galaxy_core.extension.interfaces import Completed
from galaxy_core_ssh import scripts
from galaxy_core_ssh.simulate.daemon import Daemon, make_key

from .ssh_lab import Lab

pytestmark = pytest.mark.anyio

WORDS = ["it's", "", "a\nb", "$HOME", "`x`", "%PATH%", ";", "🌍", "\\", "x" * 60_000]


def options(daemon: Daemon) -> list[str]:
    told = {
        "Port": daemon.port,
        "IdentityFile": daemon.user_key,
        "UserKnownHostsFile": daemon.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "User": daemon.user,
    }
    return ["-F", "/dev/null", *(part for name, value in told.items() for part in ("-o", f"{name}={value}"))]


async def ssh(daemon: Daemon, text: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return await run_process(["ssh", *options(daemon), "127.0.0.1", text], input=stdin, check=False)


async def test_our_texts_do_the_same_through_the_ssh_command_line(lab: Lab, daemon: Daemon) -> None:
    command = Command(["printf", "[%s]", *WORDS])
    text = wrap(command, "00-mark", root=str(daemon.home))
    async with lab.opened(daemon) as session:
        ours = await session.execute(lab.attempt(command))
    assert isinstance(ours, Completed)
    plain = await ssh(daemon, text)
    covered = await ssh(daemon, scripts.LAUNCH, scripts.line(text))
    assert plain.stdout.decode() == covered.stdout.decode() == ours.stdout
    assert ours.stdout == "".join(f"[{word}]" for word in WORDS)


@pytest.mark.parametrize("text", ["exit 3", "kill -TERM $$", "echo out; echo err >&2; exit 255", "cat; exit 7"])
async def test_ends_and_streams_are_those_that_the_ssh_command_line_sees(lab: Lab, daemon: Daemon, text: str) -> None:
    async with lab.opened(daemon) as session:
        ours = await session.execute(lab.attempt(Command(None, text, stdin="in ä\n")))
    assert isinstance(ours, Completed)
    theirs = await ssh(daemon, f"exec /bin/sh -c '{text}'", "in ä\n".encode())
    assert (theirs.stdout.decode(), theirs.stderr.decode()) == (ours.stdout, ours.stderr)
    # What a signal has ended is 255 for the command line, which hides the difference.
    assert theirs.returncode == (ours.exit_code if ours.error is None else 255)


async def test_what_we_push_sftp_pulls_and_what_it_puts_we_pull(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    (tmp_path / "source").write_bytes(data)
    work = daemon.home / "work"
    async with lab.opened(daemon, files_root=str(tmp_path)) as session:
        await session.execute(lab.attempt(Action("push", {"source": "source", "target": "ours"})))
        batch = f"get {work}/ours {tmp_path}/got\nput {tmp_path}/source {work}/theirs\n"
        await run_process(["sftp", *options(daemon), "-b", "-", "127.0.0.1"], input=batch.encode())
        attempt = lab.attempt(Action("pull", {"path": "theirs", "name": "back"}))
        await session.execute(attempt)
    assert (tmp_path / "got").read_bytes() == lab.file(attempt, "back").read_bytes() == data


async def test_the_line_of_ssh_keyscan_lets_us_in_as_the_message_says(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    found = await run_process(["ssh-keyscan", "-p", str(daemon.port), "127.0.0.1"])
    known = tmp_path / "known"
    known.write_bytes(found.stdout)
    async with lab.opened(daemon, known_hosts=str(known)) as session:
        assert session.facts["user"] == daemon.user


async def test_both_refuse_a_host_whose_key_has_changed(lab: Lab, own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon()
    daemon.stop()
    make_key(daemon.host_key)
    daemon.start()
    theirs = await ssh(daemon, "true")
    assert theirs.returncode == 255
    assert b"IDENTIFICATION HAS CHANGED" in theirs.stderr
    with pytest.raises(DeviceLostError, match="has changed"):
        async with lab.opened(daemon):
            raise AssertionError("it came about")
