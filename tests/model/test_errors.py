"""What errors keep and what they tell, however much is wrong."""

from __future__ import annotations

import pickle

import pytest

import galaxy_core.errors as tree
from galaxy_core.errors import CycleError, InvalidPlanError, NoFittingDeviceError, RunRefusedError


def test_a_few_problems_of_a_plan_are_told_as_they_are() -> None:
    error = InvalidPlanError(["one", "two"])
    assert str(error) == "Invalid DAG: ['one', 'two']"
    assert (error.problems, error.more) == (("one", "two"), 0)


def test_twenty_problems_of_a_plan_are_told_a_thousand_kept_and_the_rest_counted() -> None:
    error = InvalidPlanError((f"problem {number}" for number in range(20_000)), "Wrong")
    assert str(error).startswith("Wrong: ['problem 0', 'problem 1', ")
    assert str(error).endswith("'problem 19'] and 19,980 more")
    assert (len(error.problems), error.problems[-1], error.more) == (1000, "problem 999", 19_000)


@pytest.mark.parametrize(("devices", "end"), [(2, ". Add such"), (23, "; and 3 more. Add such")])
def test_what_each_device_lacks_is_told_of_twenty(devices: int, end: str) -> None:
    error = NoFittingDeviceError(["a"], "a camera", {f"d{number}": "lacks it" for number in range(devices)})
    assert str(error).startswith(
        "No device fits task 'a', which needs a camera. device 'd0' lacks it; device 'd1' lacks it"
    )
    assert end in str(error)
    assert len(error.missing) == devices


def test_the_plugins_that_refuse_a_run_are_quoted_as_all_ids_are() -> None:
    error = RunRefusedError("c", [("night watch", "it is late"), ("b", "no")])
    assert str(error) == "run of 'c' refused: plugin 'night watch': it is late; plugin 'b': no"


@pytest.mark.parametrize(("size", "shown"), [(3, 3), (50, 50), (51, 21), (50_000, 21)])
def test_a_cycle_is_kept_in_full_and_told_in_full_when_it_is_short(size: int, shown: int) -> None:
    error = CycleError([*(f"t{number}" for number in range(size)), "t0"])
    assert len(error.cycle) == size + 1
    assert str(error).count(" -> ") == shown
    assert str(error).startswith("DAG contains cycles: t0 -> t1 -> t2 -> ")
    assert str(error).endswith(" -> t0")
    assert (f" -> … {size - 20:,} more … -> t0" in str(error)) is (size > 50)


@pytest.mark.parametrize(
    "error",
    [
        tree.UnknownTaskError("a", ["b"]),
        tree.DeviceLostError("d", "it was unplugged"),
        tree.TransferError("d", "file", "it vanished"),
        tree.TaskTimeoutError("a", 3.0),
        tree.DocumentError("plan.yaml", [("tasks", 3, "there are none")]),
        tree.UnknownRecordedRunError("r", ["run"]),
        tree.JournalDamagedError("r", "it is cut", 3),
        tree.ResumeError("r", ["a", "b"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_goes_from_process_to_process_as_it_is(error: tree.GalaxyError) -> None:
    read = pickle.loads(pickle.dumps(error))  # noqa: S301  its own words
    assert (type(read), str(read), vars(read), read.args) == (type(error), str(error), vars(error), error.args)


MADE = [
    "constellation_20261123_092936_0d2ac1f7",
    "constellation_20261123_092935_283c9116",
    "constellation_20261122_165440_e6979b6b",
]


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("constellation_20261123_092935_283c9161", MADE[1:2]),
        ("constelation_20261122_165440_e6979b6b", MADE[2:]),
        ("e6979b7b", MADE[2:]),
        ("constellation_20261123_101010_55555555", []),
        ("constellation", []),
        ("zzz", []),
        ("", []),
    ],
)
def test_of_runs_only_those_are_offered_whose_ids_are_near(wanted: str, near: list[str]) -> None:
    for error in (tree.UnknownRunError(wanted, MADE), tree.UnknownRecordedRunError(wanted, MADE)):
        assert list(error.near) == near
        assert ("did you mean" in str(error)) is bool(near)


def test_a_plan_is_offered_by_its_name_and_of_many_near_ids_three() -> None:
    assert tree.UnknownRunError("nigthly", ["r1"], plans={"r1": "nightly"}).near == ("nightly",)
    assert tree.UnknownRecordedRunError("nigthly", ["r1"], plans=["nightly"]).near == ("nightly",)
    assert tree.UnknownRunError("backup-0", [f"backup-{number}" for number in range(1, 9)]).near == (
        "backup-1",
        "backup-2",
        "backup-3",
    )
