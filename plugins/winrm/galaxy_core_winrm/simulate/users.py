"""Who may log on to a simulated host.

The acceptor of pyspnego reads its users from the file that the environment variable NTLM_USER_FILE names, and there is
one environment per process. So each host has a file of its own, and the variable points at it only while a token of that
host is answered, under a lock: hosts in several threads of one process may have users of the same name.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

_VARIABLE = "NTLM_USER_FILE"
_lock = threading.Lock()


class Users:
    """The users of one host, by name. Names are compared without regard to case, as Windows does."""

    def __init__(self, passwords: Mapping[str, str], computer: str, file: Path) -> None:
        for text in (*passwords, *passwords.values(), computer):
            if not text or set(text) & set(":\r\n\\"):
                raise ValueError(
                    f"names and passwords of simulated users hold no colon, backslash or line break: {text!r}"
                )
        self._passwords = {name.casefold(): password for name, password in passwords.items()}
        self._file = file
        # Clients send the user's name bare, with the computer's name before it, or with a dot for "this computer".
        lines = (
            f"{domain}:{name}:{password}" for name, password in passwords.items() for domain in ("", computer, ".")
        )
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def accepts_basic(self, credentials: str) -> str | None:
        """The user whose name and password those of a Basic header are; None when there is none."""
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        user = name.rpartition("\\")[2].casefold()
        return user if colon and self._passwords.get(user) == password else None

    @contextlib.contextmanager
    def known_to_ntlm(self) -> Iterator[None]:
        """While inside, pyspnego's acceptors know these users and no others. Blocks while another host answers."""
        with _lock:
            before = os.environ.get(_VARIABLE)
            os.environ[_VARIABLE] = str(self._file)
            try:
                yield
            finally:
                if before is None:
                    # Emptied, not removed: a thread that copies the environment meanwhile would stumble over a key
                    # that vanishes. pyspnego takes an empty name for none.
                    os.environ[_VARIABLE] = ""
                else:
                    os.environ[_VARIABLE] = before
