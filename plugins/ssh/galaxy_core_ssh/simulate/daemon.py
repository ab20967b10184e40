"""A throw-away sshd on loopback: its own keys, configuration and folder, run and logged in to as the current user.

It is a real one, so what one does there is done on this machine. Everything here blocks.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from galaxy_core.errors import SimulatorError
from galaxy_core.testing.ports import port_for

#: Where systems have it that keep it off the PATH of ordinary users.
PLACES: Final = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/local/bin")
#: How long it may take to listen, and to end.
START_S: Final = 10.0

_CONFIG: Final = """\
ListenAddress 127.0.0.1
Port {port}
HostKey "{folder}/host_key"
AuthorizedKeysFile "{folder}/authorized_keys"
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment no
PrintMotd no
X11Forwarding no
AllowAgentForwarding no
MaxSessions {sessions}
MaxStartups 200
LogLevel ERROR
Subsystem sftp {sftp}
SetEnv {environment}
{more}
"""


def find_program(name: str) -> str:
    """The path of a program of OpenSSH.

    Raises:
        SimulatorError: it is not installed.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    found = shutil.which(name, path=path)
    if found is None:
        raise SimulatorError(
            "ssh", f"there is no {name}; install OpenSSH's server (Debian: apt-get install openssh-server)"
        )
    return os.path.abspath(found)  # sshd starts itself again, and insists on an absolute path


def find_sftp_server() -> str:
    """The path of OpenSSH's file server as a program of its own.

    Raises:
        SimulatorError: it is not installed.
    """
    places = ("/usr/lib/openssh", "/usr/libexec/openssh", "/usr/lib/ssh", "/usr/libexec", "/usr/local/libexec")
    found = shutil.which("sftp-server", path=os.pathsep.join(places))
    if found is None:
        raise SimulatorError("ssh", "there is no sftp-server; install it (Debian: apt-get install openssh-sftp-server)")
    return found


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new pair of keys, `path` and `path`.pub; an old one is replaced."""
    for old in (path, path.with_name(path.name + ".pub")):
        old.unlink(missing_ok=True)
    make = [find_program("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "galaxy", "-f", str(path)]
    subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    return path


class Daemon:
    """One sshd with its folder below `folder`, which exists: `home` is where its users find themselves by `HOME`.

    `options` are further lines of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sessions: int = 10,
        options: Sequence[str] = (),
        sftp: str = "internal-sftp",
    ) -> None:
        self.folder = folder.absolute()
        self.user = getpass.getuser()
        self.port = port_for(self)
        self.home = self.folder / "home"
        self.host_key = self.folder / "host_key"
        self.user_key = self.folder / "user_key"
        self.known_hosts = self.folder / "known_hosts"
        self._sessions = sessions
        self._options = options
        self._sftp = sftp
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make its keys and its configuration.

        Raises:
            SimulatorError: OpenSSH is not installed.
        """
        if sys.platform == "win32":
            raise SimulatorError("ssh", "it needs a POSIX system; use the Windows Subsystem for Linux")
        find_program("sshd")
        self.home.mkdir(exist_ok=True)
        make_key(self.host_key)
        make_key(self.user_key)
        shutil.copy(self.user_key.with_name("user_key.pub"), self.folder / "authorized_keys")
        self.write_known_hosts()
        # An rc file of the user's shell is not for us, and may be slow; a shell that finds none here has none.
        environment = f'"HOME={self.home}" "GALAXY_SIMULATED=ssh"'
        config = _CONFIG.format(
            port=self.port,
            folder=self.folder,
            sessions=self._sessions,
            environment=environment,
            sftp=self._sftp,
            more="\n".join(self._options),
        )
        (self.folder / "config").write_text(config)

    def write_known_hosts(self, *ports: int) -> None:
        """Vouch for the host key as it is now, at its own port and at others that lead to it."""
        public = self.host_key.with_name("host_key.pub").read_text().split()
        lines = [f"[127.0.0.1]:{port} {public[0]} {public[1]}\n" for port in (self.port, *ports)]
        self.known_hosts.write_text("".join(lines))

    def start(self) -> None:
        """Start it, again if it was killed, and wait until it listens.

        Raises:
            SimulatorError: it does not, or something else does.
        """
        if self._process is not None:
            self._process.wait()
        until = time.monotonic() + START_S
        # A child of the one before that was just forked may have its socket yet: it would be taken for the new one.
        while self.listens():
            if time.monotonic() > until:
                raise SimulatorError("ssh", f"something else listens on port {self.port}")
            time.sleep(0.01)
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as root it insists on this empty folder
        log = self.folder / "log"
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                [find_program("sshd"), "-D", "-e", "-f", str(self.folder / "config")],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        until = time.monotonic() + START_S
        while not self.listens():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                why = log.read_text(errors="replace").strip()[-500:]
                raise SimulatorError("ssh", f"sshd does not start: {why or 'it says nothing'}")
            time.sleep(0.01)

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def processes(self) -> list[int]:
        """The server itself, and everything that it has started and that has not left it."""
        assert self._process is not None
        return _family(self._process.pid)

    def servers(self) -> list[int]:
        """Those of `processes` that are sshd itself: the one that listens, and those of each connection."""
        return [pid for pid in self.processes() if _name(pid).startswith("sshd")]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of sshd itself."""
        for pid in self.servers():
            _kill(pid, number)

    def drop(self) -> None:
        """End all connections at once; it goes on listening."""
        for pid in self.servers()[1:]:
            _kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it with everything that it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGSTOP)  # so that it starts nothing while its children are looked for
        left = _family(process.pid)
        for pid in left:
            _kill(pid, signal.SIGKILL)
        process.wait()
        for pid in [*left, *_marked(str(self.home))]:
            _kill(pid, signal.SIGKILL)


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _family(root: int) -> list[int]:
    """A process and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has gone
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _marked(home: str) -> list[int]:
    """Processes that have left the server, but were started by one with this home folder."""
    mark = f"HOME={home}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
