"""Files that an attempt is given, and files that it leaves: between the working folder and where the run keeps them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from anyio import CancelScope, CapacityLimiter, from_thread, to_thread
from attrs import asdict

from galaxy_core import Command
from galaxy_core.extension.adapter import folder
from galaxy_core.extension.adapter.fetched import OWN_TROUBLES, Fetched
from galaxy_core.extension.adapter.names import plain_names
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Unknown


class Exchange:
    """The files of one attempt, and what came of fetching those that it left.

    Raises:
        ValueError: a name leaves the working folder, or files are to be collected and there is no place for them.
    """

    def __init__(self, attempt: Attempt, command: Command, root: Path, cwd: Path, threads: CapacityLimiter) -> None:
        self._files = {name: str(source) for name, source in command.files.items()}
        self.sources = Sources(attempt, root)
        self._cwd = cwd
        self._threads = threads
        self._fetched = Fetched()
        for name in (*command.files, *command.outputs):
            folder.parts_of(name)
        places = plain_names(command.outputs)
        # Asked for now, because a run that cannot keep what the command makes should not start it.
        self._targets = {name: attempt.artifact_path(places[name]) for name in command.outputs}

    async def put(self) -> None:
        """Copy the files that the command is given into its working folder.

        Raises:
            ValueError: one of them could not be copied.
        """
        for name, source in self._files.items():
            try:
                base, inside = self.sources.readable(source)
                put = partial(folder.put, self._cwd, name, base, inside, from_thread.check_cancelled)
                await to_thread.run_sync(put, limiter=self._threads)
            except (OSError, ValueError) as error:
                why = folder.explain(error)
                raise ValueError(f"{source!r} cannot be put into the working folder as {name!r}: {why}") from error

    async def collect(self, said: Completed) -> Completed | Unknown:
        """Copy the files that the command left to where the run keeps them. How it ended, with them; see `Fetched`.

        Does not stop for cancellation: what the command has left is part of what it has done.
        """
        with CancelScope(shield=True):
            for name, target in self._targets.items():
                await self._collect(name, target)
        return self._fetched.added_to(said, str(self._cwd))

    async def _collect(self, name: str, target: Path) -> None:
        fetched = self._fetched
        try:
            collect = partial(folder.collect, self._cwd, name, target, from_thread.check_cancelled)
            copied = await to_thread.run_sync(collect, limiter=self._threads)
        except folder.NotKeptError as error:
            fetched.unkept[name] = f"{error.strerror} (in {str(target.parent)!r})"
        except (OSError, ValueError) as error:
            is_ours = isinstance(error, OSError) and error.errno in OWN_TROUBLES
            (fetched.unkept if is_ours else fetched.lost)[name] = folder.explain(error)
        else:
            fetched.files[name] = str(target)
            fetched.collected[name] = asdict(copied)
