"""A process that minds the one with the devices: whichever of the two is killed, nothing that they have started goes on.

Linux only. The one that minds adopts what is orphaned below it (PR_SET_CHILD_SUBREAPER), so that it can end all of it, also
what has left its parents and their sessions. The other one is told by the system when it is alone (PR_SET_PDEATHSIG), and
then ends as if somebody had asked it to.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.running.kill import kill_family

# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
#: How long a thread may take to end that was only there to load a plugin.
_THREAD_S: Final = 1.0


def mind(sweep: Callable[[], None]) -> None:
    """Divide this process in two, and return in the new one, which is to do the work; the old one minds it.

    The old one passes on signals, and leaves with the exit code of the new one. When that is killed, it calls `sweep`.
    Does nothing where that cannot be.
    """
    if sys.platform != "linux" or not _is_alone() or not _control(_PR_SET_CHILD_SUBREAPER, 1):
        return
    passed_on = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it was ignored, nobody could be waited for
    before = signal.pthread_sigmask(signal.SIG_BLOCK, passed_on | {signal.SIGCHLD})
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # there may be none
            stream.flush()
    old = os.getpid()
    new = os.fork()
    if new:
        os._exit(_minded(new, passed_on, sweep))
    # What is typed into the terminal goes to the old one alone, which passes it on: once.
    os.setpgid(0, 0)
    _control(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if os.getppid() != old:
        os._exit(Exit.TERMINATED)


def _minded(child: int, passed_on: set[signal.Signals], sweep: Callable[[], None]) -> int:
    """See a child to its end; its exit code."""
    status: int | None = None
    while status is None:
        number = signal.sigwait(passed_on | {signal.SIGCHLD})
        if number == signal.SIGCHLD:
            status = _reaped(child)
        else:
            with suppress(OSError):
                os.kill(child, number)
    kill_family()
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    sweep()
    say.warning(f"the simulation was killed ({signal.Signals(-code).name}); what it had started was ended and removed")
    return 128 - code


def _reaped(child: int) -> int | None:
    """Give back what the system keeps for processes that have ended; how `child` has, or None."""
    found = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            if pid == child:
                found = status
    return found


def _is_alone() -> bool:
    """Whether this thread is the only one; others would be missing in a copy of the process."""
    if threading.current_thread() is not threading.main_thread():
        return False
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(_THREAD_S)
    return threading.active_count() == 1


def _control(option: int, value: int) -> bool:
    import ctypes

    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return False
    return int(prctl(option, value, 0, 0, 0)) == 0
