"""What a transport's pydantic models refuse is said as the errors of plan files say it, all at once."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, RootModel, SecretStr, field_validator, model_validator
from pydantic.errors import PydanticInvalidForJsonSchema

from galaxy_core.extension.models import settings_problems, validated, with_paths
from galaxy_core.model.device import Device, SecretRef
from galaxy_core.testing.fakes import FakeTransport


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Tap(Strict):
    kind: Literal["tap"] = "tap"
    x: int = Field(description="Pixels from the left.")
    y: int


class Swipe(Strict):
    kind: Literal["swipe"] = "swipe"
    to: list[int]


class Everything(Strict):
    word: str = Field(default="", description="What is said.")
    number: int = 3
    flag: bool = True
    part: float = Field(default=1, gt=0, lt=10)
    step: int = Field(default=5, multiple_of=5)
    amount: int | dict[str, int] = 1
    either: Tap | Swipe | None = None
    one_of: Annotated[Tap | Swipe, Field(discriminator="kind")] | None = None
    colour: Colour = Colour.RED
    choice: Literal["a", "b"] = "a"
    mixed: Literal["a", 3] = "a"
    taps: list[Tap] = Field(default_factory=list)
    by_name: dict[str, Tap] = Field(default_factory=dict)
    wait: timedelta = timedelta(1)
    url: HttpUrl | None = None
    password: SecretStr = SecretStr("")
    path: Path = Path()
    code: str = Field(default="abc", min_length=3, max_length=4)
    shape: str = Field(default="a", pattern="^a")
    told: str = Field(default="a", pattern="^a", description="Begins with an a.")
    aliased: int = Field(default=1, alias="an-alias")
    pair: tuple[int, str] = (1, "a")
    odd: int = 1
    names: dict[Annotated[str, Field(pattern="^[a-z]+$")], int] = Field(default_factory=dict)

    @field_validator("odd")
    @classmethod
    def _is_odd(cls, number: int) -> int:
        if number % 2 == 0:
            raise ValueError("an odd number is wanted")
        return number

    @model_validator(mode="after")
    def _agrees(self) -> Everything:
        if self.word == self.code:
            raise ValueError("word and code\nmust differ")
        return self


def problems(values: Any, *, show: bool = True) -> list[tuple[str, str]]:
    found, wrong = validated(Everything, values, show=show)
    assert (found is None) is bool(wrong)
    return with_paths(wrong)


@pytest.mark.parametrize(
    ("values", "path", "text"),
    [
        ({"word": 1}, "word", "found the number 1; text is wanted here; quote it: '1'"),
        ({"number": "far"}, "number", "found the text 'far'; a whole number is wanted here"),
        ({"number": 1.5}, "number", "found the number 1.5; a whole number is wanted here"),
        ({"number": None}, "number", "found nothing (null); a whole number is wanted here"),
        ({"flag": "maybe"}, "flag", "found the text 'maybe'; true or false is wanted here"),
        ({"part": 10}, "part", "found the number 10; it must be less than 10"),
        ({"part": 0}, "part", "found the number 0; it must be more than 0"),
        ({"step": 7}, "step", "found the number 7; it must be a multiple of 5"),
        ({"amount": "x"}, "amount", "found the text 'x'; a whole number or a mapping is wanted here"),
        ({"amount": {"a": "b"}}, "amount.a", "found the text 'b'; a whole number is wanted here"),
        ({"either": 5}, "either", "found the number 5; a mapping is wanted here"),
        ({"one_of": {}}, "one_of", "found an empty mapping; it needs the key 'kind'"),
        ({"one_of": {"kind": "tpa"}}, "one_of", "found a mapping; 'kind' must be one of 'tap', 'swipe'"),
        ({"one_of": {"kind": "tap", "x": 1}}, "one_of", "'y' is missing"),
        ({"one_of": {"kind": "tap", "y": 1}}, "one_of", "'x' is missing: Pixels from the left"),
        ({"one_of": {"kind": "swipe", "to": [], "too": 1}}, "one_of.too",
         "unknown key 'too'; did you mean 'to'?; allowed are 'kind', 'to'"),
        ({"colour": "rde"}, "colour", "found the text 'rde'; allowed are 'red', 'green'; did you mean 'red'?"),
        ({"choice": "c"}, "choice", "found the text 'c'; allowed are 'a', 'b'"),
        ({"mixed": 4}, "mixed", "found the number 4; allowed are 'a' or 3"),
        ({"taps": {}}, "taps", "found an empty mapping; a list is wanted here"),
        ({"taps": [{"x": 1, "y": "far"}]}, "taps[0].y", "found the text 'far'; a whole number is wanted here"),
        ({"by_name": {"a b": {"x": 1, "y": 2, "z": 3}}}, 'by_name["a b"].z',
         "unknown key 'z'; allowed are 'kind', 'x', 'y'"),
        ({"by_name": []}, "by_name", "found an empty list; a mapping is wanted here"),
        ({"wait": "soon"}, "wait", "found the text 'soon'; a timedelta is wanted here"),
        ({"url": "x y"}, "url", "found the text 'x y'; a URL is wanted here"),
        ({"path": 4}, "path", "found the number 4; a path is wanted here"),
        ({"code": "b"}, "code", "found the text 'b'; it must have at least 3 characters"),
        ({"code": "bbbbb"}, "code", "found the text 'bbbbb'; it must have at most 4 characters"),
        ({"shape": "b"}, "shape", "found the text 'b': it must match the regular expression ^a"),
        ({"told": "b"}, "told", "found the text 'b': it must match the regular expression ^a (Begins with an a)"),
        ({"an-alias": "x"}, "an-alias", "found the text 'x'; a whole number is wanted here"),
        ({"pair": [1]}, "pair", "entry 2 is missing"),
        ({"odd": 2}, "odd", "found the number 2; an odd number is wanted"),
        ({"names": {"A": 1}}, "names.A", "'A' cannot be a key here: it must match the regular expression ^[a-z]+$"),
        ({"word": "abc"}, "", "word and code must differ"),
        (5, "", "found the number 5; a mapping is wanted here"),
    ],
)  # fmt: skip
def test_each_error_has_its_place_what_was_found_and_what_is_allowed(values: Any, path: str, text: str) -> None:
    assert problems(values) == [(path, text)]


def test_an_unknown_key_comes_with_the_nearest_and_with_all_that_are_allowed() -> None:
    ((path, text),) = problems({"wrod": "x"})
    assert path == "wrod"
    assert text.startswith("unknown key 'wrod'; did you mean 'word'?; allowed are 'word', 'number', 'flag', ")
    assert "'an-alias'" in text


def test_all_that_is_wrong_comes_at_once() -> None:
    assert [path for path, _ in problems({"number": "x", "taps": [{"x": 1}, {"y": "z"}], "nothing": 1})] == [
        "number", "taps[0]", "taps[1]", "taps[1].y", "nothing",
    ]  # fmt: skip


def test_of_a_union_of_models_each_member_is_told_by_its_name() -> None:
    assert problems({"either": {"z": 1, "y": 2}}) == [
        ("either", "as Tap: 'x' is missing: Pixels from the left"),
        ("either", "as Swipe: 'to' is missing"),
        ("either.z", "as Tap: unknown key 'z'; allowed are 'kind', 'x', 'y'"),
        ("either.z", "as Swipe: unknown key 'z'; allowed are 'kind', 'to'"),
        ("either.y", "as Swipe: unknown key 'y'; allowed are 'kind', 'to'"),
    ]


def test_a_key_that_is_called_like_a_member_of_a_union_is_not_taken_for_it() -> None:
    assert problems({"amount": {"int": "a"}}) == [("amount.int", "found the text 'a'; a whole number is wanted here")]


SECRET = "hunter22"


@pytest.mark.parametrize(
    "key",
    [*(name for name in Everything.model_fields if name not in {"word", "password", "path", "aliased"}), "an-alias"],
)
def test_no_value_is_shown_when_it_is_not_to_be(key: str) -> None:
    for value in (SECRET, [SECRET], {"kind": SECRET}, {"x": SECRET}):
        for _, text in problems({key: value}, show=False):
            assert SECRET not in text
    assert problems({"word": 54321}, show=False) == [("word", "found a number; text is wanted here")]


def test_thousands_of_problems_are_counted_after_the_first() -> None:
    found = problems({"taps": [1] * 3000})
    assert len(found) == 51
    assert found[-1] == ("", "and 2950 more problems")


def test_a_model_without_a_json_schema_still_has_places_and_sentences() -> None:
    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
        number: int = 1
        view: memoryview | None = None

    with pytest.raises(PydanticInvalidForJsonSchema):
        Odd.model_json_schema()
    found = with_paths(validated(Odd, {"number": "x", "nubmer": 1})[1])
    assert found == [
        ("number", "found the text 'x'; a whole number is wanted here"),
        ("nubmer", "unknown key 'nubmer'; allowed are none"),
    ]


def test_a_list_can_be_a_model_of_its_own() -> None:
    class Steps(RootModel[list[Tap]]):
        pass

    assert with_paths(validated(Steps, [{"x": 1}])[1]) == [("[0]", "'y' is missing")]


def test_a_model_that_says_no_in_its_own_way_is_quoted() -> None:
    class Curt:
        @classmethod
        def model_validate(cls, values: Any) -> Any:
            raise ValueError("no")

    assert validated(Curt, {}) == (None, [((), "no")])


def test_a_validator_that_breaks_is_told_of_and_shows_no_value() -> None:
    class Broken(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def _breaks(cls, word: str) -> str:
            raise KeyError(word)

    found, problems = validated(Broken, {"word": "hidden"}, show=False)
    assert found is None
    assert problems == [((), "Broken broke while it checked them: KeyError")]


class TestSecretsOfAnInventoryFile:
    class Settings(Strict):
        user: str = ""
        password: SecretStr | None = None
        env: dict[str, SecretStr] = {}

    def problems(self, settings: dict[str, Any], folder: str | None = "/lab") -> list[tuple[str, str]]:
        transport = FakeTransport(settings_model=self.Settings)
        return with_paths(settings_problems(transport, Device("d", "fake", settings, folder=folder)))

    def test_stand_there_as_references(self) -> None:
        ((path, text),) = self.problems({"user": "lab", "password": "hunter2"})
        assert path == "password"
        assert "as a reference: {env: NAME}" in text
        assert "hunter2" not in text

    def test_that_are_references_are_well(self) -> None:
        assert self.problems({"user": "lab", "password": SecretRef(env="X"), "env": {"A": "1"}}) == []

    def test_of_a_program_are_its_own_affair(self) -> None:
        assert self.problems({"password": "hunter2"}, folder=None) == []
