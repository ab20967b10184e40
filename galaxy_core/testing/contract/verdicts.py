"""How an attempt may end when something goes wrong: the fault matrix."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from galaxy_core.testing.contract.faults import FAULTS, PHASES, Fault, Phase

#: How it ended: no session came about; refused; unknown, which includes a stopped attempt that nobody can vouch for;
#: stopped for sure; completed, as it really was.
Verdict = Literal["not opened", "refused", "unknown", "stopped", "completed"]

#: Faults that only delay, repeat or disguise what is told.
HARMLESS: Final[frozenset[Fault]] = frozenset({"slow", "trickle", "duplicate_answer", "huge_output", "binary_output"})
#: Faults after which nothing comes any more, so that the deadline ends the attempt.
SILENT: Final[frozenset[Fault]] = frozenset({"hang", "frozen", "late_answer", "lost_answer"})


@frozen
class Cell:
    """One fault at one phase."""

    fault: Fault
    phase: Phase

    def __str__(self) -> str:
        return f"{self.fault}-{self.phase}"

    @property
    def allowed(self) -> frozenset[Verdict]:
        """The verdicts that tell the truth here."""
        if self.fault in HARMLESS or self.phase == "clean_up":
            return frozenset({"completed"})
        if self.phase == "connect":
            return frozenset({"not opened", "refused"})
        if self.fault == "authentication_lost":  # some keep the link that they have
            return frozenset({"unknown", "completed", "refused" if self.phase == "start" else "completed"})
        if self.fault in SILENT:
            return frozenset({"unknown", "stopped"})
        return frozenset({"unknown", "refused"} if self.phase == "start" else {"unknown"})


CELLS: Final = tuple(Cell(fault, phase) for fault in FAULTS for phase in PHASES)
