"""The structure that finds the least loaded device agrees with looking at each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from galaxy_core_strategies.least import Least

DEVICES = ["p", "q", "r", "s"]
SETS = st.lists(st.sampled_from(DEVICES), min_size=1, unique=True).map(tuple)


@given(
    start=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=4),
    steps=st.lists(st.tuples(SETS, st.integers(1, 3))),
)
def test_it_answers_as_if_it_had_looked_at_every_device(
    start: list[tuple[float, float]], steps: list[tuple[tuple[str, ...], int]]
) -> None:
    least = Least(DEVICES, start)
    keys = {device: (*key, position) for position, (device, key) in enumerate(zip(DEVICES, start, strict=True))}
    for devices, more in steps:
        found = least.of(devices)
        assert found == min(keys[device] for device in devices)
        load, tie, position = found
        keys[DEVICES[position]] = (load + more, tie, position)
        least.raise_to((load + more, tie, position))
