"""What root leaves in a folder of another user is given to that user, who could neither read nor remove it otherwise.

So it is in a container that runs as root, with a folder of somebody else mounted into it, and with sudo.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path


def give(path: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> None:
    """Give a file or folder to whoever owns `folder`, None: the one that it is in, with its group, if we are root, and it is root's.

    To be done with what the caller has made itself, and when the rest of what is to be done there is done: from then on, whoever
    has a folder may put anything in the place of what is in it. A link is never followed. What the system does not let us give away stays as it is. Two or three system calls, of root alone.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            give_open(handle, path, folder)
        finally:
            os.close(handle)


def give_open(handle: int, path: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> None:
    """The same of one that is open, and that the caller has made by opening it: others may be what somebody has put there."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    with suppress(OSError):
        above, found = os.stat(folder or os.path.dirname(os.path.abspath(path))), os.fstat(handle)
        # A file that has other names as well may be one that its owner has put there, to be given what is not his.
        is_plain = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
        if above.st_uid != 0 and found.st_uid == 0 and is_plain:
            os.fchown(handle, above.st_uid, above.st_gid)


def make_folders(folder: Path) -> list[Path]:
    """Make a folder, for its owner alone, and those above it; which were not there before, the innermost first.

    Raises:
        OSError: it cannot be made, or is no folder.
    """
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(new):
        one.mkdir(0o700 if one == folder else 0o777, exist_ok=True)
        give(one)
    folder.mkdir(0o700, parents=True, exist_ok=True)
    return new
