"""Loads plugins so that whoever waits is told for which one, and can end it: nobody can stop an import that hangs."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread, current_thread, main_thread

from galaxy_core.extension.discovery import InstalledPlugin
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit

#: Seconds that one plugin may take before it is told of, and that it has to make way for Ctrl-C.
PATIENCE_S, GRACE_S = 5.0, 1.0


@contextmanager
def watched(plugin: InstalledPlugin) -> Iterator[None]:
    """Around the loading of a plugin: says on standard error that it takes long, once, and how Ctrl-C ended it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    # Python hands Ctrl-C to code that waits in C, or catches everything, too late or in vain: the thread hears of it here.
    is_heard = current_thread() is main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False) if is_heard else None
    Thread(target=_listen, args=(ours, plugin), daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        say.error(_ended(plugin))
        raise
    finally:
        if before is not None:
            signal.set_wakeup_fd(before)
        theirs.close()


def _listen(ours: socket.socket, plugin: InstalledPlugin) -> None:
    """Until the plugin is loaded, which closes the other end."""
    is_interrupted = False
    ours.settimeout(PATIENCE_S)
    with ours:
        while True:
            try:
                heard = ours.recv(1)
            except TimeoutError:
                if is_interrupted:
                    _end_at_once(plugin)
                ours.settimeout(None)
                say.warning(_slow(plugin))
                continue
            if not heard:
                return
            if heard[0] == signal.SIGINT:
                is_interrupted = True
                ours.settimeout(GRACE_S)


def _end_at_once(plugin: InstalledPlugin) -> None:
    say.error(_ended(plugin))
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(Exit.CANCELLED)


def _slow(plugin: InstalledPlugin) -> str:
    return (
        f"{plugin.title} is still being loaded after {PATIENCE_S:g} s (importing {plugin.value}); "
        f"to go on without it, press Ctrl-C and add: {_remedy(plugin)}"
    )


def _ended(plugin: InstalledPlugin) -> str:
    return (
        f"ended while {plugin.title} was being loaded (importing {plugin.value}); to do without it: {_remedy(plugin)}"
    )


def _remedy(plugin: InstalledPlugin) -> str:
    from shlex import quote  # only who waits needs it

    return f"--block {quote(plugin.name)}"
