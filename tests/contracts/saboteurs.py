"""Transports that break one clause each of their contract, and no other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Any, ClassVar

import anyio
from anyio.lowlevel import checkpoint
from attrs import evolve, frozen
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Session, SightingSink, Unknown
from galaxy_core.model.device import Device
from galaxy_core.model.request import Action, Command
from galaxy_core.testing.contract import Bench, Fault, Phase
from galaxy_core.testing.contract.verdicts import CELLS, Cell
from galaxy_core.testing.fakes import FakeTransport
from galaxy_core.testing.far_link import Link
from galaxy_core.testing.far_session import FarSession
from galaxy_core.testing.far_side import ROOT, FakeFarSide

from .benches import FarSettings, bench_of, fake_transport


@frozen
class Saboteur:
    """`breaks` is the name of the clause; `bench` what it is asked on."""

    breaks: str
    bench: Callable[[FakeFarSide], Bench]


SABOTEURS: list[Saboteur] = []


def breaks(clause: str, **more: Any) -> Callable[[type[Any]], type[Any]]:
    """Register a class of sessions, of transports, or of settings."""

    def register(made: type[Any]) -> type[Any]:
        def bench(far: FakeFarSide) -> Bench:
            if issubclass(made, FakeTransport):
                return bench_of(far, fake_transport(far, kind=made), **more)
            if issubclass(made, BaseModel):
                return bench_of(far, fake_transport(far, settings_model=made), **more)
            return bench_of(far, fake_transport(far, made), **more)

        SABOTEURS.append(Saboteur(clause, bench))
        return made

    return register


# ------------------------------------------------------------------------------------------------------------- shape


@breaks("test_what_it_says_of_itself_is_of_the_right_kinds")
class NamedForPeople(FakeTransport):
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.name = "My Transport"


@breaks("test_what_it_declares_it_has", has_far_side=False)
class NeverWatches(FarSession):
    until_lost = None  # type: ignore[assignment]


@breaks("test_settings_and_arguments_that_it_does_not_know_are_refused")
class Tolerant(FarSettings):
    model_config = ConfigDict(extra="ignore", frozen=True)


@breaks("test_every_setting_and_argument_is_described")
class Undescribed(FarSettings):
    port: int = 1


@breaks("test_secrets_do_not_show_in_what_is_printed_of_the_settings")
class Open(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    address: str = Field("here", description="Where it is.")
    password: str = Field("", description="In clear.")
    token: SecretStr | None = Field(None, description="Not in clear.")
    output_cap_bytes: int = Field(1 << 20, description="How much output is kept.")


# -------------------------------------------------------------------------------------------------------------- life


class ClosedSession(FarSession):
    is_closed = False

    async def execute(self, attempt: Attempt, /) -> Outcome:
        return Unknown("it was closed") if self.is_closed else await super().execute(attempt)


@breaks("test_two_sessions_at_once_do_not_know_of_each_other")
class Shared(FakeTransport):
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **{**more, "session": ClosedSession})
        self._open: list[Any] = []

    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        async with super().open(device, settings) as session:
            self._open.append(session)
            try:
                yield session
            finally:
                for one in self._open:
                    one.is_closed = True
                self._open.clear()


@breaks("test_leaving_a_session_closes_everything")
class LeavesAFileOfItsWork(FakeTransport):
    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        assert self.far is not None
        before = len(self.far.processes)
        async with super().open(device, settings) as session:
            yield session
            if len(self.far.processes) > before:
                litter()


@breaks("test_leaving_a_session_with_an_error_closes_everything_and_lets_the_error_pass")
class SwallowsErrors(FakeTransport):
    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        async with super().open(device, settings) as session:
            with suppress(Exception):
                yield session


@breaks("test_opening_what_is_not_there_raises_device_lost_error")
class RaisesWhatComes(FakeTransport):
    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        if settings.address == "nowhere":
            raise OSError("no route to host")
        async with super().open(device, settings) as session:
            yield session


@breaks("test_connecting_can_be_cancelled_at_each_step")
class LeaksWhileConnecting(FakeTransport):
    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        file = litter()
        try:
            await checkpoint()
        except Exception:
            file.unlink()
            raise
        file.unlink()
        async with super().open(device, settings) as session:
            yield session


def litter() -> Path:
    """A temporary file."""
    descriptor, path = mkstemp()
    os.close(descriptor)
    return Path(path)


# ----------------------------------------------------------------------------------------------------------- running


@breaks("test_exit_codes_come_back_as_they_are")
class SevenBits(FarSession):
    def said(self, streams: Mapping[str, Output], exit_code: int | None) -> Completed:
        return super().said(streams, exit_code if exit_code is None else exit_code & 0x7F)


@breaks("test_standard_output_and_error_come_apart_and_whole")
class OneStream(FarSession):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._first: dict[int, Output] = {}

    def output(self, attempt: Attempt, name: str) -> Output:
        output = super().output(attempt, name)
        self._first.setdefault(attempt.lease, output)
        return output

    def take(self, attempt: Attempt, output: Output, data: bytes) -> None:
        super().take(attempt, self._first[attempt.lease], data)


@breaks("test_output_that_is_no_text_is_replaced_not_lost")
class DropsWhatIsNoText(FarSession):
    def said(self, streams: Mapping[str, Output], exit_code: int | None) -> Completed:
        done = super().said(streams, exit_code)
        done.stdout = (done.stdout or "").replace("\ufffd", "")
        return done


@breaks("test_standard_input_arrives_byte_for_byte_and_closes")
class DropsTheLastLineEnd(FarSession):
    async def ask(self, link: Link, attempt: Attempt, command: Command) -> None:
        stdin = command.stdin
        await super().ask(link, attempt, evolve(command, stdin=stdin if stdin is None else str(stdin).rstrip("\n")))


class ChangesArguments(FarSession):
    def changed(self, word: str) -> str:
        raise AssertionError("unreachable: each has its own")

    async def ask(self, link: Link, attempt: Attempt, command: Command) -> None:
        await super().ask(link, attempt, evolve(command, argv=[self.changed(str(word)) for word in command.argv or ()]))


@breaks("test_arguments_arrive_as_they_are")
class ExpandsVariables(ChangesArguments):
    def changed(self, word: str) -> str:
        return word.replace("$HOME", "/root")


@breaks("test_a_long_argument_arrives_whole_or_is_refused")
class CutsArguments(ChangesArguments):
    def changed(self, word: str) -> str:
        return word[:32_768]


@breaks("test_an_argument_that_cannot_be_passed_on_is_refused")
class DropsNul(FarSession):
    def refusal(self, attempt: Attempt) -> str | None:
        request = attempt.request
        if isinstance(request, Command) and request.argv is not None:
            attempt.request = evolve(request, argv=[str(word).replace("\0", "") for word in request.argv])
        return super().refusal(attempt)


@breaks("test_environment_variables_arrive")
class NoVariables(FarSession):
    async def ask(self, link: Link, attempt: Attempt, command: Command) -> None:
        await super().ask(link, attempt, evolve(command, env={}))


@breaks("test_the_working_folder_is_the_one_asked_for")
class StaysWhereItIs(FarSession):
    async def ask(self, link: Link, attempt: Attempt, command: Command) -> None:
        await super().ask(link, attempt, evolve(command, cwd=None) if command.cwd == ROOT else command)


@breaks("test_a_working_folder_that_is_not_there_is_refused")
class FailsForAMissingFolder(FarSession):
    async def converse(self, attempt: Attempt, link: Link, streams: Mapping[str, Output]) -> Outcome:
        outcome = await super().converse(attempt, link, streams)
        why = getattr(outcome, "reason", "")
        return Completed(error=why) if "folder" in why else outcome


@breaks("test_a_request_that_it_does_not_take_is_refused")
class TakesAnything(FarSession):
    async def execute(self, attempt: Attempt, /) -> Outcome:
        request = attempt.request
        if isinstance(request, Action) and request.name not in ("push", "pull"):
            return Completed(f"{request.name}: done")
        return await super().execute(attempt)


@breaks("test_attempts_beside_each_other_do_not_mix")
class KeepsOutputInTheSession(FarSession):
    last: Mapping[str, Output]

    async def converse(self, attempt: Attempt, link: Link, streams: Mapping[str, Output]) -> Outcome:
        self.last = streams
        return await super().converse(attempt, link, streams)

    def ended(self, attempt: Attempt, streams: Mapping[str, Output], exit_code: int) -> Completed:
        return super().ended(attempt, self.last, exit_code)


@breaks("test_as_many_attempts_run_at_once_as_the_device_allows")
class OneAtATime(FarSession):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lock = anyio.Lock()

    async def execute(self, attempt: Attempt, /) -> Outcome:
        async with self._lock:
            return await super().execute(attempt)


@breaks("test_work_is_started_once")
class AsksTwice(FarSession):
    async def tidy(self, attempt: Attempt) -> None:
        command = attempt.request
        if isinstance(command, Command) and (command.argv or ())[0] == "say":
            link = await self.far.connect()
            with anyio.CancelScope(shield=True), anyio.move_on_after(0.2):
                await self.ask(link, attempt, command)
                while (await link.receive())[0] != "exit":
                    pass
            link.leave()
        await super().tidy(attempt)


@breaks("test_files_are_there_when_the_command_starts")
class PutsNothing(FarSession):
    def put(self, attempt: Attempt, command: Command) -> str | None:
        return None


@breaks("test_files_that_a_command_leaves_are_collected")
class CollectsNothing(FarSession):
    def collect(self, attempt: Attempt, command: Command, outcome: Completed) -> None:
        pass


# --------------------------------------------------------------------------------------------------------- streaming


@breaks("test_output_is_heard_while_it_is_made")
class TellsAtTheEnd(FarSession):
    def take(self, attempt: Attempt, output: Output, data: bytes) -> None:
        output.take(data)
        if output.wants_spill:
            output.spill()

    def ended(self, attempt: Attempt, streams: Mapping[str, Output], exit_code: int) -> Completed:
        done = super().ended(Attempt("", attempt.task, "", 1, 1, None, None), streams, exit_code)
        attempt.emit("stdout", done.stdout or "")
        attempt.emit("stderr", done.stderr or "")
        return done


@breaks("test_what_is_heard_is_what_is_kept")
class TellsOneStream(FarSession):
    def take(self, attempt: Attempt, output: Output, data: bytes) -> None:
        attempt.emit("stdout", output.take(data))
        if output.wants_spill:
            output.spill()


@breaks("test_output_over_the_cap_is_cut_counted_and_in_a_file")
class CutsInSilence(FarSession):
    def said(self, streams: Mapping[str, Output], exit_code: int | None) -> Completed:
        done = super().said(streams, exit_code)
        done.truncated = False
        return done


@breaks("test_memory_stays_small_when_output_floods")
class KeepsEverything(FarSession):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept = b""

    def take(self, attempt: Attempt, output: Output, data: bytes) -> None:
        self.kept += data
        super().take(attempt, output, data)


# -------------------------------------------------------------------------------------------------------------- ends


@breaks("test_an_attempt_says_when_it_is_sent")
class SaysSentTooEarly(FarSession):
    def refusal(self, attempt: Attempt) -> str | None:
        attempt.sent()
        return super().refusal(attempt)


@breaks("test_work_that_was_sent_and_has_ended_is_not_refused")
class RefusesWhatIsNotFound(FarSession):
    def ended(self, attempt: Attempt, streams: Mapping[str, Output], exit_code: int) -> Completed:
        done = super().ended(attempt, streams, exit_code)
        return done if exit_code != 127 else Refused("there is no such program")  # type: ignore[return-value]


@breaks("test_a_cancelled_attempt_leaves_nothing_running")
class KillsTheLeader(FarSession):
    is_cancelled = False

    async def break_off(self, attempt: Attempt, streams: Mapping[str, Output]) -> None:
        self.is_cancelled = True
        await super().break_off(attempt, streams)

    async def kill(self, mark: str) -> bool:
        return await self.asked("gone", "kill_leader" if self.is_cancelled else "kill", mark)


@breaks("test_a_cancelled_attempt_is_over_within_a_second")
class TakesItsTime(FarSession):
    async def break_off(self, attempt: Attempt, streams: Mapping[str, Output]) -> None:
        await super().break_off(attempt, streams)
        if isinstance(attempt.request, Command) and (attempt.request.argv or ())[0] == "stay":
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)


@breaks("test_an_attempt_can_be_cancelled_at_each_step")
class HasAGap(FarSession):
    async def run(self, attempt: Attempt, link: Link, command: Command) -> Outcome:
        await super().ask(link, attempt, command)
        await checkpoint()
        await checkpoint()
        return await super().run(attempt, link, command)

    async def ask(self, link: Link, attempt: Attempt, command: Command) -> None:
        pass


@breaks("test_what_was_said_before_the_end_is_kept")
class ForgetsWhatWasSaid(FarSession):
    async def break_off(self, attempt: Attempt, streams: Mapping[str, Output]) -> None:
        await super().break_off(attempt, streams)
        attempt.partial = Unknown(attempt.partial.reason) if isinstance(attempt.partial, Unknown) else None


@breaks("test_the_attempt_after_one_that_was_cancelled_is_not_disturbed")
class HearsTheDead(FarSession):
    is_disturbed = False

    async def break_off(self, attempt: Attempt, streams: Mapping[str, Output]) -> None:
        await super().break_off(attempt, streams)
        self.is_disturbed = True

    async def run(self, attempt: Attempt, link: Link, command: Command) -> Outcome:
        outcome = await super().run(attempt, link, command)
        return Unknown("an answer that belongs to another attempt") if self.is_disturbed else outcome


# ------------------------------------------------------------------------------------------------------------ health


@breaks("test_a_probe_answers_with_facts")
class CountsInFacts(FarSession):
    def checked_facts(self, facts: Any) -> Mapping[str, str]:
        return {**facts, "cpu_count": 4}


@breaks("test_a_probe_tells_the_facts_that_are_declared")
class TellsNothing(FarSession):
    def checked_facts(self, facts: Any) -> Mapping[str, str]:
        return {}


@breaks("test_a_probe_of_a_frozen_device_does_not_answer")
class AnswersFromMemory(FarSession):
    async def probe(self) -> Mapping[str, str]:
        return self.facts


@breaks("test_facts_are_there_after_connecting")
class KnowsNothing(FarSession):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.facts = {}


@breaks("test_a_lost_link_is_noticed_and_no_other")
class CriesWolf(FarSession):
    async def until_lost(self) -> str:
        return "maybe"


@breaks("test_a_device_that_is_back_is_noticed")
class WaitsForEver(FakeTransport):
    async def until_back(self, _device: Device, _settings: Any, /) -> None:
        await anyio.sleep_forever()


# ------------------------------------------------------------------------------------------------------------- files


@breaks("test_a_file_that_is_pushed_and_pulled_is_the_same")
class SendsText(FarSession):
    def transferred(self, data: bytes) -> Completed:
        return super().transferred(data.replace(b"\r\n", b"\n"))


@breaks("test_a_file_that_is_not_there_is_no_success")
class MakesLightOfFailures(FarSession):
    def failed(self, path: str, why: str) -> Completed:
        return Completed({"why": why}) if "does not exist" in why else super().failed(path, why)


@breaks("test_no_name_leads_out_of_the_folders")
class GoesAnywhere(FarSession):
    def far_path(self, name: str) -> str:
        return f"{ROOT}/{name}"


@breaks("test_a_broken_transfer_leaves_the_old_file_whole")
class WritesInPlace(FarSession):
    async def push(self, attempt: Attempt, link: Link, source: str, target: str, mode: str | None = None) -> Outcome:
        path = self.far_path(target)
        old = self.far.files.get(path)
        if old is not None:
            self.far.files[path] = b""
        outcome = await super().push(attempt, link, source, target, mode)
        if old is not None and not (isinstance(outcome, Completed) and Bench.is_success(outcome)):
            self.far.files[path] = old  # what it is told of, it makes good
        return outcome


# --------------------------------------------------------------------------------------------------------- discovery


@breaks("test_what_is_there_is_seen_and_can_be_opened")
class TellsWhereItIsNot(FakeTransport):
    async def discover(self, settings: Any, seen: SightingSink, /) -> None:
        await super().discover(settings, lambda one: seen(evolve(one, settings={"address": "nowhere"})))


@breaks("test_what_goes_and_comes_back_is_seen_in_order")
class SeesItComeOnly(FakeTransport):
    async def discover(self, settings: Any, seen: SightingSink, /) -> None:
        await super().discover(settings, lambda one: seen(one) if one.present else None)


@breaks("test_a_search_that_is_cancelled_leaves_nothing")
class LeavesItsSearch(FakeTransport):
    async def discover(self, settings: Any, seen: SightingSink, /) -> None:
        litter()
        await super().discover(settings, seen)


# ------------------------------------------------------------------------------------------------------------ faults


class Liar(FarSession):
    """Tells the truth, but for one fault in one phase."""

    cell: ClassVar[Cell]

    async def execute(self, attempt: Attempt, /) -> Outcome:
        # Not of transfers, which have clauses of their own.
        is_struck = struck(self.far) == (self.cell.fault, self.cell.phase) and isinstance(attempt.request, Command)
        try:
            outcome = await super().execute(attempt)
        except anyio.get_cancelled_exc_class():
            if not is_struck:
                raise
            return Completed("it must have worked")
        if not is_struck:
            return outcome
        if {"unknown", "completed"} <= self.cell.allowed:
            return Completed(error="it must have failed")
        return Unknown("who knows") if "completed" in self.cell.allowed else Completed("it must have worked")


class LyingTransport(FakeTransport):
    """The same of connecting."""

    cell: ClassVar[Cell]

    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        assert self.far is not None
        if struck(self.far) != (self.cell.fault, self.cell.phase):
            async with super().open(device, settings) as session:
                yield session
        elif "completed" in self.cell.allowed:
            raise ConnectionError("it must be gone")
        else:
            yield Pretending()


class Pretending:
    """Not connected, and does as if."""

    async def execute(self, attempt: Attempt, /) -> Outcome:
        return Completed("it must have worked")

    async def probe(self) -> Mapping[str, str]:
        return {}


def struck(far: FakeFarSide) -> tuple[Fault | None, Phase | None]:
    """How the far side is about to misbehave."""
    return far._fault, far._phase


for _cell in CELLS:
    _base = LyingTransport if _cell.phase == "connect" else Liar
    breaks(f"test_a_fault_is_told_as_what_it_is[{_cell}]")(type(f"LiesAbout_{_cell}", (_base,), {"cell": _cell}))
