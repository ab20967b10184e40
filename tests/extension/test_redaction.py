"""Secrets of a device do not come back: in texts, in pieces of them, in data, and in exceptions of any kind."""

from __future__ import annotations

import json
import subprocess
import traceback
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import pytest
from attrs import frozen

from galaxy_core.errors import DeviceLostError, SecretError
from galaxy_core.extension.redaction import Redaction, Redactor, redactor_of, secrets_in
from galaxy_core.model.device import SecretRef

SECRETS = ["hunter2hunter", "hunter2", "r2-abc"]


def redactor(*secrets: str) -> Redactor:
    found = redactor_of(secrets or ["hunter2"])
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------------------------ streams


def feed(pieces: list[str]) -> str:
    redaction = Redaction(SECRETS)
    return "".join([*map(redaction.feed, pieces), redaction.feed("", final=True)])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a hunter2 b", "a *** b"),
        ("hunter2hunter", "***"),
        ("hunter2hunt", "***hunt"),
        ("huhunter2", "hu***"),
        ("hunte", "hunte"),
        ("hunter2-abc", "***-abc"),
        ("hunter2hunter2", "***2"),
        ("", ""),
    ],
)
def test_a_secret_is_found_wherever_the_pieces_end(text: str, shown: str) -> None:
    assert feed([text]) == shown
    assert feed(list(text)) == shown
    for cut in range(len(text)):
        assert feed([text[start:end] for start, end in pairwise([0, cut, len(text)])]) == shown


def test_short_values_and_no_values_change_nothing() -> None:
    assert Redaction(["12345", ""]).feed("12345") == "12345"
    assert redactor_of(["12345", ""]) is None
    assert redactor_of([]) is None


# --------------------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("secret", ["hunter2", "quo\"ted\\'s", "tab\tbed\n", "grüße-日本", "a b&c=d/e", "/srv//a/./b/"])
@pytest.mark.parametrize("written", [str, repr, json.dumps, lambda text: str(PurePath(text)), quote])
def test_a_secret_is_found_as_python_json_paths_and_urls_write_it(secret: str, written: Any) -> None:
    text = redactor(secret).text(f"<{written(secret)}>")
    assert "***" in text
    assert len(text) <= len("<'***'>") + 2


def test_each_line_of_a_secret_is_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvgIBADANBg\n-----END KEY-----\n"
    assert redactor(key).text("in line 2: 'MIIEvgIBADANBg'") == "in line 2: '***'"
    assert redactor(key).text(f"a{key}b") == "a***b"


def test_secrets_are_found_at_any_depth_of_settings() -> None:
    ref = SecretRef(env="X")
    settings = {"a": ref, "b": "clear", "c": {"d": [1, ref, {"e": ref}]}}
    resolved = {"a": "one", "b": "clear", "c": {"d": [1, "two", {"e": "three"}]}}
    assert list(secrets_in(settings, resolved)) == ["one", "two", "three"]


# ---------------------------------------------------------------------------------------------------------------- data


def test_data_is_masked_at_any_depth_and_the_rest_is_the_same_object() -> None:
    clean: dict[str, Any] = {"a": [1, ("x", None)], "b": {"c"}, "d": b"raw", "e": Path("x")}
    assert redactor().value(clean) is clean
    other = object()
    masked = redactor().value({"hunter2": [("a hunter2",), {"hunter2"}, b"\xff hunter2", Path("/x/hunter2"), other]})
    assert masked == {"***": [("a ***",), {"***"}, b"\xff ***", Path("/x/***"), other]}


# -------------------------------------------------------------------------------------------------------------- errors


class SlottedError(Exception):
    __slots__ = ("command",)

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def __str__(self) -> str:
        return f"cannot run {self.command}"


@frozen
class FrozenError(Exception):
    why: str


class StubbornError(ConnectionError):
    """Says what it says, wherever that is from."""

    def __str__(self) -> str:
        return "the password is hunter2"


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("hunter2")


def noted() -> Exception:
    error = ValueError("clear")
    error.add_note("but: hunter2")
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("hunter2"),
        KeyError("a", ["hunter2"]),
        FileNotFoundError(2, "No such file", "/x/hunter2", None, Path("hunter2")),
        subprocess.CalledProcessError(1, ["login", "hunter2"], b"hunter2", "hunter2"),
        UnicodeDecodeError("utf-8", b"hunter2\xff", 7, 8, "hunter2"),
        ImportError("hunter2", name="hunter2", path="hunter2"),
        SystemExit("hunter2"),
        SlottedError(["login", "hunter2"]),
        FrozenError("hunter2"),
        DeviceLostError("d1", "hunter2"),
        SecretError("env:X", "hunter2"),
        ExceptionGroup("all of hunter2", [ValueError("hunter2"), ExceptionGroup("in it", [StubbornError()])]),
        StubbornError(),
        noted(),
        BrokenError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_exception_shows_a_secret(error: BaseException) -> None:
    def raised() -> BaseException:
        try:
            try:
                raise LookupError("first: hunter2") from StubbornError()
            except LookupError:
                raise error  # noqa: B904  the context is what this is about
        except BaseException as caught:
            return caught

    masked = redactor().error(raised())
    told = "".join(traceback.format_exception(masked)).replace('"hunter2"', "").replace("first: hunter2", "first:", 1)
    told = "\n".join(line for line in told.splitlines() if "raise " not in line)
    assert "hunter2" not in told
    assert "hunter2" not in str(vars(masked))
    assert type(masked.__context__) is LookupError
    assert type(masked.__context__.__cause__) is ConnectionError
    if not isinstance(error, (StubbornError, ExceptionGroup)):
        assert masked is error


def test_what_shows_no_secret_is_the_same_object_as_before() -> None:
    error = ExceptionGroup("some", [ValueError("x"), OSError(2, "no", "file")])
    error.__cause__ = cause = KeyError("y")
    assert redactor().error(error) is error
    assert error.__cause__ is cause
    assert error.__suppress_context__


def test_the_class_of_what_cannot_be_masked_is_told() -> None:
    masked = redactor().error(StubbornError())
    assert type(masked) is ConnectionError
    assert str(masked) == "StubbornError: the password is ***"


def test_errors_that_led_to_each_other_end() -> None:
    first, second = ValueError("hunter2"), StubbornError()
    first.__context__, second.__context__ = second, first
    masked = redactor().error(first)
    assert masked is first
    assert str(first.__context__) == "StubbornError: the password is ***"


def test_many_secrets_in_one_piece_cost_no_more_than_their_number() -> None:
    looked_at: list[int] = []

    class Counting(Redaction):
        def _may_go_on(self, end: str) -> bool:
            looked_at.append(len(end))
            return super()._may_go_on(end)

    Counting(SECRETS).feed("hunter2 " * 10_000)
    assert sum(looked_at) < 100
