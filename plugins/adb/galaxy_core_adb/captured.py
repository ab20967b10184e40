"""What a command of the device's own says, as bytes, for actions that make something of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from galaxy_core import Command
from galaxy_core.extension.adapter.posix import wrap
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_adb.run import NotStartedError, Run, UncertainError
from galaxy_core_adb.sinks import Blob
from galaxy_core_adb.texts import one_line

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession

#: How much of what a command complains about is kept.
_COMPLAINT_BYTES = 1 << 16


@frozen
class Captured:
    """A command that has ended."""

    exit_code: int
    stdout: Blob
    stderr: Blob

    @property
    def texts(self) -> tuple[str, str]:
        """Output and error output."""
        return self.stdout.kept.decode(errors="replace"), self.stderr.kept.decode(errors="replace")

    def failed(self, why: str | None = None) -> Completed:
        """Its outcome when it has failed."""
        said = one_line(self.texts[1]) or one_line(self.texts[0][:1000])
        error = why or said or f"it ended with exit code {self.exit_code}"
        return Completed(exit_code=self.exit_code, stderr=self.texts[1], error=error)


async def capture(
    session: AdbSession, attempt: Attempt, command: Command, cap_bytes: int, paths: tuple[str, ...] = ()
) -> Captured | Outcome:
    """Run it; what it says up to `cap_bytes`, or the outcome if it did not end by itself. `paths` must not outlive it.

    Raises:
        AdbFailureError: nothing was sent, and nothing can be.
    """
    stdout, stderr = Blob(cap_bytes), Blob(_COMPLAINT_BYTES)
    try:
        script = wrap(command, attempt.mark, root=session.settings.root, shell="sh")  # noqa: S604  a program's name
        script.encode()
    except ValueError as error:
        return Refused(str(error))
    run = Run(session.link, attempt, script, b"", stdout, stderr, paths)
    try:
        exit_code = await run.to_its_end(session.settings.root)
    except NotStartedError as error:
        return Refused(str(error))
    except UncertainError as error:
        return Unknown(str(error))
    except BaseException:  # goes on to the kernel
        if attempt.progress != "new" and run.doubt is not None:
            attempt.partial = Unknown(run.doubt)
        raise
    return Captured(exit_code, stdout, stderr)
