"""Work: the requests that every contract needs, in the words of a far side."""

from __future__ import annotations

from typing import Any, Final

import anyio

from galaxy_core.model.request import Call, Command, Request


class Work:
    """What a bench asks of a far side. A method that returns None cannot be said there: clauses that need it are skipped.

    `exact` False: the far side ends lines in its own way, and adds the last one. `takes_nul` True: an argument may hold
    the character NUL there, and has to arrive with it.
    """

    exact: bool = True
    takes_nul: bool = False

    def say(self, text: str) -> Request | None:
        """Prints `text` and ends with success."""
        return None

    def say_both(self, out: str, err: str) -> Request | None:
        """Prints `out` to standard output and `err` to standard error."""
        return None

    def end(self, code: int) -> Request | None:
        """Ends with that exit code."""
        return None

    def fail(self) -> Request | None:
        """Starts, and fails."""
        return self.end(1)

    def wait(self, text: str, seconds: float) -> Request | None:
        """Prints `text` and a line end, and ends with success after so many seconds."""
        return None

    def forever(self, text: str) -> Request | None:
        """Prints `text` and a line end, and then stays until it is stopped."""
        return None

    def forever_with_child(self, text: str) -> Request | None:
        """As `forever`, having started another process that stays, too."""
        return None

    def copy_stdin(self, text: str) -> Request | None:
        """Prints its standard input, which is `text`, to its end."""
        return None

    def flood(self, size_bytes: int) -> Request | None:
        """Prints about that many letters "x"."""
        return None

    def binary(self) -> Request | None:
        """Prints the bytes ``61 ff fe 62``, which are no UTF-8."""
        return None

    def arguments(self, *words: str) -> Request | None:
        """Prints each of its arguments in brackets, each with a line end."""
        return None

    def variable(self, name: str, value: str) -> Request | None:
        """Prints the environment variable `name`, which is given as `value`."""
        return None

    def folder(self) -> tuple[Request, str] | None:
        """Prints the folder that it runs in, one that every far side has; and that folder."""
        return None

    def missing_folder(self) -> Request | None:
        """Anything in a folder that is not there."""
        return None

    def show(self, name: str, source: str) -> Request | None:
        """Prints the file `name` of its working folder, where `source`, a file of this machine, is put before."""
        return None

    def leave(self, name: str, text: str) -> Request | None:
        """Writes `text` to the file `name` in its working folder, which is to be collected."""
        return None

    def same(self, said: str | None, wanted: str) -> bool:
        """Whether it has said what was wanted of it."""
        if said is None or self.exact:
            return said == wanted
        return said.replace("\r\n", "\n").rstrip("\n") == wanted.rstrip("\n")


def _sh(text: str, *words: str, **more: Any) -> Command:
    return Command(["/bin/sh", "-c", text, "sh", *words], **more)


class Posix(Work):
    """A far side with a POSIX shell, `printf`, `cat`, `sleep`, `head` and `tr`."""

    def say(self, text: str) -> Request | None:
        return Command(["printf", "%s", text])

    def say_both(self, out: str, err: str) -> Request | None:
        return _sh('printf %s "$1"; printf %s "$2" >&2', out, err)

    def end(self, code: int) -> Request | None:
        return _sh('exit "$1"', str(code))

    def wait(self, text: str, seconds: float) -> Request | None:
        return _sh('printf "%s\\n" "$1"; exec sleep "$2"', text, f"{seconds:g}")

    def forever(self, text: str) -> Request | None:
        return _sh('printf "%s\\n" "$1"; exec sleep 1000', text)

    def forever_with_child(self, text: str) -> Request | None:
        return _sh('sleep 1000 & sleep 1000 & printf "%s\\n" "$1"; wait', text)

    def copy_stdin(self, text: str) -> Request | None:
        return Command(["cat"], stdin=text)

    def flood(self, size_bytes: int) -> Request | None:
        return _sh('head -c "$1" /dev/zero | tr "\\000" x', str(size_bytes))

    def binary(self) -> Request | None:
        return Command(["printf", r"a\377\376b"])

    def arguments(self, *words: str) -> Request | None:
        return Command(["printf", r"[%s]\n", *words])

    def variable(self, name: str, value: str) -> Request | None:
        return _sh(f'printf %s "${name}"', env={name: value})

    def folder(self) -> tuple[Request, str] | None:
        return Command(["pwd"], cwd="/"), "/\n"

    def missing_folder(self) -> Request | None:
        return Command(["true"], cwd="/galaxy/no/such/folder")

    def show(self, name: str, source: str) -> Request | None:
        return Command(["cat", name], files={name: source})

    def leave(self, name: str, text: str) -> Request | None:
        return Command(["/bin/sh", "-c", 'printf %s "$2" >"$1"', "sh", name, text], outputs=(name,))


def _cmd(text: str, **more: Any) -> Command:
    return Command(None, text, **more)


class Windows(Work):
    """A Windows far side that runs texts by `cmd.exe`. Nothing there prints its arguments, or bytes, as they are."""

    exact = False

    def say(self, text: str) -> Request | None:
        return _cmd(f"echo {text}")

    def say_both(self, out: str, err: str) -> Request | None:
        return _cmd(f"echo {out}& echo {err}>&2")

    def end(self, code: int) -> Request | None:
        return _cmd(f"exit {code}")

    def forever(self, text: str) -> Request | None:
        return _cmd(f"echo {text}& ping -n 1000 127.0.0.1 >NUL")

    def forever_with_child(self, text: str) -> Request | None:
        return _cmd(f"start /b ping -n 1000 127.0.0.1 >NUL& echo {text}& ping -n 1000 127.0.0.1 >NUL")

    def copy_stdin(self, text: str) -> Request | None:
        return Command(["findstr", "^"], stdin=text)

    def flood(self, size_bytes: int) -> Request | None:
        return _cmd(f"for /L %i in (1,1,{size_bytes // 64}) do @echo {'x' * 62}")

    def variable(self, name: str, value: str) -> Request | None:
        return _cmd(f"echo %{name}%", env={name: value})

    def folder(self) -> tuple[Request, str] | None:
        return _cmd("cd", cwd="C:\\"), "C:\\\n"

    def missing_folder(self) -> Request | None:
        return _cmd("ver", cwd="C:\\galaxy\\no\\such\\folder")

    def show(self, name: str, source: str) -> Request | None:
        return _cmd(f"type {name}", files={name: source})

    def leave(self, name: str, text: str) -> Request | None:
        return _cmd(f"echo {text}>{name}", outputs=(name,))


class Calls(Work):
    """Functions of this program, for transports that take calls."""

    def say(self, text: str) -> Request | None:
        return Call(_returned, (text,))

    def fail(self) -> Request | None:
        return Call(_failed)

    def forever(self, text: str) -> Request | None:
        return Call(_stay)


async def _returned(text: str) -> str:
    await anyio.lowlevel.checkpoint()
    return text


async def _failed() -> None:
    await anyio.lowlevel.checkpoint()
    raise RuntimeError("it was to fail")


async def _stay() -> None:
    await anyio.sleep_forever()


POSIX: Final = Posix()
WINDOWS: Final = Windows()
CALLS: Final = Calls()
