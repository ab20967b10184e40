"""Texts for the shell of a host. Nothing here connects or waits.

What a host is asked to run with `exec` stands in its process list for a moment, and is read by the login shell of the
user, whichever that is. So most texts travel on standard input, as one line that `LAUNCH` reads and evaluates: it may be
long, hold secrets, and the login shell never sees it.
"""

from __future__ import annotations

from typing import Final

from galaxy_core.extension.adapter.posix import quote

#: Runs the text that comes as the first line of standard input; what follows there is left for it. It holds nothing that
#: sh, csh and fish read differently.
LAUNCH: Final = """exec /bin/sh -c 'IFS= read -r l || exit 126; eval "$(printf %b "$l")"'"""
#: Likewise, for one text after the other, until the input ends. See `job`.
HELPER: Final = """exec /bin/sh -c 'while IFS= read -r l; do eval "$(printf %b "$l")"; done'"""
#: Longest text that is handed to the login shell itself, in bytes; Linux takes 128 KiB in one argument.
LONGEST: Final = 30_000
#: What the first answer of a helper begins with; what comes before it, such as a greeting, is nobody's.
HELLO: Final = "galaxy-hello"
#: A text that only a POSIX shell reads as these very characters: fish takes the backslash in quotes, csh no line break.
_TOUCHSTONE: Final = "a\\\\b'c\nd"


def line(text: str) -> bytes:
    """`text` as the one line that `LAUNCH` and `HELPER` read."""
    raw = text.encode("utf-8", "surrogateescape")
    return raw.replace(b"\\", b"\\0134").replace(b"\n", b"\\0012") + b"\n"


def login_test() -> str:
    """What a POSIX login shell answers with ``galaxy-posix``, and any other one with something else, or not at all."""
    return f"exec /bin/sh -c {quote(_TEST)} sh {quote(_TOUCHSTONE)}"


_TEST: Final = f"""[ "$1" = {quote(_TOUCHSTONE)} ] && echo galaxy-posix"""


def hello(root: str) -> str:
    """For a helper: make and enter the working folder, say what the host is, as ``name=value`` lines after HELLO.

    A greeting need not end with a line break, so one comes first.
    """
    return f"""
echo
echo {HELLO}
mkdir -p -- {quote(root)} 2>/dev/null
cd -- {quote(root)} 2>/dev/null || echo problem=root
{_FACTS}
echo galaxy-ready
"""


_FACTS: Final = r"""
echo "root=$(pwd -P)"
echo "system=$(uname -s)"
echo "release=$(uname -r)"
echo "machine=$(uname -m)"
echo "hostname=$(uname -n)"
echo "user=$(id -un)"
echo "home=$HOME"
echo "login_shell=$SHELL"
[ -r /etc/os-release ] && (. /etc/os-release; echo "os=$PRETTY_NAME")
n=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || n=$(nproc 2>/dev/null) && echo "cpu_count=$n"
[ -r /proc/self/environ ] && echo "processes=/proc"
cd /
"""


def job(number: int, text: str) -> str:
    """For a helper: run `text` beside others, and then say its number, its exit code and the first 4,000 bytes it printed.

    The answer is one line, in which line breaks are blanks.
    """
    return (
        f"{{ o=$( ({text}\n) 2>&1 </dev/null); s=$?; "
        f'printf "galaxy-job %s %s %s\\n" {number} "$s" "$(printf %.4000s "$o" | tr "\\n" " ")"; }} </dev/null &'
    )


def hash_of(path: str) -> str:
    """The SHA-256 of a file in hexadecimal, by whichever program there is; exit code 3 when there is none."""
    name = quote(path)
    return (
        f"if command -v sha256sum >/dev/null; then sha256sum <{name}; "
        f"elif command -v shasum >/dev/null; then shasum -a 256 <{name}; "
        f"elif command -v sha256 >/dev/null; then sha256 <{name}; "
        "else exit 3; fi"
    )


def removal(path: str) -> str:
    """Removes a file, if it is there."""
    return f"rm -f -- {quote(path)}"
