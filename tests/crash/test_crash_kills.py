"""The real command, killed for good at random moments; `python -m tests.crash --kills 2000` kills more often."""

from __future__ import annotations

import pytest

from tests.crash.kills import trial


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_command_is_resumed_and_nothing_is_lost_or_done_twice(seed: int) -> None:
    for other in range(seed, 100, 5):  # of the same shape; one whose kills all come too late proves little
        found = trial(other, kills=2)
        assert not found.wrong, str(found)
        if found.kills:
            return
    pytest.fail("no kill came in time")
