"""Whether the files of a run can be kept where somebody wants them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def refusal(path: str) -> str | None:
    """Why no folder could be made at or below `path`, in words; None when one could. Leaves nothing there.

    Tried, not judged by permissions: these say little of file systems that are read-only, full or special.
    """
    if not path:
        return "the path is empty"
    wanted = Path(path)
    place = wanted
    try:
        place = next(one for one in (wanted, *wanted.parents) if _is_there(one))
        if place.is_dir():
            os.rmdir(tempfile.mkdtemp(prefix=".galaxy-", dir=place))
            return None
    except OSError as problem:
        where = "" if place == wanted else f"nothing can be made in {str(place)!r}: "
        return f"{where}{problem.strerror or problem}"
    what = "is a file, not a folder" if place.exists() else "is a link that leads nowhere"
    return f"{'it' if place == wanted else repr(str(place))} {what}"


def _is_there(place: Path) -> bool:
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
