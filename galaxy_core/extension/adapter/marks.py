"""Markers of attempts on a POSIX far side: what says, after a lost link or a crash, whether an attempt has started and how it
ended. See `SessionThatSettles`, and docs/decisions/0031-markers.md for the reasons.

Below the folder of the markers there is a folder for each run (the first part of a mark), and in that one ``boot`` (since when
the machine is up) and, under the rest of each mark, the files of an attempt: ``.pid``, the number of the shell that watches over
the command, made in a way that succeeds once; in its place ``refused asked``, when nothing has started, or ``refused stopped``,
when that is not proved; ``.end``: one line, ``exit N``, or ``direct N`` if the command wrote into the link itself, or ``refused
input``; ``.out`` and ``.err``, the beginning of its output; and ``.said``, which says ``whole`` when nothing is added to those
any more. A line without its line break does not count.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, Literal

from attrs import define, field

from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.adapter.posix import quote
from galaxy_core.extension.attempts import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.model.request import Command

#: Below the working folder of a device.
FOLDER: Final = ".galaxy/marks"
#: Markers of runs in which nothing has happened for so many days are removed when a session is opened.
KEPT_DAYS: Final = 7
#: What a marker keeps of each output stream. Of more, only that there was more.
KEPT_BYTES: Final = 1 << 16
#: What the files of a marker are called, after its name.
SUFFIXES: Final = (".pid", ".end", ".said", ".out", ".err", ".o", ".r", ".in")
#: What a command says that was not started, with exit code 126.
TAKEN: Final = "galaxy: an attempt with this mark was there before"
NO_MARKER: Final = "galaxy: no marker can be made: "
NO_INPUT: Final = "galaxy: its input did not arrive whole"
_BOOT: Final = "b() { cat /proc/sys/kernel/random/boot_id || sysctl -n kern.bootsessionuuid; } 2>/dev/null"
_SAID: Final = re.compile(r"^galaxy-settled (\S+) ?(\S*) ?(\S*)\s*$", re.MULTILINE)
_OUTPUT: Final = b"galaxy-output\n"


def is_marked(attempt: Attempt) -> bool:
    """Whether an attempt leaves a marker: only commands do."""
    request = attempt.request if attempt.request is not None else attempt.task.request
    return attempt.leaves_marker and isinstance(request, Command)


#: What an attempt says that was let go.
LET_GO: Final = "it was left at work, to be asked about later"


def marker(folder: str, mark: str) -> str:
    """Where the marker of an attempt is, below the folder of all."""
    run, _, attempt = mark.rpartition("-")
    return f"{folder.rstrip('/')}/{run or 'none'}/{attempt}"


def leading(place: str, stdin_bytes: int | None = None, shell: str = "/bin/sh") -> list[str]:
    """The words that, before those of a command, have it leave a marker at `place`; see `posix.wrap`.

    `stdin_bytes`: how much its standard input has to hold, None when it has none.
    """
    return [shell, "-c", _MARKED, "galaxy", place, "" if stdin_bytes is None else str(stdin_bytes)]


def why_unmarked(exit_code: int | None, stderr: str) -> str | None:
    """Why a marked command was not started, if that is what it has said."""
    if exit_code == 126:
        for text in (TAKEN, NO_MARKER, NO_INPUT):
            if stderr.startswith(text):
                return stderr.strip().removeprefix("galaxy: ")
    return None


#: Text that keeps in `galaxy_umask` what files the command is to make, and has those of its marker made for its user alone. In
#: /proc it is read without a process more; a variable of the command would be overwritten by one without a prefix.
OWNER_ONLY: Final = """galaxy_x= galaxy_umask=
[ -r /proc/self/status ] && { read -r galaxy_x; read -r galaxy_x galaxy_umask; } </proc/self/status
[ "$galaxy_x" = Umask: ] || galaxy_umask=$(umask)
umask 077"""

# The marker comes first of all, and is made by built-ins alone: with `set -C`, `>` makes a file that must not be there yet
# (O_EXCL). The command writes into FIFOs from which `tee` passes its output on, and goes on reading when it cannot: so a lost
# link does not end the command by SIGPIPE in its middle. Beside, `tee` keeps it in files that `ulimit` ends at KEPT_BYTES (it
# counts in blocks of 512 bytes; with SIGXFSZ ignored, what is too much is an error, over which `tee` goes on to its other
# output). Where FIFOs cannot be made, the command writes into the link. Its input is taken whole before it starts, because a
# lost link looks like the end of the input.
# The shell holds both FIFOs open for reading and writing, which needs nobody at the other end: `tee` would wait for ever for
# a command that is ended by a signal before it has opened its ends. Of what `exec` closes, mksh keeps the first open, as
# descriptor 10: that is `4`, so that `tee` does not wait for its own shell.
# `: HUP`, because adbd hangs up on the shell when it loses the link. `: INT TERM`, because whoever signals all of its processes
# is answered by the command, not by those that watch over it; what is trapped, not ignored, the command does not inherit. It
# comes last: a shell that is to end before the command begins does.
# The braces keep the shell's own words on a signal's victim ("Killed") out of the output; the exit code is taken inside
# them, because dash 0.5.12 forgets the redirections of a subshell that is alone in braces with redirections.
# Who keeps the output holds the link until it is kept: so its end says that nothing more is written here.
# Where there is no room for a file more, how it ended is written behind the number in `.pid`, which has room in its block.
_MARKED: Final = rf"""galaxy_m=$1 galaxy_n=$2; shift 2
{OWNER_ONLY}
t() {{ echo "$*" >&2; exit 126; }}
f() {{ set -C; {{ echo $$ >"$galaxy_m.pid"; }} 2>/dev/null; set -- $?; set +C; return $1; }}
[ -d "${{galaxy_m%/*}}" ] || mkdir -p -- "${{galaxy_m%/*}}" 2>/dev/null
f || {{ [ -s "$galaxy_m.pid" ] && t '{TAKEN}'; t "{NO_MARKER}$galaxy_m"; }}
trap : HUP
if [ -n "$galaxy_n" ]; then
cat >"$galaxy_m.in"
[ "$(wc -c <"$galaxy_m.in")" -eq "$galaxy_n" ] || {{ echo 'refused input' >"$galaxy_m.end"; t '{NO_INPUT}'; }}
exec <"$galaxy_m.in"; rm -f -- "$galaxy_m.in"
fi
if mkfifo "$galaxy_m.o" "$galaxy_m.r" 2>/dev/null; then
exec 4</dev/null 5<>"$galaxy_m.o" 6<>"$galaxy_m.r"
(trap '' HUP INT TERM PIPE XFSZ; exec 4<&- 7<"$galaxy_m.o" 8<"$galaxy_m.r" 5>&- 6>&- 9>"$galaxy_m.said"
o=$galaxy_m.out r=$galaxy_m.err s=whole
ulimit -f {KEPT_BYTES // 512} 2>/dev/null || o=/dev/null r=/dev/null s=lost
tee "$o" /dev/null <&7 2>/dev/null 7<&- 8<&- 9>&- & tee "$r" /dev/null <&8 >&2 2>/dev/null 7<&- 8<&- 9>&-; wait; echo $s >&9) &
trap : HUP INT TERM
galaxy_w=exit; {{ (umask $galaxy_umask; exec "$@" 4<&- 5>&- 6>&-) >"$galaxy_m.o" 2>"$galaxy_m.r"; galaxy_c=$?; }} 2>/dev/null
exec 4<&- 5>&- 6>&-
else
trap : HUP INT TERM
galaxy_w=direct; {{ (umask $galaxy_umask; exec "$@" 2>&4 4>&-); galaxy_c=$?; }} 4>&2 2>/dev/null
fi
{{ echo "$galaxy_w $galaxy_c" >"$galaxy_m.end"; }} 2>/dev/null || echo "$galaxy_w $galaxy_c" >>"$galaxy_m.pid"; exit $galaxy_c"""


def expect_script(folder: str, run_mark: str) -> str:
    """Text for a shell that notes that attempts of a run are to leave markers: what is missing then has not started.

    To be run before the first of them, and never again: see `Expected`. A folder that is there is left as it is: when it says
    nothing, somebody may be removing it.
    """
    place = marker(folder, f"{run_mark}-0").rpartition("/")[0]
    return f"e={quote(place)}\n{_EXPECT}"


_EXPECT: Final = rf"""{_BOOT}
(umask 077; mkdir -p -- "${{e%/*}}" && mkdir -- "$e" && b >"$e/boot") 2>/dev/null
"""


def settle_script(folder: str, mark: str) -> str:
    """Text for a shell that says what became of an attempt, for `settled`; about 20 s while it still runs.

    Without a marker, nothing of it has started: if markers of its run were expected there, in this life of the machine. Then
    the script makes the marker, and nothing can start any more.
    """
    return f"m={quote(marker(folder, mark))}\n{_SETTLE}"


# Of another life of the machine the output does not count: what a power loss leaves of files need not be all. Who keeps the
# output is done a moment after the command, unless it has left somebody behind who goes on writing.
_SETTLE: Final = r"""umask 077; e=${m%/*}
@BOOT@
say() { echo "galaxy-settled $*"; exit 0; }
o() {
  i=0
  while [ $i -lt 20 ]; do
    s=; [ -f "$m.said" ] && read -r s <"$m.said" && return
    i=$((i + 1)); sleep 0.05 2>/dev/null || { i=20; sleep 1; }
  done
  s=part
}
t() {
  w=; c=
  if [ -f "$m.end" ]; then read -r w c <"$m.end" || w=; fi
  [ -n "$w" ] || { read -r p && read -r w c; } 2>/dev/null <"$m.pid" || return
  s=lost
  if [ "$(cat "$e/boot" 2>/dev/null)" != "$(b)" ]; then s=past
  elif [ "$w" = exit ]; then o; fi
  say "$w" "$c" "$s"
}
a() {
  if [ -r /proc/self/cmdline ]; then grep -qsF -- "$m" "/proc/$1/cmdline"
  else ps -ww -p "$1" -o args= 2>/dev/null | grep -qF -- "$m"; fi
}
k() { k=$(b); [ -n "$k" ] && [ "$(cat "$e/boot" 2>/dev/null)" = "$k" ]; }
if [ ! -e "$m.pid" ]; then
  if k; then (set -C; echo refused asked >"$m.pid") 2>/dev/null; fi
  [ -e "$m.pid" ] || say unknown absent
fi
n=0
while [ $n -lt 90 ]; do
  t
  p=; q=; [ -s "$m.pid" ] && { read -r p q <"$m.pid" || p=; }
  case $p in
    refused) [ "$q" != stopped ] || k || say unknown absent; say refused "$q";;
    '') [ $n -lt 4 ] || say unknown began;;
    *) if ! a "$p"; then t; say unknown ended; fi;;
  esac
  n=$((n + 1))
  if [ $n -lt 12 ]; then sleep 0.05 2>/dev/null || sleep 1; else sleep 0.25 2>/dev/null || sleep 1; fi
done
say running
""".replace("@BOOT@", _BOOT)

_WHY: Final = {
    "absent": "its marker is not there, and nor is any of its run since the machine was started: it may have been removed",
    "began": "it was cut off in the moment in which it began",
    "ended": "it has ended without saying how, such as by the machine's restart or by being killed",
}


def settled(text: str) -> Outcome | None:
    """What a `settle_script` has said; None: it still runs."""
    found = _SAID.findall(text)
    word, about, _ = found[-1] if found else ("unknown", "", "")
    if word == "running":
        return None
    if word == "refused":
        return Refused("it never started" + (": its input did not arrive whole" if about == "input" else ""))
    if word in ("exit", "direct") and about.isdecimal():
        ended = Completed(exit_code=int(about), metadata={"settled": True})
        if word == "direct" and ended.exit_code:
            why = f"it ended with exit code {about}, which may be for want of somebody to read its output"
            return Unknown(why, ended)
        return ended
    return Unknown(_WHY.get(about, f"its marker says nothing that can be understood: {text[-200:].strip()!r}"))


def kept(text: str) -> Literal["whole", "part"] | None:
    """What the marker has of the output of an attempt that was `settled`; None: nothing that could be relied upon."""
    found = _SAID.findall(text)
    if not found or found[-1][0] != "exit":
        return None
    return "whole" if found[-1][2] == "whole" else "part" if found[-1][2] == "part" else None


def is_past(text: str) -> bool:
    """Whether an attempt that was `settled` has ended in another life of the machine: files that it left need not be whole."""
    found = _SAID.findall(text)
    return bool(found) and found[-1][2] == "past"


def output_script(folder: str, mark: str) -> str:
    """Text for a shell that says what is kept of an attempt's output, on both its streams, for `output_in`."""
    place = quote(marker(folder, mark))
    tell = f"echo {_OUTPUT.decode().strip()}"
    return f"{{ {tell}; cat {place}.out; }} 2>/dev/null; {{ {tell}; cat {place}.err 2>/dev/null; }} >&2\n"


def output_in(said: bytes) -> bytes | None:
    """What was kept, after whatever a login shell may say first; None when it is not there."""
    _, found, output = said.partition(_OUTPUT)
    return output if found else None


def recovered(
    ended: Outcome, stdout: bytes | None, stderr: bytes | None, *, whole: bool, cap_bytes: int, secrets: Collection[str]
) -> Outcome:
    """An end with what was kept of its output; `cap_bytes` and `secrets` as for the output of any other attempt."""
    if (
        not isinstance(ended, Completed)
        or stdout is None
        or stderr is None
        or max(len(stdout), len(stderr)) > KEPT_BYTES
    ):
        return ended
    for name, data in (("stdout", stdout), ("stderr", stderr)):
        is_cut = not whole or len(data) == KEPT_BYTES
        cap = min(cap_bytes, len(data)) if is_cut else cap_bytes
        output = Output(name, cap_bytes=cap, place=lambda: None, spill_cap_bytes=0, secrets=secrets)
        output.take(data, heard=False)
        if is_cut:
            output.take(b"\n", heard=False)  # stands for what is missing, so that no half of a secret is shown
        setattr(ended, name, output.text)
        if output.is_cut:
            ended.truncated = True
            ended.metadata = {**(ended.metadata or {}), f"{name}_kept_bytes": len(output.kept)}
    return ended


#: Why files are not fetched.
UNFETCHED: Final = "were not fetched from the device by the process that is gone"
PAST: Final = "need not be whole: the device was restarted before they were fetched"


def without_outputs(attempt: Attempt, outcome: Outcome, why: str = UNFETCHED) -> Outcome:
    """For a session that does not fetch files: a success that should have left some is no success for those who wait."""
    request = attempt.request if attempt.request is not None else attempt.task.request
    if (
        not isinstance(outcome, Completed)
        or outcome.exit_code
        or not isinstance(request, Command)
        or not request.outputs
    ):
        return outcome
    names = ", ".join(map(repr, list(request.outputs)[:5]))
    return Unknown(f"its command ended well, but the files that it was to leave ({names}) {why}", outcome)


def fence_script(folder: str, mark: str) -> str:
    """Text that sees to it that an attempt which has not made its marker never will.

    It does not say that nothing has started: whoever settles it looks whether the marker may have been removed.
    """
    place = quote(marker(folder, mark))
    run = quote(marker(folder, mark).rpartition("/")[0])
    return f"(umask 077; mkdir -p -- {run}; set -C; echo refused stopped >{place}.pid) 2>/dev/null\n"


def sweep_script(folder: str) -> str:
    """Removes the markers of runs in which nothing has happened for `KEPT_DAYS`. Whoever asks for one is told `Unknown`.

    Also while it is at work, or when it was cut off in its middle: ``boot`` goes first, without which what is missing says nothing.
    """
    return (
        f"[ -d {quote(folder)} ] && find {quote(folder)} -mindepth 1 -maxdepth 1 -type d -mtime +{KEPT_DAYS} "
        '-exec sh -c \'for d; do rm -f -- "$d/boot" && rm -rf -- "$d"; done\' sh {} + 2>/dev/null'
    )


class Expected:
    """Runs of which a device was told to expect markers, by this process, under whose mark no other leaves any.

    Once is all: a folder that is missing afterwards was removed, and what it held has to be unknown. A device that were told again
    would say that nothing had ever started.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._runs: dict[tuple[str, ...], None] = {}

    def has(self, run_mark: str, *where: str) -> bool:
        """Whether it was told there."""
        return (*where, run_mark) in self._runs

    def note(self, run_mark: str, *where: str) -> None:
        """It was. The oldest are forgotten."""
        self._runs[(*where, run_mark)] = None
        while len(self._runs) > self._most:
            del self._runs[next(iter(self._runs))]


#: Of this process.
EXPECTED: Final = Expected()


def run_of(mark: str) -> str:
    """The mark of the run that an attempt's mark begins with."""
    return mark.rpartition("-")[0]


@define
class Released:
    """Marks of a session that nobody needs any more, and the runs that it has left markers of.

    A fence stays, until it is old: the start that it refuses may still be on its way, when its link is slow.
    """

    folder: str
    _marks: list[str] = field(factory=list)
    _runs: dict[str, None] = field(factory=dict)

    def used(self, mark: str) -> None:
        """An attempt leaves a marker."""
        self._runs[marker(self.folder, mark).rpartition("/")[0]] = None

    def add(self, mark: str) -> None:
        """Its marker may go."""
        self.used(mark)
        self._marks.append(mark)

    def first(self) -> str:
        """Text that goes before that of a command: removes what may go, beside it. Empty: nothing may."""
        if not self._marks:
            return ""
        return f"({self._removal()}) </dev/null >/dev/null 2>&1 &\n"

    def last(self) -> str:
        """For the end of the session: removes what may go, and what is empty then. Empty: nothing is there."""
        if not self._runs:
            return ""
        # `rmdir` says no when a marker has come meanwhile; without `boot`, nothing is concluded from what is not there.
        rest = "".join(
            f'set -- {quote(run)}/*.*; [ -e "$1" ] || {{ rm -f -- {quote(run)}/boot; rmdir -- {quote(run)}; }} 2>/dev/null\n'
            for run in self._runs
        )
        self._runs.clear()
        return f"{self._removal()}\n{rest}" if self._marks else rest

    def _removal(self) -> str:
        marks, self._marks = self._marks, []
        places = " ".join(quote(marker(self.folder, mark)) for mark in marks)
        return f"""set --
for m in {places}; do
  p=; {{ read -r p q <"$m.pid"; }} 2>/dev/null
  [ "$p" = refused ] || set -- "$@" "$m.pid"
  set -- "$@" "$m".[!p]*
done
rm -f -- "$@"
"""
