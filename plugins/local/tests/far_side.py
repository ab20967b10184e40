"""The processes of this machine as a far side: they can misbehave, and what became of them is written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from anyio import to_thread

from galaxy_core import Command
from galaxy_core.testing.contract import FAULTS, PHASES, Fault, Phase, Posix, Request, Truth

_NO_LINK = "there is no link to this machine"
_WHY_NOT: Mapping[str, str] = {
    "disconnect": _NO_LINK,
    "server_dead": _NO_LINK,
    "authentication_lost": _NO_LINK,
    **dict.fromkeys(
        ("garbage", "duplicate_answer", "late_answer", "lost_answer"),
        "the system itself tells how a process has ended, once and rightly",
    ),
}
#: Writes down what begins and how it ends, and misbehaves in between as the file `fault` says.
_RECORDER = """
D=$1; shift; T=$D/${GALAXY_MARK##*:}; F=$(cat "$D/fault" 2>/dev/null)
at() { case $F in
  hang-$1) sleep 1000;; frozen-$1) kill -STOP $$;; slow-$1) sleep 0.2;;
  huge_output-$1) head -c 4000000 /dev/zero | tr '\\000' x;; binary_output-$1) printf 'a\\377\\376\\000';;
esac; }
at start; echo start >>"$T"; at middle
case $F in trickle-*) "$@" | dd bs=1 2>/dev/null;; *) "$@";; esac
s=$?; echo exit $s >>"$T"; at exit; exit $s
"""


def _why_not(fault: Fault, phase: Phase) -> str | None:
    if phase == "connect":
        return "nothing is connected"
    if phase == "clean_up":
        return "a process that has ended leaves nothing to be tidied"
    if fault == "frozen" and phase == "start":
        return "this machine itself cannot be frozen"
    return _WHY_NOT.get(fault)


class Processes:
    """A far side, and work for it that is written down in `folder`."""

    cells: Mapping[tuple[Fault, Phase], str | None] = {
        (fault, phase): _why_not(fault, phase) for fault in FAULTS for phase in PHASES
    }

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    async def inject(self, fault: Fault, phase: Phase) -> None:
        (self._folder / "fault").write_text(f"{fault}-{phase}")

    async def heal(self) -> None:
        (self._folder / "fault").unlink(missing_ok=True)

    async def truth(self, mark: str) -> Truth:
        return await to_thread.run_sync(self._truth, mark)

    async def remains(self) -> Sequence[str]:
        return await to_thread.run_sync(self._remains)

    def _truth(self, mark: str) -> Truth:
        running = bool(list(_processes(mark)))
        try:
            lines = (self._folder / mark).read_text().splitlines()
        except FileNotFoundError:
            return Truth(running=running)
        ends = [int(line.split()[1]) for line in lines if line.startswith("exit")]
        return Truth(lines.count("start"), running, ends[-1] if ends and not running else None)

    def _remains(self) -> list[str]:
        marks = [path.name for path in self._folder.iterdir() if path.name != "fault"]
        markers = [f"marker {path.name}" for path in (self._folder.parent / "marks").glob("*/*")]
        return [f"process {pid} of {mark}" for mark in marks for pid in _processes(mark)] + markers


def _processes(mark: str) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX" and mark.encode() in (process / "environ").read_bytes():
                yield process.name
        except OSError:  # it has ended meanwhile, or is another user's
            continue


class RecordedWork(Posix):
    """Work of which a `Processes` in `folder` knows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def say(self, text: str) -> Request | None:
        return self._recorded(super().say(text))

    def end(self, code: int) -> Request | None:
        return self._recorded(super().end(code))

    def wait(self, text: str, seconds: float) -> Request | None:
        return self._recorded(super().wait(text, seconds))

    def forever(self, text: str) -> Request | None:
        return self._recorded(super().forever(text))

    def forever_with_child(self, text: str) -> Request | None:
        return self._recorded(super().forever_with_child(text))

    def _recorded(self, request: Request | None) -> Request:
        assert isinstance(request, Command)
        assert request.argv is not None
        return Command(["/bin/sh", "-c", _RECORDER, "sh", str(self._folder), *request.argv])
