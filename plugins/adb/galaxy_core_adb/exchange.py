"""Files that a command is given, and files that it leaves: between its working folder and where the run keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import asdict

from galaxy_core import Command
from galaxy_core.errors import TransferError
from galaxy_core.extension.adapter.fetched import Fetched
from galaxy_core.extension.adapter.folder import NotKeptError
from galaxy_core.extension.adapter.names import far_parts, plain_names
from galaxy_core.extension.adapter.posix import below
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Unknown
from galaxy_core_adb.failures import AdbFailureError
from galaxy_core_adb.files import Files

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession


class Exchange:
    """The files of one attempt, and what came of fetching those that it left.

    Raises:
        ValueError: a name leaves the working folder, or files are to be collected and there is no place for them.
    """

    def __init__(self, session: AdbSession, attempt: Attempt, command: Command, sources: Sources) -> None:
        folder = below(session.settings.root, command.cwd)
        assert folder is not None
        self._folder = folder.rstrip("/")
        self._given = {name: str(source) for name, source in command.files.items()}
        for name in (*command.files, *command.outputs):
            far_parts(name)
        places = plain_names(command.outputs)
        # Asked for now, because a run that cannot keep what the command makes should not start it.
        self._targets = {name: attempt.artifact_path(places[name]) for name in command.outputs}
        self._files = Files(session, attempt.mark, sources)
        self._fetched = Fetched()

    @property
    def files_wanted(self) -> bool:
        """Whether the command is given any."""
        return bool(self._given)

    @property
    def outputs_wanted(self) -> bool:
        """Whether any are to be collected."""
        return bool(self._targets)

    async def put(self) -> str | None:
        """Copy the files that the command is given into its working folder. Why that failed; None when it did not.

        Raises:
            AdbFailureError: the device was lost.
        """
        for name, source in self._given.items():
            try:
                await self._files.push(source, f"{self._folder}/{name}")
            except (TransferError, ValueError) as error:
                why = error.why if isinstance(error, TransferError) else str(error)
                return f"{source!r} cannot be put into the working folder as {name!r}: {why}"
        return None

    async def collect(self, said: Completed) -> Completed | Unknown:
        """Copy the files that the command left to where the run keeps them. How it ended, with them; see `Fetched`.

        Raises:
            AdbFailureError: the device was lost on the way.
        """
        fetched = self._fetched
        for name, target in self._targets.items():
            try:
                copied = await self._files.fetch(f"{self._folder}/{name}", target)
            except NotKeptError as error:
                fetched.unkept[name] = f"{error.strerror} (in {str(target.parent)!r})"
            except TransferError as error:
                fetched.lost[name] = error.why
            else:
                fetched.files[name] = str(target)
                fetched.collected[name] = asdict(copied)
        return fetched.added_to(said, self._folder)

    def broken_off(self, said: Completed, error: AdbFailureError) -> Completed | Unknown:
        """The device was lost on the way: how the command ended, with the files that had been fetched by then."""
        return self._not_whole(said, f"the way to the device broke off: {error}")

    def stopped(self, said: Completed) -> Completed:
        """The attempt was stopped on the way: likewise."""
        outcome = self._not_whole(said, "the task was stopped before")
        return said if isinstance(outcome, Unknown) else outcome

    def _not_whole(self, said: Completed, why: str) -> Completed | Unknown:
        fetched = self._fetched
        for name in self._targets:
            if name not in fetched.files and name not in fetched.lost and name not in fetched.unkept:
                fetched.unkept[name] = why
        return fetched.added_to(said, self._folder)
