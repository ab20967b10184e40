"""Markers of attempts on a Windows host, which scripts leave and read; see `SessionThatSettles`.

They lie below ``%LOCALAPPDATA%\\galaxy\\marks`` (of a user without a profile, below the folder for temporary files), in a folder
for each run: ``boot``, since when the machine is up; and of each attempt ``ATTEMPT.start``, a file that can be made once, and that
the script which watches over the command keeps open while it lives; and ``ATTEMPT.end``, how it ended.
"""

from __future__ import annotations

import logging
from secrets import token_hex
from typing import Any, Final

from anyio import CancelScope, Lock, get_cancelled_exc_class, move_on_after
from attrs import define, field

from galaxy_core import Action, Command, DeviceLostError
from galaxy_core.extension.adapter import marks
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_winrm import powershell, quoting
from galaxy_core_winrm.facts import Answer, Silent, ask_script
from galaxy_core_winrm.faults import HostError
from galaxy_core_winrm.host import Host, Input, LostError, NotStartedError, Run
from galaxy_core_winrm.running import Asked, in_lines
from galaxy_core_winrm.shells import Place

#: How long the host is asked to wait for the end of what still runs, until it is asked again.
WAIT_S: Final = 15
#: What ending an attempt of an earlier session may take: PowerShell has to start for it.
STOP_S: Final = 8.0
#: What removing markers may take at the end of a session; what stays is removed by its age.
TIDY_S: Final = 3.0
#: Most markers that one command removes beside its own work.
_AT_ONCE: Final = 50

_log = logging.getLogger(__name__)


@define
class Markers:
    """Those of one session. `where` tells hosts and users apart. `can` says whether the host runs PowerShell, without which there are none."""

    host: Host
    device_id: str
    where: tuple[str, str]
    program: str
    piece_bytes: int
    can: bool = False
    _is_tried: bool = False
    _trying: Lock = field(factory=Lock)
    _released: list[str] = field(factory=list)
    _fenced: set[str] = field(factory=set)  # marks under which a start may be on its way that is to be refused
    _runs: set[str] = field(factory=set)

    def are_left_by(self, attempt: Attempt) -> bool:
        """Whether an attempt leaves one: commands and scripts do."""
        request = attempt.request if attempt.request is not None else attempt.task.request
        is_script = isinstance(request, Action) and request.name == "powershell"
        return self.can and attempt.leaves_marker and (is_script or isinstance(request, Command))

    @property
    def works(self) -> bool:
        """Whether a trial has left one and found it again: before that, no work is entrusted to them."""
        return self.host.shells.debts.has_markers

    async def prove(self) -> None:
        """Until it has worked once in this process, and once in a session otherwise: whether the host does with markers what it is told. If it does not, commands leave none."""
        async with self._trying:
            if not self.can or self._is_tried or self.works:
                return
            mark, why = f"trial{token_hex(8)}-{0:08x}", ""
            try:
                asked = self.asked(mark, "cmd.exe", '/s /c "echo galaxy& exit 7"', b"", Place())
                answer = Answer()
                run = Run(self.host, asked.line, asked.place, Silent(), answer.hear, asked.stdin)
                said = await run.to_its_end(), bytes(answer.stdout).strip()
                found = await self._settled(mark)
                self.host.shells.debts.has_markers = (
                    said == (7, b"galaxy") and isinstance(found, Completed) and found.exit_code == 7
                )
                why = f"it said {said!r} {bytes(answer.stderr)[:200]!r}, and then {found!r}"
            except (NotStartedError, LostError, DeviceLostError) as error:
                why = str(error)
            self.release(mark)
            self._is_tried = True
            if not self.works:
                _log.warning("device %r: commands leave no markers, because a trial failed: %s", self.device_id, why)

    def asked(
        self, mark: str, program: str, arguments: str, stdin: bytes, place: Place, *, is_script: bool = False
    ) -> Asked:
        """What starts a program so that it leaves a marker.

        Raises:
            ValueError: there is no way of passing that.
        """
        run, number = _names(mark)
        self._runs.add(run)
        released, self._released = self._released[:_AT_ONCE], self._released[_AT_ONCE:]
        parameters = {
            "mark": mark, "run": run, "attempt": number, "bytes": len(stdin),
            "program": program, "arguments": arguments, "released": released,
        }  # fmt: skip
        return Asked(
            quoting.marked(mark, quoting.LEAVES_MARKER + powershell.line(self.program)),
            place,
            Input(powershell.payload(powershell.script("marked"), parameters), in_lines(stdin, self.piece_bytes)),
            is_script=is_script,
            not_started=f"galaxy: not started {mark}: ",
            outlives=mark,
        )

    async def expect(self, run_mark: str) -> None:
        """See `SessionThatSettles`."""
        if not self.can:
            return
        await self.prove()
        if self.works and not marks.EXPECTED.has(run_mark, *self.where):
            self._runs.add(run_mark)
            await self._ask("marks", {"expect": run_mark, "released": [], "days": marks.KEPT_DAYS})
            marks.EXPECTED.note(run_mark, *self.where)

    async def settle(self, attempt: Attempt) -> Outcome:
        """See `SessionThatSettles.settle`."""
        if not self.are_left_by(attempt):
            return Unknown("it has left no marker on the host: only commands and scripts do, where there is PowerShell")
        try:
            while True:
                outcome = await self._settled(attempt.mark)
                if outcome is not None:
                    await self._let_go(attempt.mark)
                    return marks.without_outputs(attempt, outcome)
        except get_cancelled_exc_class():  # whatever else keeps us from asking is no reason to stop it
            if attempt.is_let_go:
                attempt.partial = Unknown(marks.LET_GO)
            else:
                await self.stop(attempt)
            raise

    async def _settled(self, mark: str) -> Outcome | None:
        run, number = _names(mark)
        self._runs.add(run)
        said = await self._ask("settle", {"run": run, "attempt": number, "wait": WAIT_S})
        text = " ".join(str(said.get(key, ""))[:200] for key in ("word", "about"))
        outcome = marks.settled(f"galaxy-settled {text}".rstrip())
        if isinstance(outcome, Refused):
            self._fenced.add(mark)
        return outcome

    async def stop(self, attempt: Attempt) -> None:
        """See `SessionThatSettles.stop`."""
        attempt.partial = Unknown(f"the host did not confirm within {STOP_S:g} s that its processes have ended")
        if not self.can:
            attempt.partial = Unknown("the host runs no PowerShell, by which its processes could be found")
            return
        run, number = _names(attempt.mark)
        self._fenced.add(attempt.mark)
        asked = {"mark": attempt.mark, "run": run, "attempt": number, "fence": self.are_left_by(attempt)}
        with CancelScope(shield=True), move_on_after(STOP_S):
            try:
                await self._let_go(attempt.mark)
                left = (await self._ask("stop", asked)).get("left")
                attempt.partial = None if left == 0 else Unknown(f"{left!r:.40} of its processes could not be ended")
            except DeviceLostError as error:
                attempt.partial = Unknown(error.why)

    def release(self, mark: str) -> None:
        """See `SessionThatSettles.release`."""
        run, number = _names(mark)
        self._runs.add(run)
        if mark not in self._fenced:
            self._released.append(f"{run}\\{number}")

    async def aclose(self) -> None:
        """Remove what may go."""
        if not self._runs or not self.can:
            return
        released = [*self._released, *(f"{run}\\" for run in self._runs)]
        with CancelScope(shield=True), move_on_after(TIDY_S):
            try:
                await ask_script(
                    self.host, self.program, "marks", {"expect": "", "released": released, "days": marks.KEPT_DAYS}
                )
            except HostError:
                return  # they are removed by their age

    async def _let_go(self, mark: str) -> None:
        """The shells that were left alone because it may have been at work there are of no use any more."""
        shells = self.host.shells
        shells.debts.let_go(mark)
        try:
            await shells.pay()
        except HostError as error:
            raise DeviceLostError(self.device_id, str(error)) from error

    async def _ask(self, script: str, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            return await ask_script(self.host, self.program, script, parameters)
        except HostError as error:
            raise DeviceLostError(self.device_id, str(error)) from error


def _names(mark: str) -> tuple[str, str]:
    """Folder and file of an attempt's marker."""
    run, _, number = mark.rpartition("-")
    return run or "none", number
