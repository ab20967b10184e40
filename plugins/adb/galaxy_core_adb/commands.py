"""Commands: argument lists and shell texts, with everything that a command may ask for."""

from __future__ import annotations

import re
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from galaxy_core import Command
from galaxy_core.extension.adapter import marks
from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.adapter.posix import NO_SUCH_FOLDER, NOT_STARTED, below, quote, wrap
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_adb.exchange import Exchange
from galaxy_core_adb.failures import AdbFailureError
from galaxy_core_adb.run import NotStartedError, Run, UncertainError
from galaxy_core_adb.sinks import Heard

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession

_NO_FOLDER = re.compile(re.escape(NO_SUCH_FOLDER) + r".*\n")


async def run_command(session: AdbSession, attempt: Attempt, command: Command) -> Outcome:
    """Run it to its end, whichever that is.

    Raises:
        AdbFailureError: nothing was sent, and nothing can be.
    """
    settings = session.settings
    sources = Sources(attempt, session.files_root)
    if marks.is_marked(attempt):
        await session.expect_once(marks.run_of(attempt.mark))
    try:
        secret, header = _secrets(session)
        data = str(command.stdin or "").encode()
        leading = session.leading(attempt, len(data) if data else None)
        script = secret + wrap(command, attempt.mark, root=settings.root, shell="sh", leading=leading)  # noqa: S604  a program
        if leading:
            script = session.released.first() + script
        stdin = header + data
        script.encode()
        exchange = Exchange(session, attempt, command, sources)
    except UnicodeEncodeError:
        return Refused("an argument, path, variable or its input holds characters that are no text (lone surrogates)")
    except ValueError as error:
        return Refused(str(error))
    if exchange.files_wanted:
        refusal = await exchange.put()
        if refusal is not None:
            return Refused(refusal)
    stdout, stderr = (_heard(session, attempt, sources, name) for name in ("stdout", "stderr"))
    run = Run(session.link, attempt, script, stdin, stdout, stderr)
    try:
        exit_code = await run.to_its_end(settings.root)
    except NotStartedError as error:
        return Refused(str(error))
    except UncertainError as error:
        return Unknown(str(error), _completed(None, stdout.output, stderr.output))
    except BaseException:
        if attempt.progress != "new":
            said = _completed(None, stdout.output, stderr.output)
            attempt.partial = said if run.doubt is None else Unknown(run.doubt, said)
        raise
    if leading and (why := marks.why_unmarked(exit_code, stderr.output.text)) is not None:
        return Refused(why)
    if exit_code == NOT_STARTED and not stdout.output.size and _NO_FOLDER.fullmatch(stderr.output.text):
        folder = below(settings.root, command.cwd)
        return Refused(f"its working folder {folder!r} is not there on the device; make it first, or leave out 'cwd'")
    said = _completed(exit_code, stdout.output, stderr.output)
    if not exchange.outputs_wanted:
        return said
    try:
        return await exchange.collect(said)
    except AdbFailureError as error:
        return exchange.broken_off(said, error)
    except BaseException:  # goes on to the kernel
        attempt.partial = exchange.stopped(said)
        raise


def _secrets(session: AdbSession) -> tuple[str, bytes]:
    """What makes the variables of the settings known to a command, and what it reads them from: its input, first of all.

    In a script they would show in the device's list of processes.
    """
    script, header = "", b""
    for name, value in session.settings.env.items():
        text = value.get_secret_value()
        quote(text)  # a NUL
        lines = text.split("\n")
        header += "".join(f"{line}\n" for line in lines).encode()
        script += f"IFS= read -r {name}; "
        more = f"IFS= read -r galaxy_line; {name}=${name}'\n'$galaxy_line; "
        script += more * (len(lines) - 1) + f"export {name}; "
    return script, header


def _heard(session: AdbSession, attempt: Attempt, sources: Sources, name: str) -> Heard:
    settings = session.settings
    output = Output(
        name,
        cap_bytes=settings.output_cap_bytes,
        place=partial(sources.stream_file, name),
        spill_cap_bytes=settings.artifact_cap_bytes,
        secrets=session.masked,
    )
    return Heard(attempt, output, session.threads)


def _completed(exit_code: int | None, stdout: Output, stderr: Output) -> Completed:
    files: dict[str, str] = {}
    metadata: dict[str, Any] = {**stdout.describe(), **stderr.describe()}
    for output in (stdout, stderr):
        if output.spilled_to is not None:
            files.setdefault(output.spilled_to.name, str(output.spilled_to))
    return Completed(
        exit_code=exit_code,
        stdout=stdout.text,
        stderr=stderr.text,
        error=_signal_text(exit_code),
        files=files or None,
        metadata=metadata,
        truncated=stdout.is_cut or stderr.is_cut,
    )


def _signal_text(exit_code: int | None) -> str | None:
    """A shell says of a program that a signal has ended 128 and the signal; but so may a program by itself."""
    if exit_code is None or exit_code <= 128:
        return None
    try:
        return f"exit code {exit_code}: ended by {signal.Signals(exit_code - 128).name}, unless it chose that number itself"
    except ValueError:
        return None
