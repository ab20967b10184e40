"""Assignment strategies: round_robin, capability_match, load_balance and earliest_finish."""

from galaxy_core_strategies.capability_match import CapabilityMatch
from galaxy_core_strategies.earliest_finish import EarliestFinish
from galaxy_core_strategies.load_balance import LoadBalance
from galaxy_core_strategies.round_robin import RoundRobin

__all__ = ["CapabilityMatch", "EarliestFinish", "LoadBalance", "RoundRobin"]
