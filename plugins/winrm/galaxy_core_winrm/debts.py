"""What was left on a host and could not be taken back at once. It is, before the next attempt, at a probe, or at the end."""

from __future__ import annotations

from attrs import define, field

#: A shell whose creation was not answered may appear a little later; it is looked for so often.
LOOKS = 3


@define
class Debts:
    """Of one host and user, across sessions.

    `shells` are ids of shells to be deleted, `running` those of them in which a command may still run. `names` are those of shells that may have been created without our hearing of
    it, and how often they will still be looked for. `parts` are temporary files of transfers. `told` is what people were last told of them. `marked` are shells that are left alone, by mark; see `leave`.
    `has_markers`: a trial has shown that attempts leave markers there.
    """

    shells: set[str] = field(factory=set)
    running: set[str] = field(factory=set)
    names: dict[str, int] = field(factory=dict)
    parts: set[str] = field(factory=set)
    told: str = ""
    marked: dict[str, set[str]] = field(factory=dict)
    has_markers: bool = False

    def leave(self, mark: str, shell_id: str) -> None:
        """A shell in which an attempt that leaves a marker may be at work: it is asked for, and nobody ends it before."""
        self.marked.setdefault(mark, set()).add(shell_id)

    def let_go(self, mark: str) -> None:
        """What became of that attempt is known, or it is to be ended."""
        left = self.marked.pop(mark, set())
        self.shells |= left
        self.running |= left

    def settled(self, shell_id: str) -> None:
        """That shell is gone."""
        self.shells.discard(shell_id)
        self.running.discard(shell_id)

    def __bool__(self) -> bool:
        return bool(self.shells or self.names or self.parts)

    def __str__(self) -> str:
        counts = {"shell{}": len(self.shells), "shell{} that may be there": len(self.names), "file{}": len(self.parts)}
        said = (f"{count} {what.format('' if count == 1 else 's')}" for what, count in counts.items() if count)
        return ", ".join(said) or "nothing"
