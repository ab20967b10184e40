"""The links of a plan by their ids, most of which nobody ever asks for.

A link gets its id when somebody asks for it. A plan that is recorded promises ids to all of its links and makes none of
them: each has a number, and its id is that number behind what all of them begin with. They are made when one of them is asked
for, or the first time that an id is looked up which none of the named links has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from galaxy_core.model.result import new_id

if TYPE_CHECKING:
    from galaxy_core.model.dependency import TaskStarLine

_T = TypeVar("_T")
#: Hexadecimal digits of a number in an id: the last part of a UUID.
_DIGITS = 12


class LineIndex(dict[str, "TaskStarLine"]):
    """By their ids, the links of `lines` that have one. `prefix` is that of the numbered ones, `numbered` how many there were."""

    __slots__ = ("_lines", "is_named", "numbered", "prefix")

    def __init__(self, lines: dict[TaskStarLine, None]) -> None:
        super().__init__()
        self._lines = lines
        self.prefix: str | None = None
        self.numbered = 0
        self.is_named = False  # whether all that have a number have their ids, too

    def begin_numbering(self) -> None:
        """Links are about to get numbers, from `numbered` on."""
        if self.prefix is None:
            self.prefix = new_id()[:-_DIGITS]
        self.is_named = False

    def name_of(self, number: int) -> str:
        """The id that goes with a number."""
        return f"{self.prefix}{number:0{_DIGITS}x}"

    def _is_promised(self, line_id: object) -> bool:
        """Whether it may be that of a link which has a number; then all of those have their ids afterwards."""
        if self.prefix is None or not isinstance(line_id, str) or not line_id.startswith(self.prefix):
            return False
        if not self.is_named:
            for line in self._lines:
                if type(line._line_id) is int:
                    line._line_id = name = self.name_of(line._line_id)
                    self[name] = line
            self.is_named = True
        return True

    def __contains__(self, line_id: object) -> bool:
        return super().__contains__(line_id) or (self._is_promised(line_id) and super().__contains__(line_id))

    def __missing__(self, line_id: str) -> TaskStarLine:
        if self._is_promised(line_id) and (found := super().get(line_id)) is not None:
            return found
        raise KeyError(line_id)

    def get(self, line_id: str, default: _T | None = None) -> TaskStarLine | _T | None:  # type: ignore[override]
        """The link of that id, or `default`."""
        found = super().get(line_id)
        if found is None and self._is_promised(line_id):
            found = super().get(line_id)
        return default if found is None else found
