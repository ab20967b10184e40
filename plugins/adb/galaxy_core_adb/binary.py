"""Which adb, and how a server is started with it. The only module that knows adbutils. Everything here blocks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from galaxy_core_adb.failures import ServerGoneError

#: Names an adb to use, as adbutils has it.
VARIABLE: Final = "ADBUTILS_ADB_PATH"
#: The port that every adb client asks when nobody says anything.
USUAL_PORT: Final = 5037
_FOREIGN: Final = re.compile(r"ANDROID_SERIAL|ANDROID_ADB_SERVER_(PORT|ADDRESS)|ADB_SERVER_SOCKET|ADB_TRACE")


def find(told: Path | None) -> Path:
    """The adb to use: the one that is told, else that of the environment, else adbutils' own, else the one on the PATH.

    adbutils' is before the PATH, because it is pinned with it, and older ones crash under load.

    Raises:
        ServerGoneError: there is none.
    """
    if told is not None:
        return _runnable(told, "the device's setting 'adb' names")
    if os.environ.get(VARIABLE):
        return _runnable(Path(os.environ[VARIABLE]), f"the environment variable {VARIABLE} names")
    bundled = _bundled()
    if bundled is not None:
        return bundled
    found = shutil.which("adb")
    if found is None:
        raise ServerGoneError(
            "there is no adb: this platform's adbutils brings none, and none is on the PATH; install Android's "
            "platform-tools, or name one in the device's setting 'adb'"
        )
    return Path(found)


def _runnable(path: Path, who: str) -> Path:
    if not os.access(path, os.X_OK) or path.is_dir():
        raise ServerGoneError(f"{who} {str(path)!r}, which is no program")
    return path


def _bundled() -> Path | None:
    from importlib.util import find_spec

    spec = find_spec("adbutils")  # without importing it: it loads pictures and network libraries that we need not
    for folder in () if spec is None else spec.submodule_search_locations or ():
        path = Path(folder, "binaries", "adb.exe" if sys.platform == "win32" else "adb")
        if os.access(path, os.X_OK):
            return path
    return None


def environment(port: int, around: Mapping[str, str]) -> dict[str, str]:
    """What a server on `port` is started with.

    One on another port than the usual leaves emulators and devices of the local network to the usual one: two servers
    that both connect to them would disturb each other.
    """
    kept = {name: value for name, value in around.items() if not _FOREIGN.fullmatch(name)}
    kept["ANDROID_ADB_SERVER_PORT"] = str(port)
    if port != USUAL_PORT:
        kept.setdefault("ADB_LOCAL_TRANSPORT_MAX_PORT", "5553")
        kept.setdefault("ADB_MDNS", "0")
    return kept


def start(adb: Path, port: int) -> None:
    """Start a server that outlives us, as every adb client does; it is not ready yet.

    Not by `adb start-server`, which ends a server of another version that has come up meanwhile; this one just finds the
    port taken.
    """
    command = [str(adb), "-L", f"tcp:localhost:{port}", "server", "nodaemon"]
    surroundings = environment(port, os.environ)
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        null = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, creationflags=flags, env=surroundings)
        process.returncode = 0  # nobody will wait for it, and Python would warn of that
        return
    # The shell ends at once and leaves it to init, so that it is nobody's child who would have to be waited for.
    detach = ["/bin/sh", "-c", '"$@" </dev/null >/dev/null 2>&1 &', "sh", *command]
    subprocess.run(detach, env=surroundings, check=True, start_new_session=True, cwd="/")
