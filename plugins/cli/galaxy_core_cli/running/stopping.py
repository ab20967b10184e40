"""What ends a run before its time: signals, and the time limit. See docs/decisions/0034-signals.md."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from functools import partial

import anyio
import anyio.abc
from attrs import define, field

from galaxy_core import TaskConstellationOrchestrator
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.hints import command
from galaxy_core_cli.running.ending import Ending
from galaxy_core_cli.running.kill import kill_now, leave_now
from galaxy_core_cli.running.reporter import Reporter
from galaxy_core_cli.text import count, safe_line

#: Signals that end a run, and what it then ends with when it is cancelled.
CODES = {"SIGINT": Exit.CANCELLED, "SIGTERM": Exit.TERMINATED, "SIGHUP": Exit.HUNG_UP}
#: Tasks that are named.
NAMED = 5


@define
class Stopper:
    """Cancels a run, or stops one that is kept: each once."""

    orchestrator: TaskConstellationOrchestrator
    reporter: Reporter
    ending: Ending
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    is_leaving: bool = False

    async def watch_signals(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Cancel or stop at the first signal; have a Ctrl-C after that, or the same signal again, insist."""
        if sys.platform == "win32":  # Ctrl-C arrives as KeyboardInterrupt there, which cancels everything, too
            task_status.started()
            return
        every = [getattr(signal, name) for name in CODES]
        # What was ignored from the beginning stays so: nohup ignores SIGHUP, a script's job in the background SIGINT.
        numbers = [number for number in every if signal.getsignal(number) is not signal.SIG_IGN]
        if not numbers:
            task_status.started()
            return
        with anyio.open_signal_receiver(*numbers) as received:
            task_status.started()
            async for number in received:
                name = signal.Signals(number).name
                if name == "SIGINT" or not self.ending.is_kept:
                    self._handle_at_once(numbers, number)
                    by = "; press Ctrl-C again to kill" if name == "SIGINT" else f": {name} was received"
                    await self.stop(CODES[name], f"cancelling{by}")
                    await anyio.sleep_forever()  # leaving here would give the signals back
                elif not self.is_leaving:
                    self._handle_at_once([one for one in numbers if one != signal.SIGINT], number)
                    self.leave(name)

    def _handle_at_once(self, numbers: Sequence[int], first: int) -> None:
        """Have signals not received but handled at once, even while something keeps the event loop from running."""
        again = partial(self.again, {first})
        for each in numbers:
            signal.signal(each, again)

    def again(self, before: set[int], number: int, _: object) -> None:
        """Be gone at once, if somebody insists; `before` are the signals so far.

        SIGHUP never does: a terminal that is closed sends it twice, and the end of a login sends SIGTERM with it.
        """
        insists = number == signal.SIGINT or (number in before and signal.Signals(number).name != "SIGHUP")
        before.add(number)
        if not insists:
            return
        if self.is_leaving and self.ending.stopped is None:
            leave_now(Exit.STOPPED, self.reporter.restore)
        kill_now(self.ending.stopped or Exit.CANCELLED, self.reporter.restore)

    async def watch_time(self, timeout_s: float) -> None:
        """Cancel when the time is up."""
        await anyio.sleep(timeout_s)
        await self.stop(Exit.TIMED_OUT, f"cancelling: {timeout_s:g} s are over")

    async def stop(self, code: Exit, text: str) -> None:
        """Cancel the run, unless it is being cancelled already."""
        is_first = self.ending.stopped is None
        if is_first:
            self.ending.stopped = code  # before anybody is told, who may answer with the next signal at once
        self.reporter.tell(text)
        if is_first and not await self.orchestrator.cancel_all():
            self.scope.cancel()  # nothing runs yet: devices are being connected, or a policy is being asked

    def leave(self, name: str) -> None:
        """Stop a run that is kept, so that it can be resumed: only what may run only once is waited for."""
        self.is_leaving = True
        runs = self.orchestrator.runs()
        if not runs:  # as in `stop`
            self.ending.stopped = CODES[name]
            self.reporter.tell(f"{'stopping' if self.ending.resumes else 'cancelling'}: {name} was received")
            self.scope.cancel()
        for run in runs:
            run.stop(name, interrupt=True)
            plan = run.constellation
            again = command("resume", plan.constellation_id, journal=self.ending.journal)
            text = f"stopping: {name} was received; to go on: {again}"
            waited = [safe_line(task.task_id) for task in plan.get_running_tasks() if task.effect == "once"]
            if waited:
                more = f" and {len(waited) - NAMED:,} more" if len(waited) > NAMED else ""
                what = f"{count(len(waited), 'task')} that may run only once ({', '.join(waited[:NAMED])}{more})"
                insist = "" if name == "SIGHUP" else f"; {name} once more leaves at once"
                cancels = "" if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else "; Ctrl-C cancels"
                text += f"\nwaiting for {what}{insist}{cancels}"
            self.reporter.tell(text)
