"""Files that results name: made durable, and found to be what they were. All of it blocks, and belongs in a thread."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.result import TERMINAL, ExecutionResult, KeptFiles


def keep_files(paths: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Make files durable, and tell the size and SHA-256 of each. Reads all of them: about 1 s for a gigabyte.

    One that cannot be read has no entry: somebody may have taken it away since, which is no fault of the journal.
    """
    found: dict[str, tuple[int, str]] = {}
    folders, tops = set[Path](), set[Path]()
    for path in dict.fromkeys(paths):
        if not os.path.isfile(path):  # a pipe would block
            continue
        try:
            found[path] = _kept(path)
        except (PermissionError, FileNotFoundError):
            continue
        folder = Path(path).absolute().parent
        folders |= {folder, folder.parent, folder.parent.parent}  # of the task, of the run, of all runs
        tops.add(folder.parent.parent)
    for sync, places in ((sync_folder, folders), (_sync_above, tops)):
        for place in places:
            with suppress(FileNotFoundError):  # as above
                sync(place)
    return found


#: Folders whose own names were made durable by this process, and with them those above: device, inode and when that last changed,
#: because the next folder of that name may get the same inode.
_named: dict[Path, tuple[int, int, int]] = {}


def _sync_above(folder: Path) -> None:
    """Make the name of a folder durable, and of those above it as far as this process can have made them; once each."""
    passed: dict[Path, tuple[int, int, int]] = {}
    for one in (folder, *folder.parents):
        found, above = one.stat(), one.parent.stat()
        inode = (found.st_dev, found.st_ino, found.st_ctime_ns)
        if (
            _named.get(one) == inode
            or found.st_dev != above.st_dev
            or one == one.parent
            or not os.access(one.parent, os.W_OK)
        ):
            break
        sync_folder(one.parent)
        passed[one] = inode
    _named.update(passed)


def _kept(path: str) -> tuple[int, str]:
    with open(path, "rb") as file:
        if os.name == "posix":  # elsewhere only a descriptor that may write can be synced
            os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def read_again(plan: TaskConstellation) -> None:
    """Enter what those files of recorded results hold now that a task which has not ended is to get."""
    for task in plan._tasks.values():
        request = task._request
        if task._status in TERMINAL or request is None or not request.has_references:
            continue
        for reference in request.references:
            source = plan._tasks.get(reference.task_id)
            result = None if source is None else source._result
            name = reference.value.removeprefix("file.")
            if name == reference.value or type(result) is not ExecutionResult or type(result.files) is not KeptFiles:
                continue
            if (
                name in result.files and result.files.lost(name) is None
            ):  # who asks for one that is not there is told later
                _read_again(result.files, result.files[name])


def _read_again(files: KeptFiles, path: str) -> None:
    if path in files.digests or path not in files.kept:
        return
    try:
        with open(path, "rb") as file:
            files.digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        files.digests[path] = ""  # it cannot be what it was, for all that anybody can tell


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where it has a descriptor and may be read."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that keep names by themselves
            raise
    finally:
        os.close(descriptor)
