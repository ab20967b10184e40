"""Files that a command has left, fetched once it has ended: by the session that ran it, or by one that settles it later."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

from attrs import define, field

from galaxy_core.extension.attempts import Attempt, Completed, Unknown
from galaxy_core.model.request import Command

#: Why this machine could not even look at a file of its own: that says nothing about the file.
OWN_TROUBLES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})


@define
class Fetched:
    """What came of fetching them. `files` has the place of each that is kept here, `collected` its size and hash.

    `lost` says why there is no such file on the device, and makes a failure of a command that ended well. `unkept` says why
    one that may well be there is not kept here, such as by a full disk of this machine or a lost link: that says nothing
    about the command. A session that is stopped meanwhile leaves in `Attempt.partial` how the command ended, with the rest in
    `unkept`: by that the kernel sees that a command which ended well did so before its deadline.
    """

    files: dict[str, str] = field(factory=dict)
    collected: dict[str, dict[str, Any]] = field(factory=dict)
    lost: dict[str, str] = field(factory=dict)
    unkept: dict[str, str] = field(factory=dict)

    @classmethod
    def nowhere(
        cls, said: Completed, outputs: Iterable[str], error: OSError | ValueError, folder: str
    ) -> Completed | Unknown:
        """How a command ended for whose `outputs` there is no place, for `error`: of the system, there may be one later."""
        if isinstance(error, OSError):
            where = "" if error.filename is None else f" ({str(error.filename)!r})"
            why = f"there is no place for it: {error.strerror or error}{where}"
            return cls(unkept=dict.fromkeys(outputs, why)).added_to(said, folder)
        return said if said.exit_code else Unknown(f"it ended well, but its files cannot be kept: {error}", said)

    def added_to(self, said: Completed, folder: str) -> Completed | Unknown:
        """How the command ended, `said`, with its files from its working folder. Adds to `said` itself."""
        said.files = {**(said.files or {}), **self.files} or None
        missing = {**self.lost, **self.unkept}
        if self.collected or missing:
            said.metadata = dict(said.metadata or {})
        if self.collected:
            said.metadata["collected"] = self.collected  # type: ignore[index]  # made above
        if missing:
            said.metadata["not_collected"] = missing  # type: ignore[index]  # likewise
        if said.exit_code != 0 or said.error is not None or not missing:
            return said
        if not self.lost:
            return Unknown(f"it ended well, but not all of its files could be fetched and kept: {_each(missing)}", said)
        said.error = (
            f"the command ended well, but not every output could be collected from {folder!r}: {_each(missing)}"
        )
        return said


def command_of(attempt: Attempt) -> Command | None:
    """The command of an attempt, also of one of an earlier process: then with its references as they are in the plan."""
    request = attempt.request if attempt.request is not None else attempt.task.request
    return request if isinstance(request, Command) else None


def _each(why: dict[str, str]) -> str:
    return "; ".join(f"{name!r}: {text}" for name, text in why.items())
