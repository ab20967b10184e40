"""Clauses about whether a device lives, and what it is."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from galaxy_core.testing.contract.bench import SLACK_S, Bench
from galaxy_core.testing.contract.clause import NotAskedError, clause
from galaxy_core.testing.contract.faults import Fault, Phase


class HealthClauses:
    """Whether it lives."""

    @clause("your `probe`: it returns a mapping of text to text, empty if there is nothing to tell")
    async def test_a_probe_answers_with_facts(self, bench: Bench) -> None:
        async with bench.opened() as session:
            facts = await session.probe()
        _are_facts(facts, "a probe")

    @clause(
        "your `probe`: it has to ask the device itself, not what stands before it, and to take a cancellation",
        needs=["faults"],
    )
    async def test_a_probe_of_a_frozen_device_does_not_answer(self, bench: Bench) -> None:
        async with bench.opened() as session:
            await injected(bench, "frozen", "start")
            request = bench.can(bench.work.say("into the void"), "say")
            await bench.ended(session, request, timeout_s=bench.deadline_s)
            start, answered = anyio.current_time(), False
            try:
                with anyio.move_on_after(bench.deadline_s):
                    await session.probe()
                    answered = True
            except Exception as error:  # what the clause has seen tells of it
                bench.seen.append(repr(error))
            seconds = anyio.current_time() - start
            await bench.far.heal()
        assert not answered, "the device was frozen, and its probe answered"
        assert seconds <= bench.deadline_s + SLACK_S, f"the probe took {seconds:.2f} s to be cancelled"

    @clause("what your `probe` returns: of a transport that declares 'facts', the facts of the device", needs=["facts"])
    async def test_a_probe_tells_the_facts_that_are_declared(self, bench: Bench) -> None:
        async with bench.opened() as session:
            facts = await session.probe()
        assert not isinstance(facts, Mapping) or facts, "it declares 'facts', and its probe told none"

    @clause("where your session gets its `facts`: they have to be there once it is open", needs=["facts"])
    async def test_facts_are_there_after_connecting(self, bench: Bench) -> None:
        async with bench.opened() as session:
            facts = getattr(session, "facts", None)
        _are_facts(facts, "the session")
        assert facts, "it declares 'facts', and knows none"

    @clause("your `until_lost`: it has to wait for the link itself", needs=["watches", "faults"])
    async def test_a_lost_link_is_noticed_and_no_other(self, bench: Bench) -> None:
        _can_produce(bench, "disconnect", "middle")
        told: list[str] = []
        async with bench.opened() as session, anyio.create_task_group() as group:

            async def watch() -> None:
                told.append(await session.until_lost())  # type: ignore[attr-defined]

            group.start_soon(watch)
            await bench.works(session)
            assert not told, f"nothing was lost, and it says {told}"
            await bench.far.inject("disconnect", "middle")
            request = bench.can(bench.work.forever("here"), "forever")
            await bench.ended(session, request, timeout_s=bench.deadline_s)

            async def noticed() -> bool:
                return bool(told)

            try:
                await bench.until(noticed, "the link is gone, and until_lost() waits on")
            finally:
                group.cancel_scope.cancel()
        assert all(told), "it does not say why the link is gone"

    @clause("your `until_back`: it has to return when the device is there again", needs=["returns", "faults"])
    async def test_a_device_that_is_back_is_noticed(self, bench: Bench) -> None:
        _can_produce(bench, "server_dead", "connect")
        model = bench.transport.settings_model
        settings = None if model is None else model.model_validate(dict(bench.settings))
        back: list[bool] = []
        await bench.far.inject("server_dead", "connect")
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                await bench.transport.until_back(bench.device(), settings)  # type: ignore[attr-defined]
                back.append(True)

            async def noticed() -> bool:
                return bool(back)

            group.start_soon(wait)
            await anyio.sleep(bench.deadline_s)
            await bench.far.heal()
            try:
                await bench.until(noticed, "the device is there again, and until_back() waits on")
            finally:
                group.cancel_scope.cancel()


def _can_produce(bench: Bench, fault: Fault, phase: Phase) -> None:
    why = bench.far.cells.get((fault, phase), "it is not among its cells")
    if why is not None:
        raise NotAskedError(f"its far side cannot produce this: {why}")


async def injected(bench: Bench, fault: Fault, phase: Phase) -> None:
    """Have the far side misbehave, if it can.

    Raises:
        NotAskedError: it cannot.
    """
    _can_produce(bench, fault, phase)
    await bench.far.inject(fault, phase)


def _are_facts(facts: object, who: str) -> None:
    assert isinstance(facts, Mapping), f"{who} told {facts!r}, which is no mapping"
    wrong = {name: value for name, value in facts.items() if not isinstance(name, str) or not isinstance(value, str)}
    assert not wrong, f"{who} told facts that are no text: {wrong}"
