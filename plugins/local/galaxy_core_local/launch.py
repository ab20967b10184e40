"""From a Command to what the operating system is asked to start; and, when it does not, to a reason that helps."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from galaxy_core import Command
from galaxy_core.errors import nearest
from galaxy_core.extension.adapter.marks import leading
from galaxy_core.extension.adapter.posix import MARK
from galaxy_core_local import watched
from galaxy_core_local.settings import LocalSettings


@frozen
class Launch:
    """What is started. `command` is a string only for the default shell of Windows; `is_watched`: see `watched`."""

    command: list[str] | str
    cwd: Path
    env: Mapping[str, str]
    stdin: bytes | None
    is_watched: bool = False


def prepare(command: Command, settings: LocalSettings, root: Path, mark: str, marker: str | None = None) -> Launch:
    """Check a command whose references are resolved, and complete it. It leaves its marker at `marker`, if that is given.

    Raises:
        ValueError: something in it cannot be handed to any program, or its working folder is not there.
    """
    cwd = root / _checked(command.cwd, "the working folder") if command.cwd is not None else root
    if not cwd.is_dir():
        raise ValueError(f"the working folder {str(cwd)!r} {'is no folder' if cwd.exists() else 'does not exist'}")
    stdin = command.stdin
    if stdin is not None and not isinstance(stdin, str):
        raise ValueError(f"standard input is {type(stdin).__name__}, not text")
    try:
        data = None if stdin is None else stdin.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(f"standard input cannot be written as UTF-8: {error.reason}") from None
    launch = Launch(_words(command, settings), cwd, _environment(command, settings, mark), data)
    if marker is None:
        return launch
    is_shown = "PATH" not in {name.upper() for name in settings.env}  # what stands there may be a secret
    if (
        missing := missing_program(launch, is_shown)
    ) is not None:  # the shell that leaves the marker would start, and fail
        raise ValueError(missing)
    if watched.is_possible():
        words = [*watched.leading(marker, has_input=bool(data)), *launch.command]
        return evolve(launch, command=words, is_watched=True)
    return evolve(launch, command=[*leading(marker, None if not data else len(data)), *launch.command])


def _words(command: Command, settings: LocalSettings) -> list[str] | str:
    if command.argv is not None:
        return [_checked(word, f"argument {place}") for place, word in enumerate(command.argv)]
    text = _checked(command.shell, "the shell text")
    if settings.shell is None and sys.platform == "win32":
        return text
    return [settings.shell or "/bin/sh", "-c", text]


def _environment(command: Command, settings: LocalSettings, mark: str) -> dict[str, str]:
    env = dict(os.environ) if settings.inherit_env else {}
    own = {name: value.get_secret_value() for name, value in settings.env.items()}
    for name, value in {**own, **command.env}.items():
        _checked(name, f"the name of environment variable {name!r}")
        if not name or "=" in name:
            raise ValueError(f"{name!r} cannot be the name of an environment variable")
        # Windows takes Path and PATH for one variable, and os.environ holds it in capitals.
        env[name.upper() if sys.platform == "win32" else name] = _checked(value, f"environment variable {name!r}")
    outer = os.environ.get(MARK)  # an orchestrator within a task of another: both must find its processes
    env[MARK] = f"{outer}:{mark}" if outer else mark
    return env


def _checked(text: Any, what: str) -> str:
    """`text`, if an operating system can pass it on. The error does not show it: it may be a secret."""
    if not isinstance(text, str):
        raise ValueError(f"{what} is {type(text).__name__}, not text")
    if "\0" in text:
        raise ValueError(f"{what} contains a NUL character, which no program can be given")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} contains a character that cannot be encoded: {error.reason}") from None
    return text


def why_not_started(error: OSError, launch: Launch, secrets: Collection[str] = ()) -> str:
    """Why the operating system refused, in words: which program, where it was looked for, what may have been meant.

    A PATH that is one of `secrets` is not shown, and nor are folders of it. Reads folders, so call it in a worker thread.
    """
    if error.errno == errno.E2BIG:
        return "the arguments and the environment are too long for this system: use standard input or a file"
    if error.errno == errno.ENOEXEC:
        return f"command {_program(launch)!r} is no program of this machine, and does not begin with '#!'"
    if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM):
        return f"command {_program(launch)!r} could not be started: {error.strerror or error}"
    if not launch.cwd.is_dir():
        return f"the working folder {str(launch.cwd)!r} does not exist"
    if not os.access(launch.cwd, os.X_OK):
        return f"the working folder {str(launch.cwd)!r} may not be entered"
    return _not_found(_program(launch), launch, launch.env.get("PATH") not in secrets)


def _program(launch: Launch) -> str:
    return launch.command if isinstance(launch.command, str) else launch.command[0]


def missing_program(launch: Launch, show_path: bool = True) -> str | None:
    """Why its program cannot be started, if it is plainly not there."""
    program = _program(launch)
    folders = [""] if os.path.dirname(program) else os.get_exec_path(launch.env)
    for folder in folders:
        path = launch.cwd / folder / program
        if path.is_file() and os.access(path, os.X_OK):
            return None
    return _not_found(program, launch, show_path)


def _not_found(program: str, launch: Launch, show_path: bool) -> str:
    if os.path.dirname(program):
        if (launch.cwd / program).is_dir():
            return f"command {program!r} is a folder; name a program in it"
        show_path = True
        folders = [str((launch.cwd / program).parent)]
        shown = repr(folders[0])
    else:
        folders = [str(launch.cwd / entry) for entry in os.get_exec_path(launch.env)]
        shown = f"PATH ({os.pathsep.join(folders)})" if show_path else "PATH"
    name = Path(program).name
    path = os.pathsep.join(folders)
    if (found := shutil.which(name, path=path)) is not None:
        return f"command {program!r} could not be started: {_interpreter(Path(found), show_path)}"
    if (found := shutil.which(name, mode=os.F_OK, path=path)) is not None:
        what = repr(found) if show_path else "it"
        return f"command {program!r} may not be executed: {what} has no permission for it (chmod +x)"
    near = nearest(name, _names_in(folders))
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"command {program!r} was not found in {shown}{hint}"


def _interpreter(script: Path, show_path: bool) -> str:
    """What is wrong with a file that is there and executable, and yet cannot be started."""
    name = repr(str(script) if show_path else script.name)
    try:
        with script.open("rb") as file:
            line = file.readline(256)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    if not line.startswith(b"#!"):
        return f"{name} may not be executed, or the loader that it asks for does not exist"
    return f"the interpreter {line[2:].decode('utf-8', 'replace').strip()!r}, which {name} asks for, is not there"


def _names_in(folders: list[str]) -> set[str]:
    names: set[str] = set()
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                names.update(entry.name for entry in entries)
        except OSError:
            continue  # PATH often names folders that are not there
    return names
