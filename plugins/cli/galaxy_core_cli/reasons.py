"""What an exception says to people who use the command; the words themselves are the kernel's (`message_of`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from galaxy_core import GalaxyError, message_of
from galaxy_core.errors import UnknownTaskError
from galaxy_core.errors.root import hint

#: Tasks that an error names where none is near.
SOME = 5


def why(error: BaseException | str) -> str:
    """What it says, and below that what was noted on its way."""
    notes = getattr(error, "__notes__", ()) if isinstance(error, GalaxyError) else ()
    if isinstance(error, UnknownTaskError) and error.role == "Task":
        return "\n".join([no_task(error.task_id, error.near, error.known), *notes])
    return "\n".join([message_of(error), *notes])


def no_task(task_id: str, near: Sequence[str], known: Sequence[str] = ()) -> str:
    """That a run has no such task, and which may have been meant, or else some that there are."""
    some = f"; there {'is' if len(known) == 1 else 'are'} {', '.join(map(repr, known))}{' and others' if len(known) == SOME else ''}"
    return f"no task {task_id!r}{hint(near) or (some if known else '')}"


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, at whatever depth, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


def single(error: BaseException) -> BaseException:
    """The one error in a group of one, at whatever depth; any other as it is."""
    found = list(leaves(error))
    return found[0] if len(found) == 1 else error
