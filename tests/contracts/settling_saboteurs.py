"""Transports that break one clause each about settling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.model.request import Command
from galaxy_core.testing.far_link import Link
from galaxy_core.testing.far_session import FarSession

from .saboteurs import breaks


@breaks("test_an_attempt_that_leaves_a_marker_runs_as_any_other")
class AddsItsOwnWords(FarSession):
    def ended(self, attempt: Attempt, streams: Mapping[str, Output], exit_code: int) -> Completed:
        done = super().ended(attempt, streams, exit_code)
        if attempt.leaves_marker and done.stdout:
            done.stdout += "marked\n"
        return done


@breaks("test_what_has_ended_is_settled_as_it_ended")
class DoesNotSayThatItWasSettled(FarSession):
    async def settle(self, attempt: Attempt, /) -> Outcome:
        found = await super().settle(attempt)
        return Completed(exit_code=found.exit_code, files=found.files) if isinstance(found, Completed) else found


@breaks("test_output_is_settled_as_it_was_or_is_said_to_be_lost")
class KeepsTheBeginningAndDoesNotSaySo(FarSession):
    async def settle(self, attempt: Attempt, /) -> Outcome:
        found = await super().settle(attempt)
        if isinstance(found, Completed):
            found.stdout = "to"
        return found


@breaks("test_files_of_what_is_settled_are_fetched")
class LeavesItsFilesThere(FarSession):
    async def settle(self, attempt: Attempt, /) -> Outcome:
        found = await super().settle(attempt)
        if isinstance(found, Completed):
            found.files = None
        return found


@breaks("test_what_never_started_is_settled_as_refused")
class NeverSure(FarSession):
    async def settle(self, attempt: Attempt, /) -> Outcome:
        found = await super().settle(attempt)
        return Unknown("it may not have started") if isinstance(found, Refused) else found


@breaks("test_what_is_settled_as_refused_cannot_start_any_more")
class OnlyLooks(FarSession):
    async def became(self, attempt: Attempt) -> Any:
        return await self.told("settled", "settle", attempt.mark, False)


@breaks("test_a_fence_outlives_its_release")
class TakesItsFenceAway(FarSession):
    def release(self, mark: str, /) -> None:
        super().release(mark)
        self.far.markers.pop(mark, None)


@breaks("test_what_was_stopped_is_not_said_to_have_never_started_without_proof")
class TakesItsFenceForAProof(FarSession):
    async def settle(self, attempt: Attempt, /) -> Outcome:
        if not self.far.markers:
            return Unknown("nothing was ever there")
        return await super().settle(attempt)


@breaks("test_under_one_mark_nothing_starts_twice")
class MakesRoom(FarSession):
    async def ask(self, link: Link, attempt: Attempt, command: Command) -> None:
        if isinstance(self.far.markers.get(attempt.mark), int):
            del self.far.markers[attempt.mark]
        await super().ask(link, attempt, command)


@breaks("test_each_attempt_is_settled_by_its_own_marker")
class TakesTheNewestMarker(FarSession):
    async def became(self, attempt: Attempt) -> Any:
        found = await super().became(attempt)
        ends = [end for end in self.far.markers.values() if isinstance(end, int)]
        return ends[-1] if isinstance(found, int) and ends else found


@breaks("test_settling_waits_for_what_still_runs")
class HasNoPatience(FarSession):
    async def became(self, attempt: Attempt) -> Any:
        with anyio.move_on_after(0.55):  # later than a bench's deadline, earlier than work that lasts
            return await super().became(attempt)
        return 0


@breaks("test_an_attempt_that_is_let_go_runs_on_and_is_settled_later")
class EndsWhatIsLetGo(FarSession):
    async def execute(self, attempt: Attempt, /) -> Outcome:
        try:
            return await super().execute(attempt)
        except anyio.get_cancelled_exc_class():
            if attempt.is_let_go:
                with anyio.CancelScope(shield=True):
                    await self.kill(attempt.mark)
            raise


@breaks("test_a_cancelled_settling_stops_the_work")
class LetsItRunOn(FarSession):
    is_settling = False

    async def settle(self, attempt: Attempt, /) -> Outcome:
        self.is_settling = True
        try:
            return await super().settle(attempt)
        finally:
            self.is_settling = False

    async def stop(self, attempt: Attempt, /) -> None:
        if not self.is_settling:
            await super().stop(attempt)


@breaks("test_what_is_stopped_in_another_session_runs_no_more")
class StopsTheLeader(FarSession):
    async def stop(self, attempt: Attempt, /) -> None:
        with anyio.CancelScope(shield=True):
            await self.asked("gone", "kill_leader", attempt.mark)


@breaks("test_what_was_stopped_in_its_middle_is_no_success")
class TakesSilenceForSuccess(FarSession):
    async def became(self, attempt: Attempt) -> Any:
        found = await super().became(attempt)
        return 0 if found is None else found


@breaks("test_an_attempt_without_a_marker_is_not_settled")
class GuessesTheBest(FarSession):
    async def settle(self, attempt: Attempt, /) -> Outcome:
        return await super().settle(attempt) if attempt.leaves_marker else Completed(exit_code=0)


@breaks("test_markers_that_are_released_are_removed")
class KeepsMarkers(FarSession):
    def release(self, mark: str, /) -> None:
        pass


@breaks("test_an_attempt_whose_link_went_is_settled_in_the_next_session")
class DropsTheMarkerWithTheLink(FarSession):
    async def run(self, attempt: Attempt, link: Link, command: Command) -> Outcome:
        outcome = await super().run(attempt, link, command)
        if attempt.leaves_marker and isinstance(outcome, Unknown):
            self.released.append(attempt.mark)
        return outcome
