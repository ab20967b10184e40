"""Clauses about work that runs to its end, and about its output."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any, Final

import anyio

from galaxy_core.extension.interfaces import Completed, Refused
from galaxy_core.model.request import Action, Call, Command, Request
from galaxy_core.testing.contract.bench import Bench, said
from galaxy_core.testing.contract.clause import NotAskedError, clause

WORDS: Final = (
    "plain",
    "two words",
    "",
    "-n",
    "--",
    "it's",
    '"quoted"',
    "%PATH%",
    "a;b",
    "$(x)",
    "`x`",
    "$HOME",
    "a\\b\\",
    "a&b|c<d>e",
    "*",
    "line\nbreak",
    "schön 🌍",
)
LONG: Final = 60_000
CAP_BYTES: Final = 4096
FLOOD_BYTES: Final = 8 << 20


class RunningClauses:
    """Work that ends by itself."""

    @clause("where your session reads the exit status: all eight bits of it, apart from whether there is any output")
    async def test_exit_codes_come_back_as_they_are(self, bench: Bench) -> None:
        bench.can(bench.work.end(0), "end")
        async with bench.opened() as session:
            for code in (0, 1, 255):
                done = await bench.completed(session, bench.work.end(code))
                assert done.exit_code == code, f"a command that ended with {code} came back with {done.exit_code}"
                assert code == 0 or not done.value, "a failure has a value"

    @clause("how your session tells standard output from standard error, and whether it reads both to their ends")
    async def test_standard_output_and_error_come_apart_and_whole(self, bench: Bench) -> None:
        request = bench.can(bench.work.say_both("to the one", "to the other"), "say_both")
        async with bench.opened() as session:
            done = await bench.completed(session, request)
        assert bench.work.same(done.stdout, "to the one"), f"standard output was {done.stdout!r}"
        assert bench.work.same(done.stderr, "to the other"), f"standard error was {done.stderr!r}"

    @clause("decoding of output: UTF-8, errors='replace'")
    async def test_output_that_is_no_text_is_replaced_not_lost(self, bench: Bench) -> None:
        request = bench.can(bench.work.binary(), "binary")
        async with bench.opened() as session:
            done = await bench.completed(session, request)
        assert done.stdout == "a\ufffd\ufffdb", f"the bytes 61 ff fe 62 came back as {done.stdout!r}"

    @clause("how standard input is sent: all of it, in pieces, and then closed", needs=["stdin"])
    async def test_standard_input_arrives_byte_for_byte_and_closes(self, bench: Bench) -> None:
        bench.can(bench.work.copy_stdin(""), "copy_stdin")
        async with bench.opened() as session:
            for text in ("one line\n", "schön 🌍\nlast line\n", "0123456789abcde\n" * 6_000):
                done = await bench.completed(session, bench.work.copy_stdin(text))
                got = said(done) or ""
                assert bench.work.same(got, text), f"of {len(text)} characters {len(got)} came back: {got[:80]!r}"

    @clause("quoting: each argument of `argv` is one argument over there, whatever is in it")
    async def test_arguments_arrive_as_they_are(self, bench: Bench) -> None:
        bench.can(bench.work.arguments("x"), "arguments")
        async with bench.opened() as session:
            for word in WORDS:
                await _arrives(bench, session, word)
            await _arrives(bench, session, *WORDS)

    @clause("how long a request may be: what is too long has to be Refused, not cut")
    async def test_a_long_argument_arrives_whole_or_is_refused(self, bench: Bench) -> None:
        request = bench.can(bench.work.arguments("x" * LONG), "arguments")
        async with bench.opened() as session:
            outcome = await bench.outcome(session, request)
        if not isinstance(outcome, Refused):
            assert isinstance(outcome, Completed), f"it was neither completed nor refused: {outcome!r}"
            got = len((said(outcome) or "").strip())
            assert bench.is_success(outcome), f"a long argument failed: {outcome!r}"
            assert got == LONG + 2, f"of an argument of {LONG} characters {got - 2} arrived"

    @clause(
        "NUL in arguments: what cannot pass it on has to refuse it before anything is sent; what can, passes it on "
        "(`takes_nul` of the bench's Work)"
    )
    async def test_an_argument_that_cannot_be_passed_on_is_refused(self, bench: Bench) -> None:
        request = bench.can(bench.work.arguments("a\0b"), "arguments")
        if not bench.work.takes_nul:
            await _is_refused(bench, request)
            return
        async with bench.opened() as session:
            await _arrives(bench, session, "a\0b")

    @clause("how environment variables are passed: as data, none of it read by a shell", needs=["env"])
    async def test_environment_variables_arrive(self, bench: Bench) -> None:
        request = bench.can(bench.work.variable("GALAXY_BENCH", "a 'b' $c"), "variable")
        async with bench.opened() as session:
            done = await bench.completed(session, request)
        assert bench.work.same(said(done), "a 'b' $c"), f"the variable arrived as {said(done)!r}"

    @clause("how the working folder is set", needs=["cwd"])
    async def test_the_working_folder_is_the_one_asked_for(self, bench: Bench) -> None:
        request, folder = bench.work.folder() or (None, "")
        bench.can(request, "folder")
        async with bench.opened() as session:
            done = await bench.completed(session, request)
        assert bench.work.same(said(done), folder), f"it ran in {said(done)!r} in place of {folder!r}"

    @clause(
        "what happens when the working folder cannot be entered: nothing must be started, so Refused", needs=["cwd"]
    )
    async def test_a_working_folder_that_is_not_there_is_refused(self, bench: Bench) -> None:
        await _is_refused(bench, bench.can(bench.work.missing_folder(), "missing_folder"))

    @clause("the beginning of your `execute`: what it does not know it has to refuse, not to take for something else")
    async def test_a_request_that_it_does_not_take_is_refused(self, bench: Bench) -> None:
        for request in not_taken(bench):
            await _is_refused(bench, request)

    @clause("what `execute` keeps in the session: everything of an attempt belongs into variables of that call")
    async def test_attempts_beside_each_other_do_not_mix(self, bench: Bench) -> None:
        bench.can(bench.work.say(""), "say")
        texts = [f"attempt {number} " * 20 for number in range(2 * bench.max_concurrency)]
        found: dict[str, Completed] = {}
        limiter = anyio.CapacityLimiter(bench.max_concurrency)
        async with bench.opened() as session, anyio.create_task_group() as group:

            async def run(text: str) -> None:
                async with limiter:
                    found[text] = await bench.completed(session, bench.work.say(text))

            for text in texts:
                group.start_soon(run, text)
        for text in texts:
            assert bench.work.same(said(found[text]), text), f"one that says {text[:11]!r} said {said(found[text])!r}"

    @clause("locks in your session: `max_concurrency` attempts have to run at once", needs=["stops"])
    async def test_as_many_attempts_run_at_once_as_the_device_allows(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever("here"), "forever")
        if bench.faults is None and "streams" not in bench.features:
            raise NotAskedError("nobody can tell whether they overlap: no far side, and it declares no 'streams'")
        attempts = [bench.attempt(request) for _ in range(bench.max_concurrency)]
        async with bench.opened() as session, anyio.create_task_group() as group:
            for attempt in attempts:
                group.start_soon(session.execute, attempt)
            try:
                for attempt in attempts:
                    await bench.until_running(attempt)
            finally:
                group.cancel_scope.cancel()

    @clause(
        "what starts the work again: a lost acknowledgement, a retry of a library; `execute` starts it once",
        needs=["faults"],
    )
    async def test_work_is_started_once(self, bench: Bench) -> None:
        request = bench.can(bench.work.say("once"), "say")
        async with bench.opened() as session:
            ended = await bench.ended(session, request)
            truth = await bench.truth(ended.attempt)
        assert truth.starts == 1, f"the far side was made to start it {truth.starts} times"

    @clause("how files of a command are put into its working folder before it starts", needs=["files"])
    async def test_files_are_there_when_the_command_starts(self, bench: Bench) -> None:
        text = "line\nschön 🌍\n"
        async with bench.opened() as session:
            attempt = bench.attempt(None)
            source = attempt.artifact_path("given.txt")
            source.write_bytes(text.encode())
            request = bench.can(bench.work.show("galaxy-bench.txt", str(source)), "show")
            attempt.request = request
            ended = await bench.ended(session, request, attempt=attempt)
        assert isinstance(ended.outcome, Completed), f"it was not completed: {ended.outcome!r}"
        assert bench.work.same(said(ended.outcome), text), f"of {text!r} the command saw {said(ended.outcome)!r}"

    @clause("how `outputs` are collected when a command has ended, and named in `Completed.files`", needs=["outputs"])
    async def test_files_that_a_command_leaves_are_collected(self, bench: Bench) -> None:
        request = bench.can(bench.work.leave("galaxy-bench-out.txt", "left behind"), "leave")
        async with bench.opened() as session:
            done = await bench.completed(session, request)
        path = (done.files or {}).get("galaxy-bench-out.txt")
        assert path is not None, f"it was not collected: {done!r}"
        text = Path(path).read_bytes().decode()
        assert bench.work.same(text, "left behind"), f"what was collected holds {text!r}"


class StreamingClauses:
    """Output, while it is made and when there is much of it."""

    @clause(
        "`attempt.emit`: it has to be called for each piece when it comes, not at the end", needs=["streams", "stops"]
    )
    async def test_output_is_heard_while_it_is_made(self, bench: Bench) -> None:
        attempt = bench.attempt(bench.can(bench.work.forever("tick"), "forever"))

        async def heard() -> bool:
            return "tick" in bench.heard(attempt)

        async with bench.opened() as session, anyio.create_task_group() as group:
            group.start_soon(session.execute, attempt)
            try:
                await bench.until(heard, "it ran, and was not heard")
            finally:
                group.cancel_scope.cancel()

    @clause(
        "what is given to `attempt.emit` and to `Completed`: the same text, each stream under its name",
        needs=["streams"],
    )
    async def test_what_is_heard_is_what_is_kept(self, bench: Bench) -> None:
        request = bench.can(bench.work.say_both("schön 🌍 " * 40, "beside it"), "say_both")
        async with bench.opened() as session:
            ended = await bench.ended(session, request)
        assert isinstance(ended.outcome, Completed), f"it was not completed: {ended.outcome!r}"
        for stream, kept in (("stdout", ended.outcome.stdout), ("stderr", ended.outcome.stderr)):
            heard = bench.heard(ended.attempt, stream)
            assert heard == kept, f"of {stream} {heard[:80]!r} was heard and {(kept or '')[:80]!r} kept"

    @clause("Output of galaxy_core.extension.adapter, and how what it says goes into Completed", needs=["counts"])
    async def test_output_over_the_cap_is_cut_counted_and_in_a_file(self, bench: Bench) -> None:
        request = bench.can(bench.work.flood(3 * CAP_BYTES), "flood")
        async with bench.opened(**_capped(bench, CAP_BYTES)) as session:
            done = await bench.completed(session, request)
        told = done.metadata or {}
        size, kept = told.get("stdout_bytes", 0), len(done.stdout or "")
        assert size >= 3 * CAP_BYTES, f"it printed {3 * CAP_BYTES} bytes, and metadata['stdout_bytes'] is {size}"
        assert kept <= CAP_BYTES, f"{kept} bytes were kept; the cap was {CAP_BYTES}"
        assert done.truncated, "it was cut, and `truncated` does not say so"
        path = (done.files or {}).get("stdout.txt")
        assert path is not None, "the whole of it is in no file 'stdout.txt'"
        whole = Path(path).stat().st_size
        assert whole == size == told.get("stdout_file_bytes"), f"the file has {whole} bytes of {size}: {told}"

    @clause("what your session keeps of output that exceeds the cap: nothing, beyond one piece", needs=["counts"])
    async def test_memory_stays_small_when_output_floods(self, bench: Bench) -> None:
        request = bench.can(bench.work.flood(FLOOD_BYTES), "flood")
        async with bench.opened(**_capped(bench, CAP_BYTES)) as session:
            attempt = bench.attempt(request)
            attempt._output = None
            tracemalloc.start()
            try:
                await bench.ended(session, request, attempt=attempt)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert peak < FLOOD_BYTES // 2, f"of {FLOOD_BYTES} bytes that were printed, {peak} were in memory at once"


def not_taken(bench: Bench) -> list[Request]:
    """Requests of kinds that the transport does not declare."""
    others: dict[str, Request] = {"run": Command(["true"]), "shell": Command(None, "true"), "call": Call(dict)}
    refused = [request for kind, request in others.items() if kind not in bench.transport.requests]
    return [Action("galaxy-bench-has-no-such-action"), *refused]


def _capped(bench: Bench, cap_bytes: int) -> dict[str, Any]:
    if not bench.has_setting("output_cap_bytes"):
        raise NotAskedError("its devices have no setting 'output_cap_bytes'")
    return {"output_cap_bytes": cap_bytes}


async def _arrives(bench: Bench, session: Any, *words: str) -> None:
    done = await bench.completed(session, bench.work.arguments(*words))
    wanted = "".join(f"[{word}]\n" for word in words)
    assert bench.work.same(said(done), wanted), f"the arguments {list(words)} arrived as {said(done)!r}"


async def _is_refused(bench: Bench, request: Request) -> None:
    async with bench.opened() as session:
        ended = await bench.ended(session, request)
    told = repr(request)[:200]
    assert isinstance(ended.outcome, Refused), f"{told} was not refused, but {ended.outcome!r}"
    assert ended.outcome.reason, "it does not say why"
    if bench.faults is not None:
        truth = await bench.truth(ended.attempt)
        assert truth.starts == 0, f"{told} was refused, and started all the same"
