"""Whether a host is the one that it should be. There is no way of connecting without knowing that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from galaxy_core_ssh.settings import SshHop


class Known:
    """The keys that a host may have: those of a known_hosts file, or one that the inventory says.

    Blocks for reading the file. When there is none, no key is known, and `why_not` says so: whether the host can be
    reached at all is seen before.

    Raises:
        ValueError: they cannot be read; says what to do.
    """

    def __init__(self, hop: SshHop, folder: Path) -> None:
        self._hop = hop
        self.offered: asyncssh.SSHKey | None = None
        self._is_missing = False
        self.source = "setting 'host_key'"
        if hop.host_key is not None:
            self.keys = self._pinned(hop.host_key)
        else:
            path = folder / hop.known_hosts.expanduser()
            self.source = f"{str(path)!r}"
            self.keys = self._read(path)

    @property
    def _name(self) -> str:
        host, port = self._hop.host, self._hop.port
        return host if port == 22 else f"[{host}]:{port}"

    @property
    def _remedy(self) -> str:
        return (
            f"ask somebody who has seen the host for the fingerprint, compare it with what "
            f"`ssh-keyscan -p {self._hop.port} {self._hop.host} | ssh-keygen -lf -` says, then add that line of ssh-keyscan to the file"
        )

    @staticmethod
    def _pinned(line: str) -> Any:
        try:
            return [asyncssh.import_public_key(line)], [], []
        except asyncssh.KeyImportError:
            raise ValueError("its setting 'host_key' is no public key; give it as 'ssh-ed25519 AAAA…'") from None

    def _read(self, path: Path) -> Any:
        try:
            return asyncssh.read_known_hosts(str(path))
        except FileNotFoundError:
            self._is_missing = True
            return asyncssh.import_known_hosts("")  # never None, with which asyncssh would take any key
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
            raise ValueError(f"the file of known hosts {self.source} {why}; {self._remedy}") from None
        except (ValueError, UnicodeError) as error:
            raise ValueError(f"the file of known hosts {self.source} cannot be read: {error}") from None

    def algorithms(self) -> Sequence[str]:
        """The kinds of keys to ask the host for: those that are known first, then all others.

        With the known ones alone, a host that has lost them would end the connection without a word. Empty: no key is
        known by the host's name; there may be one for its address.
        """
        trusted, authorities, _ = self._matching("")
        if not trusted and not authorities:
            return ()
        wanted = [*get_default_certificate_algs()] if authorities else []
        wanted += [one for key in trusted for one in key.sig_algorithms]
        wanted += [*get_default_public_key_algs(), *get_default_certificate_algs()]
        return [one.decode() for one in dict.fromkeys(wanted)]

    def why_not(self, address: str) -> str:
        """Why the host was refused, in words that name the file and both fingerprints."""
        trusted, authorities, revoked = self._matching(address)
        offered = self.offered
        shown = "one of another kind" if offered is None else f"{offered.get_algorithm()} {offered.get_fingerprint()}"
        if offered is not None and offered in revoked:
            return f"its host key {shown} is revoked in {self.source}"
        # A key stands there once for the host's name, and perhaps again for its address.
        every = dict.fromkeys(f"{key.get_algorithm()} {key.get_fingerprint()}" for key in (*trusted, *authorities))
        known = ", ".join(every)
        if known:
            return (
                f"its host key has changed, or somebody stands in between: {self.source} has {known} for {self._name}, "
                f"and it shows {shown}. If the change is known to be right, replace the old line: {self._remedy}"
            )
        if self._is_missing:
            return f"the file of known hosts {self.source} does not exist, and the host shows {shown}; {self._remedy}"
        return f"its host key is unknown: {self.source} has none for {self._name}, and it shows {shown}; {self._remedy}"

    def _matching(self, address: str) -> tuple[list[Any], list[Any], list[Any]]:
        if isinstance(self.keys, tuple):
            return self.keys
        port = None if self._hop.port == 22 else self._hop.port
        found = self.keys.match(self._hop.host, address, port)
        return list(found[0]), list(found[1]), list(found[2])


class Client(asyncssh.SSHClient):
    """Hears about one connection: which key the host has shown, and why the connection ended."""

    def __init__(self, known: Known, lost: Callable[[BaseException | None], None]) -> None:
        self.known = known
        self._lost = lost
        self.address = ""
        self._connection: asyncssh.SSHClientConnection | None = None

    @property
    def progress(self) -> str:
        """How far it has come: "nothing", "connected", or "greeted" once the host has said that it speaks SSH."""
        if self._connection is None:
            return "nothing"
        return "greeted" if self._connection.get_extra_info("server_version") else "connected"

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn
        peer = conn.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Asked only about a key that is not among the known ones."""
        self.known.offered = key
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)
