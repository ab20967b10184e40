"""What can go wrong between a transport and a device, when, and what a far side knows about what really happened.

Imports nothing but the standard library, so that a simulator that is shipped with an adapter costs no test framework.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol, get_args, runtime_checkable

from attrs import frozen

Fault = Literal[
    "hang",
    "disconnect",
    "garbage",
    "slow",
    "trickle",
    "duplicate_answer",
    "late_answer",
    "lost_answer",
    "server_dead",
    "frozen",
    "authentication_lost",
    "huge_output",
    "binary_output",
]
#: When a fault strikes: while connecting; before the work has begun; while it runs; when it has ended and its end is
#: being told; after its end was told, while its traces are removed.
Phase = Literal["connect", "start", "middle", "exit", "clean_up"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)


@frozen
class Truth:
    """What a far side knows about the work of one attempt.

    `starts` counts how often it was begun; `running` says whether any process of it is still there; `exit_code` is that of
    the last start, None while it runs or when it was ended by force.
    """

    starts: int = 0
    running: bool = False
    exit_code: int | None = None


@runtime_checkable
class FarSide(Protocol):
    """A device that can be told to misbehave, and asked what really happened. Simulators implement it.

    `cells` says which faults it can produce in which phase: None for those it can, else why not, such as "there is no
    connection to lose". What is not in it cannot be produced either.
    """

    cells: Mapping[tuple[Fault, Phase], str | None]

    async def inject(self, fault: Fault, phase: Phase) -> None:
        """Misbehave so for the next attempt, or the next connection; until `heal`."""
        ...

    async def heal(self) -> None:
        """Behave again, and be reachable again; what was frozen or dead comes back."""
        ...

    async def truth(self, mark: str) -> Truth:
        """What became of the attempt with that mark; also while it misbehaves."""
        ...

    async def remains(self) -> Sequence[str]:
        """What attempts and sessions have left here, in words: processes, shells, streams, temporary files. Empty is good."""
        ...


@runtime_checkable
class FarSideThatFills(FarSide, Protocol):
    """A far side whose disk can be full."""

    async def fill_disk(self) -> None:
        """Until `heal`, there is no room for another byte."""
        ...


@runtime_checkable
class FarSideThatCountsLogins(FarSide, Protocol):
    """A far side that knows how often somebody tried to get in."""

    async def logins(self) -> int:
        """How many times credentials were shown until now, right or wrong. Two keys of one connection count twice."""
        ...
