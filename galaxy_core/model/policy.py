"""How a task is to be treated: its priority, its effect, its retries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum
from typing import Any

from attrs import field, frozen


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


def _ends(ends: Iterable[str]) -> frozenset[str]:
    return frozenset(ends)  # as a function, because mypy cannot read the type of `converter=frozenset`


@frozen
class RetryPolicy:
    """How long to wait before an attempt after the first, and after which ends.

    The n-th wait is ``backoff_s * factor ** (n - 1)`` seconds, at most `max_backoff_s`, shortened by a random part of
    up to `jitter` (0 to 1) of itself. `on` holds the ends that are tried again: "failed", "timeout", "refused".
    """

    backoff_s: float = 1.0
    factor: float = 2.0
    max_backoff_s: float = 60.0
    jitter: float = 0.1
    on: frozenset[str] = field(default=frozenset({"failed", "timeout", "refused"}), converter=_ends)

    def wait_s(self, retry: int, random: float) -> float:
        """Seconds before the `retry`-th retry (1-based); `random` is in [0, 1)."""
        # The exponent is capped because a float overflows long before a patient retry_count ends.
        wait = min(self.max_backoff_s, self.backoff_s * self.factor ** min(retry - 1, 64))
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
