"""The world that plugins and conditions are in now: they are there once, for all simulations of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.properties.sim.hands import Meddler
    from tests.properties.sim.holds import Holds
    from tests.properties.sim.proposing import Proposer
    from tests.properties.sim.world import SimWorld


class Stage:
    """What is played now."""

    world: SimWorld
    holds: Holds
    proposers: list[Proposer]
    meddler: Meddler
