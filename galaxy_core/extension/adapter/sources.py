"""Where an attempt may read files on this machine, and where it may keep them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from galaxy_core.extension.adapter.folder import explain, open_inside, parts_of
from galaxy_core.extension.adapter.names import STREAM_FILES
from galaxy_core.extension.interfaces import Attempt


def files_root(folder: str | None, setting: Path | None) -> Path:
    """The folder of this machine that a device's tasks may read from: that of the inventory file, else the current one.

    `setting`, what the inventory says of it, is seen from there; it may begin with ``~``.
    """
    return Path(folder or "", "" if setting is None else setting.expanduser()).absolute()


class Sources:
    """The files of this machine that one attempt may read: below `root`, and what tasks of its run have left.

    `root` None: only the latter.
    """

    def __init__(self, attempt: Attempt, root: Path | None) -> None:
        self._attempt = attempt
        self._root = root

    def readable(self, path: str) -> tuple[Path, str]:
        """The folder that a file must be in, and its name in there.

        Raises:
            ValueError: it may not be read.
        """
        source, root = Path(path), self._root
        if not source.anchor:
            if root is None:
                raise ValueError(f"{path!r} is relative, and there is no root folder that it could be below")
            return root, source.as_posix()
        bases: list[Path] = []
        with suppress(ValueError):  # an attempt that keeps no files has none of other tasks, either
            # Before the root: as it is written, it may lead through that and out again (--artifacts ../kept).
            bases.append(self._attempt.artifact_path(STREAM_FILES[0]).parent.parent)
        bases += [] if root is None else [root, root.resolve()]
        for base in bases:
            if source.is_relative_to(base):
                return base, source.relative_to(base).as_posix()
        where = "" if root is None else f"neither in the root folder {str(root)!r} nor "
        below = "" if root is None else "copy it below the root, or "
        raise ValueError(
            f"it is {where}{'' if where else 'not '}a file that a task of this run has left; "
            f"{below}refer to a collected file: {{from: TASK, value: file.NAME}}"
        )

    def open(self, path: str) -> BinaryIO:
        """The file, opened for reading without following any link. Blocks.

        Raises:
            ValueError: it may not be read, or is no regular file.
            OSError: it cannot be read.
        """
        base, inside = self.readable(path)
        return open_inside(base, parts_of(inside))

    def why_not(self, path: str, error: OSError | ValueError) -> str:
        """Why `open` failed, in a few words that follow the path; of a relative one that is not there, with its folder."""
        said = explain(error)
        if isinstance(error, FileNotFoundError) and self._root is not None and not Path(path).anchor:
            return f"{said} in folder {str(self._root)!r} of this machine"
        return said

    def target(self, name: str) -> Path:
        """Where a file of that plain name is kept.

        Raises:
            ValueError: this attempt keeps no files, or the name is not one plain path component.
        """
        return self._attempt.artifact_path(name)

    def stream_file(self, name: str) -> Path | None:
        """A place for a whole output stream ("stdout", "stderr"); None when this attempt keeps no files."""
        try:
            return self._attempt.artifact_path(f"{name}.txt")
        except ValueError:
            return None
