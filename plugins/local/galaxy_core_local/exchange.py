"""Files that an attempt is given, and files that it leaves: between the working folder and where the run keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from attrs import asdict

from galaxy_core import Command
from galaxy_core.extension.interfaces import Attempt
from galaxy_core_local import folder

#: Where a stream goes that exceeds what is kept in memory.
STREAM_FILES = ("stdout.txt", "stderr.txt")
#: Longest name of a kept file; the end of a longer one is kept, for its suffix.
LONGEST = 100


class Exchange:
    """The files of one attempt. `collected` maps names to size and hash, `lost` names to why there is no such file.

    Raises:
        ValueError: a name leaves the working folder, or files are to be collected and there is no place for them.
    """

    def __init__(self, attempt: Attempt, command: Command, root: Path, cwd: Path, threads: CapacityLimiter) -> None:
        self._attempt = attempt
        self._sources = {name: str(source) for name, source in command.files.items()}
        self._root = root
        self._cwd = cwd
        self._threads = threads
        self.files: dict[str, str] = {}
        self.collected: dict[str, dict[str, int | str]] = {}
        self.lost: dict[str, str] = {}
        for name in (*command.files, *command.outputs):
            folder.parts_of(name)
        places = _plain_names(command.outputs)
        # Asked for now, because a run that cannot keep what the command makes should not start it.
        self._targets = {name: attempt.artifact_path(places[name]) for name in command.outputs}

    async def put(self) -> None:
        """Copy the files that the command is given into its working folder.

        Raises:
            ValueError: one of them could not be copied.
        """
        for name, source in self._sources.items():
            try:
                base, inside = self._base(Path(source))
                await to_thread.run_sync(folder.put, self._cwd, name, base, inside, limiter=self._threads)
            except (OSError, ValueError) as error:
                why = folder.explain(error)
                raise ValueError(f"{source!r} cannot be put into the working folder as {name!r}: {why}") from error

    def _base(self, source: Path) -> tuple[Path, str]:
        """The folder that `source` must be in, and its name in there.

        Raises:
            ValueError: it is an absolute path to elsewhere than the root folder and what this run has collected.
        """
        if not source.anchor:
            return self._root, source.as_posix()
        bases = [self._root, self._root.resolve()]
        with suppress(ValueError):  # an attempt that keeps no files has none of other tasks, either
            bases.append(self._attempt.artifact_path(STREAM_FILES[0]).parent.parent)
        for base in bases:
            if source.is_relative_to(base):
                return base, source.relative_to(base).as_posix()
        raise ValueError(
            f"it is neither in the root folder {str(self._root)!r} nor a file that a task of this run has left; "
            "copy it below the root, or refer to a collected file: {from: TASK, value: file.NAME}"
        )

    async def collect(self) -> None:
        """Copy the files that the command left to where the run keeps them. Fills `files`, `collected` and `lost`."""
        for name, target in self._targets.items():
            try:
                copied = await to_thread.run_sync(folder.collect, self._cwd, name, target, limiter=self._threads)
            except (OSError, ValueError) as error:
                self.lost[name] = folder.explain(error)
            else:
                self.files[name] = str(target)
                self.collected[name] = asdict(copied)

    def complaint(self) -> str | None:
        """What is missing, in words; None when nothing is."""
        if not self.lost:
            return None
        each = "; ".join(f"{name!r}: {why}" for name, why in self.lost.items())
        return f"the command ended well, but not every output could be collected from {str(self._cwd)!r}: {each}"

    def stream_file(self, name: str) -> Path | None:
        """A place for a whole output stream ("stdout", "stderr"); None when this attempt keeps no files."""
        try:
            return self._attempt.artifact_path(f"{name}.txt")
        except ValueError:
            return None


def _plain_names(names: Sequence[str]) -> dict[str, str]:
    """For each name, which may lead through folders, one that every file system takes: ``a/b c.txt``, ``a_b_c.txt``."""
    taken = set(STREAM_FILES)
    plain: dict[str, str] = {}
    for name in names:
        candidate = re.sub(r"^\.|[^A-Za-z0-9._-]", "_", name)[-LONGEST:]
        while candidate.casefold() in taken:  # some file systems do not tell capitals from small letters
            candidate = f"_{candidate}"[:LONGEST]
        taken.add(candidate.casefold())
        plain[name] = candidate
    return plain
