"""The services `shell:` and `exec:`: a script, run without a process when it is simple, else in this machine's /bin/sh."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import anyio

from galaxy_core_adb.simulate.answer import Answer
from galaxy_core_adb.simulate.builtins import Interpreter, Simple, parse
from galaxy_core_adb.simulate.stream import HungUpError
from galaxy_core_adb.simulate.truth import mark_of, was_refused

if TYPE_CHECKING:
    from galaxy_core_adb.simulate.faults import Strike
    from galaxy_core_adb.simulate.link import Link
    from galaxy_core_adb.simulate.phone import Phone
    from galaxy_core_adb.simulate.process import Process
    from galaxy_core_adb.simulate.stream import Stream


async def serve_shell(phone: Phone, link: Link, stream: Stream, strike: Strike | None) -> None:
    """Serve one `shell:`, `shell,v2…:` or `exec:` service to its end."""
    kind, _, script = stream.name.partition(":")
    packets = "v2" in kind.split(",")
    if packets and not phone.shell_v2:
        return
    answer = Answer(phone, link, stream, strike, packets=packets)
    if not await answer.begin():
        return
    mark = mark_of(script, phone.disk)
    commands = parse(script, phone.programs)
    try:
        if strike is None and commands is not None:
            await answer.exit(await _interpret(phone, answer, commands, mark))
            return
        async with anyio.create_task_group() as tasks:
            if strike is not None and strike.phase == "middle":
                tasks.start_soon(_grow_silent, phone, answer)
            if commands is None:
                code = await _run(phone, answer, kind, script, mark)
            else:
                code = await _interpret(phone, answer, commands, mark)
            await answer.exit(code)
            tasks.cancel_scope.cancel()
    except* HungUpError:
        pass


async def _grow_silent(phone: Phone, answer: Answer) -> None:
    await anyio.sleep(phone.faults.middle_s)
    await answer.silent()


async def _interpret(phone: Phone, answer: Answer, commands: tuple[Simple, ...], mark: str | None) -> int:
    phone.attempts.started(mark)
    code: int | None = None
    try:
        code = await Interpreter(phone.programs, phone.disk).run(commands, answer)
    finally:
        phone.attempts.ended(mark, code)
    return code


async def _run(phone: Phone, answer: Answer, kind: str, script: str, mark: str | None) -> int:
    words = ["/bin/sh", "-c", phone.disk.rewritten(script)] if script else ["/bin/sh"]
    try:
        process = phone.start(words, one_output=kind in ("shell", "exec"))
    except OSError as error:  # more than this machine's execve takes
        await answer.err(f"/system/bin/sh: {error.strerror}\n".encode())
        return 126
    phone.attempts.started(mark, process.pid)
    code: int | None = None
    try:
        code = await _converse(process, answer)
    finally:
        phone.attempts.ended(mark, code)
        if was_refused(script, code):
            phone.attempts.refused(mark)
        # As adbd does (AOSP: shell_service.cpp): the shell alone is told, and only where adbd keeps an eye on the host;
        # behind a terminal, the system tells the whole group.
        process.hang_up(None if kind == "exec" else signal.SIGHUP)
    return code


async def _converse(process: Process, answer: Answer) -> int:
    async with anyio.create_task_group() as inputs:
        inputs.start_soon(_feed, process, answer)
        async with anyio.create_task_group() as outputs:
            for which in range(1, len(process.pipes)):
                outputs.start_soon(_pump, process, answer, which)
        code = await process.wait()
        inputs.cancel_scope.cancel()
    return code


async def _feed(process: Process, answer: Answer) -> None:
    while data := await answer.read():
        if not await process.write(data):
            return
    process.close_input()


async def _pump(process: Process, answer: Answer, which: int) -> None:
    say = answer.out if which == 1 else answer.err
    while data := await process.read(which):
        await say(data)
