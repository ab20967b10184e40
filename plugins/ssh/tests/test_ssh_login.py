"""Who is let in, and to which host: keys, agents, passwords, known hosts, hosts on the way."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from anyio import run_process
from pydantic import ValidationError

from galaxy_core import Command, Device
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.interfaces import Completed
from galaxy_core_ssh.remote.faults import explain
from galaxy_core_ssh.settings import SshSettings
from galaxy_core_ssh.simulate.daemon import Daemon, find_program, make_key
from galaxy_core_ssh.simulate.simulator import device_of

from .ssh_lab import Lab
from .ssh_stubs import PasswordServer, listening, stub

pytestmark = pytest.mark.anyio


async def why_not(lab: Lab, daemon: Daemon | None = None, **settings: Any) -> str:
    """Why no session comes about."""
    with pytest.raises(DeviceLostError) as caught:
        async with lab.opened(daemon, **settings):
            raise AssertionError("it came about")
    assert caught.value.device_id == "host"
    return caught.value.why


async def gets_in(lab: Lab, daemon: Daemon | None = None, **settings: Any) -> str:
    async with lab.opened(daemon, **settings) as session:
        outcome = await session.execute(lab.attempt(Command(["echo", "in"])))
    assert isinstance(outcome, Completed), outcome
    return (outcome.stdout or "").strip()


def fingerprint(public: Path) -> str:
    said = subprocess.run(["ssh-keygen", "-lf", str(public)], check=True, capture_output=True, text=True).stdout
    return said.split()[1]


# ------------------------------------------------------------------------------------------------------- which host
async def test_a_host_that_is_not_known_is_refused_with_what_to_do(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text("example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8ZbCq4GXAL0Z+5fYyuqyX0zPHPZuj9oCh3vVJ0hkYm\n")
    why = await why_not(lab, daemon, known_hosts=str(known))
    for part in ("unknown", str(known), fingerprint(daemon.folder / "host_key.pub"), "ssh-keyscan"):
        assert part in why


async def test_a_host_whose_key_has_changed_is_refused_naming_file_and_fingerprints(
    lab: Lab, own_daemon: Callable[..., Daemon]
) -> None:
    daemon = own_daemon()
    old = fingerprint(daemon.folder / "host_key.pub")
    daemon.stop()
    make_key(daemon.host_key)
    daemon.start()
    why = await why_not(lab, daemon)
    for part in ("changed", str(daemon.known_hosts), old, fingerprint(daemon.folder / "host_key.pub")):
        assert why.count(part) == 1, part


async def test_a_host_that_shows_a_key_of_another_kind_has_changed(lab: Lab, own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon()
    daemon.stop()
    make_key(daemon.host_key, "ecdsa")
    daemon.start()
    assert "has changed" in await why_not(lab, daemon)


async def test_a_revoked_key_is_refused(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"@revoked {daemon.known_hosts.read_text()}")
    assert "revoked" in await why_not(lab, daemon, known_hosts=str(known))


async def test_without_a_file_of_known_hosts_there_is_no_connection(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    why = await why_not(lab, daemon, known_hosts=str(tmp_path / "none"))
    assert f"{str(tmp_path / 'none')!r} does not exist" in why
    assert fingerprint(daemon.folder / "host_key.pub") in why


async def test_without_a_file_of_known_hosts_it_is_still_said_that_nothing_listens(
    lab: Lab, daemon: Daemon, tmp_path: Path
) -> None:
    assert "nothing listens there" in await why_not(lab, daemon, known_hosts=str(tmp_path / "none"), port=1)


async def test_names_of_known_hosts_may_be_hashed(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_bytes(daemon.known_hosts.read_bytes())
    await run_process(["ssh-keygen", "-q", "-H", "-f", str(known)])
    assert "127.0.0.1" not in known.read_text()
    assert await gets_in(lab, daemon, known_hosts=str(known)) == "in"


async def test_the_key_of_a_host_can_be_given_itself(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    line = (daemon.folder / "host_key.pub").read_text().strip()
    none = str(tmp_path / "none")
    assert await gets_in(lab, daemon, known_hosts=none, host_key=line) == "in"
    other = make_key(tmp_path / "other").with_name("other.pub").read_text().strip()
    assert "has changed" in await why_not(lab, daemon, known_hosts=none, host_key=other)


async def test_relative_paths_are_seen_from_the_inventory(lab: Lab, daemon: Daemon) -> None:
    told = {**device_of("host", daemon).settings, "keys": ["user_key"], "known_hosts": "known_hosts"}
    device = Device("host", "ssh", told, folder=str(daemon.folder))
    async with lab.opened(device=device, **told) as session:
        assert session.facts["system"] == "Linux"


# ---------------------------------------------------------------------------------------------------------- who
async def test_a_wrong_key_is_refused_naming_user_and_ways(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    why = await why_not(lab, daemon, keys=[str(make_key(tmp_path / "stranger"))])
    assert f"refuses user {daemon.user!r} with keys" in why


async def test_a_key_may_be_given_by_reference(lab: Lab, daemon: Daemon) -> None:
    text = daemon.user_key.read_text()
    assert await gets_in(lab, daemon, keys=[text]) == "in"
    settings = SshSettings.model_validate({"host": "h", "username": "u", "keys": [text]})
    assert "PRIVATE" not in repr(settings)


async def test_an_encrypted_key_needs_its_passphrase(lab: Lab, daemon: Daemon, tmp_path: Path) -> None:
    key = make_key(tmp_path / "locked", passphrase="hush hush")
    with (daemon.folder / "authorized_keys").open("a") as file:
        file.write(key.with_name("locked.pub").read_text())
    assert await gets_in(lab, daemon, keys=[str(key)], passphrase="hush hush") == "in"
    for wrong in ({}, {"passphrase": "another"}):
        why = await why_not(lab, daemon, keys=[str(key)], **wrong)
        assert "passphrase is missing or wrong" in why
        assert "another" not in why


@pytest.mark.parametrize(("content", "part"), [(None, "No such file"), ("not a key", "cannot be read")])
async def test_a_key_that_is_none_is_named(
    lab: Lab, daemon: Daemon, tmp_path: Path, content: str | None, part: str
) -> None:
    path = tmp_path / "broken"
    if content is not None:
        path.write_text(content)
    why = await why_not(lab, daemon, keys=[str(path)])
    assert str(path) in why
    assert part in why


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """The socket of a throw-away agent."""
    socket = tmp_path / "agent"
    process = subprocess.Popen([find_program("ssh-agent"), "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    while not socket.exists():
        assert process.poll() is None
    try:
        yield socket
    finally:
        process.terminate()
        process.wait()


async def test_the_keys_of_an_agent_are_tried(
    lab: Lab, daemon: Daemon, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    assert "the agent's keys" in await why_not(lab, daemon, keys=[], agent=True)
    told = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    await run_process(["ssh-add", "-q", str(daemon.user_key)], env=told)
    assert await gets_in(lab, daemon, keys=[], agent=True) == "in"


async def test_an_agent_that_is_not_there_is_named(
    lab: Lab, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    assert "does not answer" in await why_not(lab, daemon, keys=[], agent=True)
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert "SSH_AUTH_SOCK is not set" in await why_not(lab, daemon, keys=[], agent=True)


async def test_keys_that_the_inventory_does_not_name_are_not_tried(
    lab: Lab, daemon: Daemon, agent: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither those of ~/.ssh nor those of an agent that happens to run."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_bytes(daemon.user_key.read_bytes())
    (home / ".ssh" / "id_ed25519").chmod(0o600)
    (home / ".ssh" / "config").write_text(f"IdentityFile {daemon.user_key}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    told = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    await run_process(["ssh-add", "-q", str(daemon.user_key)], env=told)
    for settings in ({"keys": [], "password": "x"}, {"keys": [str(make_key(tmp_path / "stranger"))]}):
        assert "refuses user" in await why_not(lab, daemon, **settings)


async def test_a_password_lets_in_and_a_wrong_one_does_not_and_neither_shows(lab: Lab, tmp_path: Path) -> None:
    with stub(tmp_path) as settings:
        assert await gets_in(lab, **settings) == "in"
        why = await why_not(lab, **{**settings, "password": "CANARY wrong"})
    assert "refuses user 'lab' with a password" in why
    assert "CANARY" not in why


async def test_a_wrong_password_is_offered_once(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts lock accounts."""
    offered: list[str] = []

    def validate(_server: object, _user: str, password: str) -> bool:
        offered.append(password)
        return False

    monkeypatch.setattr(PasswordServer, "validate_password", validate)
    with stub(tmp_path) as settings:
        await why_not(lab, **settings)
    assert offered == [PasswordServer.password]


# ----------------------------------------------------------------------------------------------------- on the way
async def test_hosts_on_the_way_are_gone_through(lab: Lab, own_daemon: Callable[..., Daemon]) -> None:
    gate, inner, target = own_daemon(), own_daemon(), own_daemon()
    hops = [
        {key: value for key, value in device_of("x", one).settings.items() if key != "root"} for one in (gate, inner)
    ]
    async with lab.opened(target, jump=hops) as session:
        outcome = await session.execute(lab.attempt(Command(["sh", "-c", "echo $HOME; echo $SSH_CONNECTION"])))
        assert isinstance(outcome, Completed)
        assert (outcome.stdout or "").startswith(str(target.home))
        inner.drop()
        assert "lost" in await session.until_lost()


async def test_a_host_on_the_way_is_checked_like_the_device(lab: Lab, own_daemon: Callable[..., Daemon]) -> None:
    gate, target = own_daemon(), own_daemon()
    hop = {key: value for key, value in device_of("x", gate).settings.items() if key != "root"}
    why = await why_not(lab, target, jump=[{**hop, "known_hosts": str(target.known_hosts)}])
    assert f"port {gate.port}, on the way to it" in why
    assert "unknown" in why
    why = await why_not(lab, target, jump=[{**hop, "username": "nobody-else"}])
    assert "refuses user 'nobody-else'" in why


# -------------------------------------------------------------------------------------------------- what answers
async def test_a_name_that_cannot_be_resolved_and_a_port_without_anybody_are_told_apart(
    lab: Lab, daemon: Daemon
) -> None:
    assert "cannot be resolved" in await why_not(lab, daemon, host="no-such-host.invalid")
    assert (await why_not(lab, daemon, port=1)).endswith("nothing listens there (Connection refused)")


def test_a_port_without_anybody_at_several_addresses_is_told_as_at_one() -> None:
    each = ["[Errno 111] Connect call failed ('::1', 1, 0, 0)", "[Errno 111] Connect call failed ('127.0.0.1', 1)"]
    several = OSError(f"Multiple exceptions: {', '.join(each)}")
    assert explain(several) == explain(ConnectionRefusedError(111, "Connection refused"))
    assert explain(OSError(113, "No route to host")) == "No route to host"


@pytest.mark.parametrize(
    ("says", "part"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "did not say within 0.5 s that it speaks SSH"),
        (b"", "did not say within 0.5 s that it speaks SSH"),
        (b"SSH-2.0-mute\r\n", "did not let us in within 0.5 s"),
        (b"SSH-1.0-old\r\n", "another version"),
        (b"\x00" * 100_000, "not what the protocol says"),
    ],
)
async def test_what_is_no_ssh_server_is_given_up_in_time(lab: Lab, daemon: Daemon, says: bytes, part: str) -> None:
    with listening(says) as port:
        assert part in await why_not(lab, daemon, port=port, connect_timeout_s=0.5)


async def _nologin(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"This account is currently not available.\x1b[31m\n")
    process.exit(1)


async def _mute(process: asyncssh.SSHServerProcess[bytes]) -> None:
    await asyncio.sleep(3600)


async def _windows(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stderr.write(b"'exec' is not recognized as an internal or external command,\r\n")
    process.exit(1)


@pytest.mark.parametrize(
    ("handler", "part"),
    [
        (_nologin, "it said 'This account is currently not available. [31m'"),
        (_windows, "'exec' is not recognized"),
        (_mute, "no shell answered within 1 s"),
    ],
)
async def test_a_login_shell_that_runs_no_commands_is_refused_with_what_it_said(
    lab: Lab, tmp_path: Path, handler: Any, part: str
) -> None:
    with stub(tmp_path, handler) as settings:
        assert part in await why_not(lab, **settings, connect_timeout_s=1.0)


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "tcsh", "busybox"])
async def test_any_ordinary_login_shell_will_do(lab: Lab, own_daemon: Callable[..., Daemon], shell: str) -> None:
    try:
        path = find_program(shell)
    except Exception as error:
        pytest.skip(f"{shell} is not installed: {error}")
    applet = " sh" if shell == "busybox" else ""
    daemon = own_daemon(options=[f'ForceCommand exec {path}{applet} -c "$SSH_ORIGINAL_COMMAND"'])
    words = ["it's", "a\\\\b", "!x", "$HOME", "a\nb", "%s"]
    async with lab.opened(daemon) as session:
        assert session._host.is_posix == (shell not in ("fish", "tcsh"))
        outcome = await session.execute(lab.attempt(Command(["printf", "[%s]", *words])))
    assert isinstance(outcome, Completed)
    assert outcome.stdout == "".join(f"[{word}]" for word in words)


async def test_a_working_folder_that_cannot_be_made_is_told(lab: Lab, daemon: Daemon) -> None:
    (daemon.home / "file").touch()
    why = await why_not(lab, daemon, root=str(daemon.home / "file" / "work"))
    assert "can neither be made nor entered" in why


# -------------------------------------------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"username": "u", "password": "p"}, "host"),
        ({"host": "h", "username": "u"}, "nothing to log in with"),
        ({"host": "a b", "username": "u", "agent": True}, "host"),
        ({"host": "u@h", "username": "u", "agent": True}, "host"),
        ({"host": "h", "username": "u", "agent": True, "known_hosts": None}, "known_hosts"),
        ({"host": "h", "username": "u", "agent": True, "host_key": "any"}, "host_key"),
        ({"host": "h", "username": "u", "agent": True, "port": 0}, "port"),
        ({"host": "h", "username": "u", "agent": True, "env": {"A=B": "x"}}, "A=B"),
        ({"host": "h", "username": "u", "agent": True, "env": {"A": "x\0"}}, "NUL"),
        ({"host": "h", "username": "u", "agent": True, "jump": [{"host": "j"}]}, "jump"),
        ({"host": "h", "username": "u", "agent": True, "root": "a\nb"}, "root"),
        ({"host": "h", "username": "u", "agent": True, "strict": False}, "strict"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(part)):
        SshSettings.model_validate(settings)
