"""Values of Python's own types in records: what comes back is what was kept, of the same type, at any depth."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core import ExecutionResult, TaskConstellation, TaskStar, replay
from galaxy_core.model.records import encode
from galaxy_core.model.records.header import Header
from galaxy_core.model.records.unkept import MAX_TEXT, PYTHON, Keeper, LongText, Unkept, first_unkept, restored
from galaxy_core.model.result import TaskStatus
from galaxy_core.model.serial import plain


class Tone(StrEnum):
    LOUD = "loud"


class Stamp(datetime):
    """As those of other libraries, which know more than a datetime."""


class Zone(tzinfo):
    def utcoffset(self, moment: datetime | None, /) -> timedelta:
        return timedelta(hours=1)

    def dst(self, moment: datetime | None, /) -> None:
        return None

    def tzname(self, moment: datetime | None, /) -> None:
        return None


class Listed(list[int]):
    def __hash__(self) -> int:  # type: ignore[override]
        return 1


Pair = namedtuple("Pair", "a b")

ZONES = ("Europe/Berlin", "Asia/Kolkata", "UTC")
OFFSETS = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(timezone)
TEXTS = st.text() | st.text(st.characters(), max_size=3)  # the second with halves of surrogate pairs
MOMENTS = st.datetimes(timezones=st.none() | OFFSETS | st.just(UTC) | st.sampled_from(ZONES).map(ZoneInfo))
TIMES = st.times(timezones=st.none() | OFFSETS)
HASHED = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-5, 5).map(lambda n: (n or 1) << 13_500)
    | st.floats()
    | TEXTS
    | st.binary()
    | st.builds(lambda moment, fold: moment.replace(fold=fold), MOMENTS, st.sampled_from((0, 1)))
    | st.builds(lambda moment, fold: moment.replace(fold=fold), TIMES, st.sampled_from((0, 1)))
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=True).filter(lambda number: not number.is_snan())  # which cannot be hashed
    | st.uuids()
    | TEXTS.map(Path)
    | TEXTS.map(PurePosixPath)
    | TEXTS.map(PureWindowsPath)
)
KEYS = st.recursive(
    HASHED, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=4
)
MARKERS = st.sampled_from(("$python", "$dict", "$text", "$unkept"))
VALUES = st.recursive(
    KEYS | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(TEXTS, inner, max_size=3)
        | st.dictionaries(MARKERS, inner, max_size=1)
        | st.dictionaries(MARKERS, st.lists(st.sampled_from(("tuple", "set", "dict", 1)), max_size=3), max_size=1)
        | st.sets(KEYS, max_size=3)
    ),
    max_leaves=12,
)


def kept_and_read(value: Any) -> Any:
    text = json.dumps(Keeper().keep(value), allow_nan=False)
    return restored(json.loads(text), lambda long: long.head)


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types, at any depth; what is not equal to itself is the same as another such."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        left = list(other)
        for member in one:
            found = next((place for place, it in enumerate(left) if same(member, it)), None)
            if found is None:
                return False
            del left[found]
        return not left
    if isinstance(one, datetime | time):
        zone, others = one.tzinfo, other.tzinfo
        alike = type(zone) is type(others) and str(zone) == str(others)
        return alike and one.fold == other.fold and repr(one) == repr(other)
    return one == other or (repr(one) == repr(other) and "nan" in repr(one).lower())


@given(VALUES)
def test_what_is_kept_comes_back_as_it_was_with_its_types(value: Any) -> None:
    found = kept_and_read(value)
    assert first_unkept(found) is None
    assert same(found, value), (found, value)
    assert same(plain(found), plain(value))


@given(VALUES)
def test_a_result_and_metadata_are_replayed_as_they_were(value: Any) -> None:
    task = TaskStar("a", description="x", task_data={"v": value})
    plan = TaskConstellation.build([task], [], constellation_id="r", metadata={"m": value})
    header = Header("1", "r", "m", 1.0, metadata={"h": value})
    lines = [encode.header(0, header.to_dict()), *encode.whole_plan(1, plan)]
    plan.begin(task, 5.0)
    plan.end(task, TaskStatus.COMPLETED, ExecutionResult("a", TaskStatus.COMPLETED, value), None, 6.0)
    lines.append(encode.end(len(lines), task, 0))
    made = replay(lines)
    assert made.header is not None
    assert same(made.header.metadata, {"h": value})
    found = made.constellation()
    assert same(found._tasks["a"].result.result, value)
    assert same(found._tasks["a"]._task_data, {"v": value})
    assert same(found._metadata, {"m": value})


def test_the_beginning_of_the_documentation_holds() -> None:
    assert Keeper().keep((1, b"\xff")) == {PYTHON: ["tuple", 1, {PYTHON: ["bytes", "/w=="]}]}
    assert Keeper().keep({1: "one"}) == {PYTHON: ["dict", 1, "one"]}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (Pair(1, 2), (1, 2)), (OrderedDict([(1, 2)]), {1: 2}), ({Tone.LOUD: Tone.LOUD}, {"loud": "loud"}),
        ({Tone.LOUD}, {"loud"}), (type("Own", (frozenset,), {})([1]), frozenset([1])),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_of_a_class_of_its_own_the_plain_value_is_kept(value: Any, found: Any) -> None:
    assert same(kept_and_read(value), found)


@pytest.mark.parametrize(
    "value",
    [
        Stamp(2030, 1, 1), datetime(2030, 1, 1, tzinfo=Zone()), datetime(2030, 1, 1, tzinfo=timezone(timedelta(0), "X")),
        type("Own", (bytes,), {})(b"x"), Decimal("1" * (MAX_TEXT + 1)), PurePosixPath("x" * (MAX_TEXT + 1)), {Listed()},
        {Listed(): 1}, {(1, Listed())}, {object()}, {(object(), 1)}, 1 << (4 * MAX_TEXT), 1j, Decimal,
        type("Decimal", (Decimal,), {})(1),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_would_not_come_back_the_same_is_known_not_to_be_kept(value: Any) -> None:
    told: list[str] = []
    Keeper(lost=told.append).keep(value)
    assert told
    assert isinstance(kept_and_read(value), Unkept)
    assert isinstance(first_unkept(kept_and_read([({"a": value},)])), Unkept)


def test_long_bytes_go_to_a_file_and_without_it_their_beginning_is_left() -> None:
    files: dict[str, str] = {}

    def spill(text: str) -> tuple[str, str]:
        files["one"] = text
        return "one", "digest"

    whole = bytes(range(256)) * (MAX_TEXT // 128)
    kept = json.loads(json.dumps(Keeper(spill).keep({"b": whole})))
    assert len(json.dumps(kept)) < 10_000
    assert same(restored(kept, lambda long: files[long.file or ""]), {"b": whole})
    cut = restored(kept, lambda long: long.head)["b"]
    assert whole.startswith(cut)
    assert cut


def test_what_this_machine_does_not_have_is_known_not_to_be_kept() -> None:
    def no(text: LongText) -> str:
        raise AssertionError

    there = {PYTHON: ["datetime", "2030-01-01T00:00:00", 0, "Nowhere/Atlantis"]}
    for kept in (there, {PYTHON: ["set", there]}, {PYTHON: ["dict", there, 1]}):
        found = restored(kept, no)
        assert isinstance(found, Unkept)
        assert "Nowhere/Atlantis" in found.text
    foreign = "WindowsPath" if isinstance(Path(), PurePosixPath) else "PosixPath"
    assert isinstance(restored({PYTHON: [foreign, "a"]}, no), Unkept)


@pytest.mark.parametrize(
    "told",
    [
        None, {}, [], "tuple", [1], [[]], ["object"], ["Unkept", 1], ["bytes"], ["bytes", 1], ["bytes", "é"], ["bytes", "a"],
        ["int", "10**9"], ["int", 5], ["date", "x"], ["datetime", 1], ["datetime", "2030-01-01", 7], ["UUID", ""],
        ["Decimal", "one"], ["Decimal", [1]], ["set", [1]], ["frozenset", {}], ["dict", 1], ["dict", [], 1],
        ["timedelta", "x"], ["timedelta", 10**20], ["float", "x"], ["Path", "/"], ["PurePosixPath", 1],
        ["datetime", "2030-01-01", 0, "../etc/passwd"],
    ],
    ids=str,
)  # fmt: skip
def test_a_marker_that_is_not_as_it_has_to_be_is_refused(told: Any) -> None:
    with pytest.raises(ValueError, match=r"marker|kind|parts"):
        restored({PYTHON: told}, lambda long: long.head)


def test_a_set_is_written_in_the_same_order_whatever_order_its_members_have_in_memory() -> None:
    for number in range(64):
        assert plain({str(number), number}) == [number, str(number)]


def test_records_of_before_are_read_as_they_were() -> None:
    before = {
        "a": {"$unkept": {"type": "float", "text": "nan", "plain": "nan"}},
        "b": {"$dict": {"$dict": 1}},
        "c": [1],
    }
    found = restored(before, lambda long: long.head)
    assert found == {"a": Unkept("float", "nan"), "b": {"$dict": 1}, "c": [1]}
    assert math.isnan(kept_and_read(math.nan))
    assert isinstance(kept_and_read(UUID(int=1)), UUID)
    assert kept_and_read(date(2030, 1, 1)) == date(2030, 1, 1)
