"""Clauses about devices that a transport finds by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from galaxy_core.extension.interfaces import Sighting
from galaxy_core.testing.contract.bench import Bench
from galaxy_core.testing.contract.clause import clause
from galaxy_core.testing.contract.transport_health import injected


class DiscoveryClauses:
    """What it finds. `Bench.discovery` are the settings of the search; the bench's own device is to be found by it."""

    @clause(
        "your `discover`: it has to tell first what is there already, with settings that lead to it",
        needs=["discovers"],
    )
    async def test_what_is_there_is_seen_and_can_be_opened(self, bench: Bench) -> None:
        async with _discovering(bench) as seen:
            found = await _until(bench, seen, lambda one: one.present, "nothing was seen")
        assert isinstance(found.key, str), f"its key is {found.key!r}"
        assert found.key, "its key is empty"
        wrong = {name: fact for name, fact in found.facts.items() if not isinstance(fact, str)}
        assert not wrong, f"it tells facts that are no text: {wrong}"
        async with bench.opened({**bench.settings, **found.settings}) as session:
            await bench.works(session)

    @clause(
        "your `discover`: what comes and goes has to be told each time, in order, under the same key",
        needs=["discovers", "faults"],
    )
    async def test_what_goes_and_comes_back_is_seen_in_order(self, bench: Bench) -> None:
        async with _discovering(bench) as seen:
            first = await _until(bench, seen, lambda one: one.present, "nothing was seen")
            del seen[:]
            await injected(bench, "disconnect", "connect")
            await _until(bench, seen, lambda one: one.key == first.key and not one.present, "it went, and was not told")
            del seen[:]
            await bench.far.heal()
            await _until(
                bench, seen, lambda one: one.key == first.key and one.present, "it came back, and was not told"
            )

    @clause("what your `discover` holds when it is cancelled", needs=["discovers"])
    async def test_a_search_that_is_cancelled_leaves_nothing(self, bench: Bench) -> None:
        async def search() -> None:
            async with _discovering(bench) as seen:
                await _until(bench, seen, lambda one: one.present, "nothing was seen")

        await search()
        async with bench.leaving_nothing():
            await search()


@asynccontextmanager
async def _discovering(bench: Bench) -> AsyncIterator[list[Sighting]]:
    """What is seen, while it is searched."""
    transport: Any = bench.transport
    model = getattr(transport, "discovery_model", None)
    settings = None if model is None else model.model_validate(dict(bench.discovery))
    seen: list[Sighting] = []

    def take(sighting: Sighting) -> None:
        bench.seen.append(repr(sighting)[:300])
        seen.append(sighting)

    async with anyio.create_task_group() as group:
        group.start_soon(transport.discover, settings, take)
        try:
            yield seen
        finally:
            group.cancel_scope.cancel()


async def _until(bench: Bench, seen: list[Sighting], fits: Callable[[Sighting], bool], otherwise: str) -> Sighting:
    async def has_come() -> bool:
        return any(fits(one) for one in seen)

    await bench.until(has_come, otherwise)
    return next(one for one in seen if fits(one))
