"""How a task is to be treated: its priority, its effect, its retries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen

from galaxy_core.errors import PlanError, nearest
from galaxy_core.errors.root import hint
from galaxy_core.model.reasons import shown


class TaskPriority(Enum):
    """Higher values run first."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Effect(StrEnum):
    """What running a task again would do; it decides what may happen when nobody knows how an attempt ended.

    `READ` and `IDEMPOTENT` tasks may be run again. A `ONCE` task is never silently run again: it ends `unknown`.
    """

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


#: The ends that can be tried again.
RETRIED: Final = ("failed", "timeout", "refused")
#: The numbers of a `RetryPolicy`: the greatest that each may be, and what is wanted, in words.
_NUMBERS: Final[Mapping[str, tuple[float, str]]] = MappingProxyType(
    {
        "backoff_s": (math.inf, "a finite number of seconds, from 0,"),
        "factor": (math.inf, "a finite number, from 0,"),
        "max_backoff_s": (math.inf, "a finite number of seconds, from 0,"),
        "jitter": (1.0, "a number from 0 to 1"),
    }
)


def is_finite_number(value: Any) -> bool:
    """Whether it is a number that arithmetic can be done with; an integer can be larger than any float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def wanted_of_retry(name: str, value: Any) -> str | None:
    """What one of the numbers of a `RetryPolicy` is to be, in words, when `value` is something else; else None."""
    most, wanted = _NUMBERS[name]
    return None if is_finite_number(value) and 0 <= value <= most else wanted


def unknown_end(end: Any) -> str:
    """What there is in place of an end that is none of those that can be tried again, in words."""
    near = hint(nearest(end, RETRIED))
    return f"unknown end {shown(end)}{near}; allowed are {', '.join(map(repr, RETRIED))}"


def _ends(ends: Iterable[str]) -> frozenset[str]:
    meant = f": write {{{ends!r}}}" if ends in RETRIED else ""
    if isinstance(ends, (str, Mapping)) or not isinstance(ends, Iterable):
        raise PlanError(f"on of a RetryPolicy is {shown(ends)}; a set of ends is wanted{meant}")
    found = list(ends)
    for end in found:
        if not isinstance(end, str) or end not in RETRIED:
            raise PlanError(f"on of a RetryPolicy: {unknown_end(end)}")
    return frozenset(found)


@frozen
class RetryPolicy:
    """How long to wait before an attempt after the first, and after which ends.

    The n-th wait is ``backoff_s * factor ** (n - 1)`` seconds, at most `max_backoff_s`, shortened by a random part of
    up to `jitter` (0 to 1) of itself. `on` holds the ends that are tried again: "failed", "timeout", "refused".

    Raises:
        PlanError: a number is none, is negative or not finite, or the jitter more than 1; `on` is no set of these ends.
    """

    backoff_s: float = 1.0
    factor: float = 2.0
    max_backoff_s: float = 60.0
    jitter: float = 0.1
    on: frozenset[str] = field(default=frozenset(RETRIED), converter=_ends)

    def __attrs_post_init__(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            if (wanted := wanted_of_retry(name, value)) is not None:
                raise PlanError(f"{name} of a RetryPolicy is {shown(value)}; {wanted.rstrip(',')} is wanted")

    def wait_s(self, retry: int, random: float) -> float:
        """Seconds before the `retry`-th retry (1-based); `random` is in [0, 1)."""
        try:
            # The exponent is capped because a float overflows long before a patient retry_count ends.
            wait = min(self.max_backoff_s, self.backoff_s * self.factor ** min(retry - 1, 64))
        except OverflowError:  # with a large factor even so
            wait = self.max_backoff_s
        return wait * (1.0 - self.jitter * random)


DEFAULT_RETRY = RetryPolicy()


@frozen
class TaskConfiguration:
    """Several settings of a task at once; those that are truthy win over the arguments beside it."""

    timeout: float | None = None
    retry_count: int = 0
    retry_delay: float = 1.0
    priority: TaskPriority | None = None
    metadata: Mapping[str, Any] = field(factory=dict)
