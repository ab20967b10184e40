"""The contract kit: what proves a plugin right. Subclass a contract, supply a fixture, run pytest.

Names are imported when they are first used: a simulator that is shipped needs `faults` alone, and no test framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galaxy_core.model.request import Request
    from galaxy_core.testing.contract.bench import Bench, Ended, Stopped
    from galaxy_core.testing.contract.clause import Clause, Contract, NotAskedError, clause, clauses_of
    from galaxy_core.testing.contract.faults import (
        FAULTS,
        PHASES,
        FarSide,
        FarSideThatCountsLogins,
        FarSideThatFills,
        Fault,
        Phase,
        Truth,
    )
    from galaxy_core.testing.contract.journal import Archive, JournalContract
    from galaxy_core.testing.contract.leftovers import Leftovers
    from galaxy_core.testing.contract.observer import Audience, ObserverContract
    from galaxy_core.testing.contract.plugin import PluginContract
    from galaxy_core.testing.contract.story import Story, story
    from galaxy_core.testing.contract.strategy import AssignmentStrategyContract
    from galaxy_core.testing.contract.transport import TransportContract
    from galaxy_core.testing.contract.work import CALLS, POSIX, WINDOWS, Calls, Posix, Windows, Work

_PLACES = {
    "bench": ("Bench", "Ended", "Stopped"),
    "clause": ("Clause", "Contract", "NotAskedError", "clause", "clauses_of"),
    "faults": (
        "FAULTS",
        "PHASES",
        "FarSide",
        "FarSideThatCountsLogins",
        "FarSideThatFills",
        "Fault",
        "Phase",
        "Truth",
    ),
    "leftovers": ("Leftovers",),
    "journal": ("Archive", "JournalContract"),
    "observer": ("Audience", "ObserverContract"),
    "plugin": ("PluginContract",),
    "story": ("Story", "story"),
    "strategy": ("AssignmentStrategyContract",),
    "transport": ("TransportContract",),
    "work": ("CALLS", "POSIX", "WINDOWS", "Calls", "Posix", "Request", "Windows", "Work"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "CALLS",
    "FAULTS",
    "PHASES",
    "POSIX",
    "WINDOWS",
    "Archive",
    "AssignmentStrategyContract",
    "Audience",
    "Bench",
    "Calls",
    "Clause",
    "Contract",
    "Ended",
    "FarSide",
    "FarSideThatCountsLogins",
    "FarSideThatFills",
    "Fault",
    "JournalContract",
    "Leftovers",
    "NotAskedError",
    "ObserverContract",
    "Phase",
    "PluginContract",
    "Posix",
    "Request",
    "Stopped",
    "Story",
    "TransportContract",
    "Truth",
    "Windows",
    "Work",
    "clause",
    "clauses_of",
    "story",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
