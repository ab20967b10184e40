"""The entry point: hands the strategies to whoever loads this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import AssignmentStrategy
from galaxy_core_strategies.capability_match import CapabilityMatch
from galaxy_core_strategies.earliest_finish import EarliestFinish
from galaxy_core_strategies.load_balance import LoadBalance
from galaxy_core_strategies.round_robin import RoundRobin


@hookimpl
def galaxy_strategies() -> Iterable[AssignmentStrategy]:
    return [RoundRobin(), CapabilityMatch(), LoadBalance(), EarliestFinish()]
