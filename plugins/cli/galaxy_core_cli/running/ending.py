"""How a run ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import Factory, define, field

from galaxy_core import Event, EventType, TaskConstellation
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.hints import command


@define(eq=False)
class Ending:
    """How the run of `constellation` ended; an observer, because that is known for certain only when it starts.

    `result` is that of `orchestrate_constellation`, None when it was stopped before it began. `stopped` is the exit code that
    goes with what cancelled it; None when nothing did. `is_kept` says that a journal has it, `journal` its name, `resumes` that it went on.
    `began_at` is when it began or went on, in seconds since the epoch.
    """

    constellation: TaskConstellation
    result: dict[str, Any] | None = None
    stopped: Exit | None = None
    has_begun: bool = False
    began_at: float | None = None
    is_kept: bool = False
    journal: str | None = None
    resumes: bool = False
    at_beginning: list[Callable[[], None]] = Factory(list)
    #: What is said of a run that is kept when all is killed; empty before there is one.
    last_words: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.last_words = self._last_words() if self.resumes else ""

    def _last_words(self) -> str:
        if not self.is_kept:
            return ""
        show, again = (
            command(verb, self.constellation.constellation_id, journal=self.journal) for verb in ("show", "resume")
        )
        return f"; what is kept of it: {show}, to go on: {again}"

    heard = frozenset({EventType.CONSTELLATION_STARTED})

    async def on_event(self, event: Event) -> None:
        """Take the plan that runs."""
        self.constellation = event.data["constellation"]
        self.has_begun, self.began_at = True, event.timestamp
        self.last_words = self._last_words()
        for tell in self.at_beginning:
            tell()

    @property
    def code(self) -> Exit:
        """The exit code. A run that was all done when it was to be stopped is as good as any."""
        if self.status == "completed":
            return Exit.OK
        if self.status == "stopped" and (self.result is not None or self.stopped in {Exit.TERMINATED, Exit.HUNG_UP}):
            return Exit.STOPPED
        if self.stopped is not None:
            return self.stopped
        return Exit.CANCELLED if self.status == "cancelled" else Exit.NOT_ALL

    @property
    def resumed_s(self) -> float | None:
        """Seconds since it went on; None of one that did not. Since it began, there may have been a time without a process."""
        began, took = self.constellation.execution_start_time, self.constellation.execution_duration
        if not self.resumes or self.began_at is None or began is None or took is None:
            return None
        return max(0.0, began.timestamp() + took - self.began_at)

    @property
    def status(self) -> str:
        """How it ended, in the words of its result; of one that was kept before and did not even go on, that it was stopped."""
        if self.result is not None:
            return str(self.result["status"])
        return "stopped" if self.resumes else "cancelled"
