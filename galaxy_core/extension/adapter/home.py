"""Where the user of this process lives."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def own_home() -> Path:
    """The home of this user. With sudo it is not what $HOME says, if that is somebody else's: sudo may keep the variable.

    Without, whoever has set $HOME meant it, as in a container with a folder of somebody mounted there; see `owners`.

    Raises:
        RuntimeError: this user has none.
    """
    home = Path.home()
    if sys.platform == "win32" or os.geteuid() != 0 or not os.environ.get("SUDO_UID"):
        return home
    try:
        is_ours = home.stat().st_uid == 0
    except OSError:  # it is not there yet, and nobody's
        return home
    if is_ours:
        return home
    import pwd  # not on Windows

    try:
        return Path(pwd.getpwuid(0).pw_dir)
    except KeyError:
        return home
