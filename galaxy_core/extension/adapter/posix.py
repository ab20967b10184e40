"""Commands as text for a POSIX shell on a far side, and the text that finds and ends what they have started.

Every process of an attempt carries its mark in its environment, as ``GALAXY_MARK``. A shell that merely exports a variable
does not show it in ``/proc/PID/environ``, which holds what a process was *started* with; so everything is started by
``exec``, shell texts too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from galaxy_core.model.request import Command

#: Under this name the mark of an attempt stands in the environment of its processes.
MARK: Final = "GALAXY_MARK"
#: A command whose folder is missing ends with this exit code and this text, and was not started.
NO_SUCH_FOLDER: Final = "galaxy: no such folder: "
NOT_STARTED: Final = 126
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-]+")
_MARK = re.compile(r"[A-Za-z0-9-]+")


def quote(word: str) -> str:
    """A word that a POSIX shell reads as this very word.

    Raises:
        ValueError: it holds a NUL, which no argument can.
    """
    if "\0" in word:
        raise ValueError(f"{word[:80]!r} holds a NUL character, which no argument, path or variable can")
    if _PLAIN.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def wrap(
    command: Command,
    mark: str,
    *,
    env: Mapping[str, str] | None = None,
    root: str | None = None,
    shell: str = "/bin/sh",
    leading: Sequence[str] = (),
) -> str:
    """The text that runs `command` in a shell, with `mark` in the environment of all that it starts.

    Its folder is `command.cwd` below `root`, or `root`, or wherever the shell starts; `env` is what every command gets,
    over which the command's own variables win. `leading` are words of a program that runs it (`marks.leading`).

    Raises:
        ValueError: an argument, path or variable cannot be passed on.
    """
    variables = {**(env or {}), **command.env, MARK: mark}
    steps = ["export " + " ".join(f"{_variable(name)}={quote(str(value))}" for name, value in variables.items())]
    folder = below(root, command.cwd)
    if folder is not None:
        place = quote(folder)
        steps.append(
            f"cd -- {place} 2>/dev/null || {{ echo {quote(NO_SUCH_FOLDER + folder)} >&2; exit {NOT_STARTED}; }}"
        )
    words = [shell, "-c", command.shell] if command.argv is None else command.argv
    steps.append("exec " + " ".join(quote(str(word)) for word in (*leading, *words)))
    return "; ".join(steps)


def below(root: str | None, name: object) -> str | None:
    """A folder that a command names: absolute as it is, otherwise below `root`; None when nothing says anything."""
    if name is None:
        return root
    text = str(name)
    return text if root is None or text.startswith("/") else f"{root.rstrip('/')}/{text}"


def kill_script(mark: str, grace_s: float = 0.2) -> str:
    """The text that ends every process with `mark`, and those in their sessions: asked first, killed after `grace_s`.

    Exit code 0: none is left; 1: some are, their numbers are printed; 2: nobody can tell, for want of ``/proc``. It needs
    ``grep``, ``kill``, ``sleep`` and ``tr``, which toybox and busybox have, too. A process that has cleared its environment
    and left its session escapes.
    """
    if not _MARK.fullmatch(mark):
        raise ValueError(f"{mark!r} is no mark")
    return _KILL.replace("@MARK@", f"{MARK}={mark}").replace("@GRACE@", f"{grace_s:g}")


# `environ` of other users cannot be read, hence -s. A session is field 6 of stat, after the name in brackets, which may
# hold anything: what counts is after its last bracket. `$$` and its parents carry no mark, but a session may be ours.
# A shell that has been started and has not come to its `exec` yet shows the mark in its command line alone.
_KILL: Final = r"""[ -r /proc/self/environ ] || exit 2
find_() {
  out=
  for f in $(grep -lsF '@MARK@' /proc/[0-9]*/environ /proc/[0-9]*/cmdline); do
    p=${f#/proc/}; p=${p%/*}
    case "$out " in *" $p "*) continue;; esac
    [ "$p" = $$ ] && continue
    read -r s 2>/dev/null </proc/$p/stat || continue
    s=${s##*) }; case $s in Z*|X*) continue;; esac
    out="$out $p"
  done
}
mine=; read -r s </proc/$$/stat; s=${s##*) }; set -- $s; mine=$4
all_() {
  find_; sessions=
  for p in $out; do
    read -r s 2>/dev/null </proc/$p/stat || continue
    s=${s##*) }; set -- $s
    [ "$4" = "$p" ] && [ "$4" != "$mine" ] && sessions="$sessions $4 "
  done
  [ -n "$sessions$seen" ] || return
  seen="$seen$sessions"
  for d in /proc/[0-9]*; do
    read -r s 2>/dev/null <$d/stat || continue
    s=${s##*) }; set -- $s
    case $1 in Z|X) continue;; esac
    case "$seen" in *" $4 "*) p=${d#/proc/}; case " $out " in *" $p "*) ;; *) out="$out $p";; esac;; esac
  done
}
seen=; all_; [ -n "$out" ] || exit 0
kill -TERM $out 2>/dev/null; kill -CONT $out 2>/dev/null
n=0
while [ $n -lt 4 ]; do
  case $n in 0) sleep 0.02 2>/dev/null || sleep 1;; 1) sleep @GRACE@ 2>/dev/null || sleep 1;; *) sleep 0.05 2>/dev/null || sleep 1;; esac
  all_; [ -n "$out" ] || exit 0
  [ $n -ge 1 ] && kill -KILL $out 2>/dev/null
  n=$((n + 1))
done
all_; [ -n "$out" ] || exit 0
echo $out; exit 1
"""


def _variable(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not the name of an environment variable: letters, digits and '_', no digit first"
        )
    return name
