"""What attempts may have left on a device when it could not be reached any more, until somebody has tidied it up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import define, field

from galaxy_core.extension.adapter.posix import kill_script, quote

#: More of them are not remembered for one device.
MOST: Final = 1000


@define
class Debts:
    """Marks of attempts whose processes may still run, with files that they may have left."""

    _owed: dict[str, tuple[str, ...]] = field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self._owed)

    def add(self, mark: str, paths: Iterable[str] = ()) -> None:
        """Remember one."""
        self._owed[mark] = (*self._owed.pop(mark, ()), *paths)
        if len(self._owed) > MOST:
            del self._owed[next(iter(self._owed))]

    def first(self) -> tuple[str, tuple[str, ...]] | None:
        """The oldest: a mark and paths."""
        return next(iter(self._owed.items()), None)

    def paid(self, mark: str) -> None:
        """Forget it."""
        self._owed.pop(mark, None)


def tidy_script(mark: str, paths: Iterable[str], grace_s: float) -> str:
    """Ends all processes with `mark` and removes `paths`; exit code 0: nothing is left, 1: something is, 2: nobody can tell."""
    names = " ".join(quote(path) for path in paths)
    return (f"rm -rf -- {names}\n" if names else "") + kill_script(mark, grace_s)
