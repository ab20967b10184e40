"""`galaxy export`: the records of a run, as a file of JSON lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.kept.finding import found
from galaxy_core_cli.kept.journals import journal_of
from galaxy_core_cli.kept.reading import lines_of
from galaxy_core_cli.streams import Lines
from galaxy_core_cli.text import count

#: Records that are printed at a time.
_CHUNK = 1000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def export_run(wanted: str, journal: str | None, output: str | None, force: bool, sound: bool) -> int:
    """Write the records out, to a file that is not there yet, or to standard output."""
    kept_in = journal_of(journal)
    run_id = found(wanted, kept_in)
    if output not in {None, "-"} and not force and os.path.isfile(str(output)):
        raise _there_already(str(output))
    lines, damage = lines_of(kept_in, run_id, sound=sound)
    if output is None or output == "-":
        code = _print(lines)
    else:
        _write(lines, Path(output), force)
        say.note(f"{count(len(lines), 'record')} of run {run_id!r} written to {output}")
        code = Exit.OK
    if damage is not None:
        say.warning(f"{damage.why}; what is exported is a beginning of the run: {count(len(lines), 'record')}")
    return code


def _print(lines: Sequence[str]) -> Exit:
    out = Lines(sys.stdout)
    for first in range(0, len(lines), _CHUNK):
        out.write(lines[first : first + _CHUNK])
    if out.lost is not None:
        raise out.lost
    return Exit.NOBODY_READS if out.is_broken else Exit.OK


def _write(lines: Sequence[str], path: Path, force: bool) -> None:
    """All of it or nothing, readable by its owner alone: results are what nobody else need see."""
    if path.exists() and not path.is_file():  # a pipe, or a device, of which nothing is lost; a folder says so itself
        try:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
        except OSError as problem:
            problem.filename = str(path)
            raise
        return
    place = path.with_name(f".{path.name}.{os.getpid()}")
    reserved = False
    try:
        if not force:
            os.close(os.open(path, _NEW, 0o600))
            reserved = True
        with open(os.open(place, _NEW, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(place, path)
        reserved = False
    except FileExistsError:
        raise _there_already(str(path)) from None
    except OSError as problem:
        problem.filename, problem.filename2 = str(path), None
        raise
    finally:
        for one in (place, *([path] if reserved else [])):
            with suppress(OSError):
                os.unlink(one)


def _there_already(path: str) -> say.WrongValueError:
    return say.WrongValueError(f"{path!r} is there already, and is not overwritten: name another file, or say --force")
