"""Where the files of a run are kept on this machine."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from galaxy_core.extension.adapter.owners import give, make_folders
from galaxy_core.extension.interfaces import Attempt

#: One plain path component: no separators, no leading dot, nothing that a file system treats specially.
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class Artifacts:
    """One folder per task below one folder per run; made when the first file is kept.

    Without a `root` a temporary folder is made, which stays: results refer to files in it. A `folder` is that of the run.
    """

    def __init__(self, run_id: str, root: Path | None = None, folder: Path | None = None) -> None:
        self._run_id = run_id
        self._root = root
        self._given = folder
        self._folder: Path | None = None

    @property
    def has_root(self) -> bool:
        """Whether somebody has said where files are to be kept."""
        return self._root is not None

    @property
    def folder(self) -> Path:
        """The folder of this run, readable by its owner alone."""
        if self._folder is None:
            if self._given is not None:
                self._folder = self._given
                make_folders(self._folder)
            elif self._root is None:
                import tempfile  # not before a file is kept

                self._folder = Path(tempfile.mkdtemp(prefix="galaxy-"))
            else:
                self._folder = self._root / plain_name(self._run_id)
                make_folders(self._folder)
        return self._folder

    def __call__(self, attempt: Attempt, name: str) -> Path:
        """See `Attempt.artifact_path`."""
        if not NAME.fullmatch(name):
            raise ValueError(
                f"file name {name!r} of task {attempt.task_id!r} is not one plain path component: "
                "letters, digits, '_', '-' and '.', not starting with a dot, at most 128 characters"
            )
        folder = self.folder / plain_name(attempt.task_id)
        folder.mkdir(mode=0o700, exist_ok=True)
        give(folder)
        return folder / name


def plain_name(text: str) -> str:
    """`text` as one path component, another one for each text: unchanged if it is plain, else readable and hashed."""
    if NAME.fullmatch(text):
        return text
    readable = "".join(c if c.isalnum() and c.isascii() else f"-{ord(c):x}-" for c in text)[:100]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"={readable}-{digest}"  # no plain name begins like this, so none can be made to equal it
