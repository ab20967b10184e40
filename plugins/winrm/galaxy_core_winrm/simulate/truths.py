"""What really became of the attempts that a host has seen, by their marks."""

from __future__ import annotations

from pathlib import Path

from attrs import define, field

from galaxy_core.testing.contract.faults import Truth
from galaxy_core_winrm.simulate.processes import JOB, Running, processes_with

_NOT_STARTED = 126


@define
class _Work:
    starts: int = 0
    leaves_marker: bool = False
    running: list[Running] = field(factory=list)


@define
class Truths:
    """Kept for the life of a host; work that ended long ago costs a few hundred bytes.

    Of an attempt that leaves a marker, the script that watches over the work notes in `folder` when that starts.
    """

    folder: Path
    _work: dict[str, _Work] = field(factory=dict)

    def began(self, mark: str, running: Running, *, leaves_marker: bool = False) -> None:
        work = self._work.setdefault(mark, _Work())
        work.leaves_marker = leaves_marker
        work.starts += 1
        work.running.append(running)

    def of(self, mark: str) -> Truth:
        """Costs a look at every process of the machine."""
        work = self._work.get(mark)
        if work is None:
            return Truth()
        alive = any(_is_alive(each) for each in work.running)
        starts, last = work.starts, work.running[-1]
        if work.leaves_marker:
            try:
                starts = (self.folder / mark).read_text(encoding="ascii").count("start")
            except FileNotFoundError:
                return Truth()  # what watches over it may be there, and has not begun with the work
            last = next((each for each in work.running if each.exit_code != _NOT_STARTED), last)
        return Truth(starts, alive, None if last.by_force else last.exit_code)


def _is_alive(running: Running) -> bool:
    # What was ended by force is gone before its exit code is known.
    if running.exit_code is None and not running.by_force:
        return True
    return bool(processes_with(f"{JOB}={running.program.job}"))
