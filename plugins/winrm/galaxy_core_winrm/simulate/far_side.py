"""Which switches make which cell of the fault matrix.

A phase is told by requests: `start` is Command, `middle` a Receive that does not tell the end, `exit` the one that does,
`clean_up` is Signal and Delete, and `connect` is everything, tokens included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from galaxy_core.testing.contract.faults import FAULTS, PHASES, Fault, Phase
from galaxy_core_winrm.simulate.misbehaviour import Kind, Misbehaviour, Occasion, Stage, Switch

#: Longer than the attempts that meet it wait, and short for those that do not.
LATE_S, SLOW_S, TRICKLE_S = 2.5, 0.1, 0.001
FLOOD_BYTES = 8 << 20

_NO_OUTPUT: Final[Mapping[Phase, str]] = {
    "connect": "nothing is put out while connecting",
    "start": "nothing is put out before the work has begun",
    "clean_up": "everything was put out before",
}
CELLS: Final[Mapping[tuple[Fault, Phase], str | None]] = {
    (fault, phase): _NO_OUTPUT.get(phase) if fault in {"huge_output", "binary_output"} else None
    for fault in FAULTS
    for phase in PHASES
}

#: What each fault is, and whether it strikes before the work where a phase leaves the choice.
_KINDS: Final[Mapping[Fault, tuple[Kind, Stage, float]]] = {
    "hang": ("hang", "before", 0),
    "disconnect": ("drop", "before", 0),
    "garbage": ("garble", "after", 0),
    "slow": ("late", "after", SLOW_S),
    "trickle": ("trickle", "after", TRICKLE_S),
    "duplicate_answer": ("duplicate", "after", 0),
    "late_answer": ("late", "after", LATE_S),
    "lost_answer": ("drop", "after", 0),
    "server_dead": ("die", "before", 0),
    "frozen": ("freeze", "before", 0),
    "authentication_lost": ("lock", "before", 0),
}


def switch_on(misbehaviour: Misbehaviour, fault: Fault, phase: Phase) -> None:
    """Make that cell.

    Raises:
        ValueError: it cannot be produced.
    """
    if (why := CELLS[fault, phase]) is not None:
        raise ValueError(f"{fault!r} cannot be produced in phase {phase!r}: {why}")
    if fault in {"huge_output", "binary_output"}:
        size = FLOOD_BYTES if fault == "huge_output" else 4096
        misbehaviour.flood(size, binary=fault == "binary_output", at_end=phase == "exit")
        return
    kind, stage, amount = _KINDS[fault]
    misbehaviour.switches.append(Switch(kind, _strikes(phase, stage, kind), amount))


def _strikes(phase: Phase, stage: Stage, kind: Kind) -> Callable[[Occasion], bool]:
    match phase:
        case "connect":
            # A token that is answered late is answered before the work, since there is none.
            late = kind == "late"
            return lambda it: it.stage == ("before" if it.verb == "Handshake" and late else stage)
        case "start":
            return lambda it: it.verb == "Command" and it.stage == stage
        case "middle" | "exit":
            # Only its answer tells which of the two a Receive belongs to.
            return lambda it: it.verb == "Receive" and it.stage == "after" and it.done == (phase == "exit")
        case "clean_up":
            return lambda it: it.verb in {"Signal", "Delete"} and it.stage == stage
