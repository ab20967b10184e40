"""Where the user of this process lives."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def own_home() -> Path:
    """The home of this user. Of root it is not what $HOME says, if that is somebody else's: sudo may keep the variable, and
    what root left there, such as a folder for state, that user could not write to.

    Raises:
        RuntimeError: this user has none.
    """
    home = Path.home()
    if sys.platform == "win32" or os.geteuid() != 0:
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
