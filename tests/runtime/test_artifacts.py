"""Where the files of a run are kept."""

from __future__ import annotations

import hashlib

import pytest

from galaxy_core.runtime.artifacts import plain_name

MARK = hashlib.sha256(b"a/b").hexdigest()[:16]


def test_a_plain_id_is_its_own_folder() -> None:
    assert plain_name("build-1.x_y") == "build-1.x_y"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a/b", "_a-2f-b"),
        ("a/b", f"_a-2f-b-{MARK}"),
        ("a/b", f"=a-2f-b-{MARK}"),
        ("x" * 200 + "1", "x" * 200 + "2"),
        ("a b", "a-20-b"),
        ("a", "a\n"),
    ],
)
def test_two_tasks_never_share_a_folder(one: str, other: str) -> None:
    assert plain_name(one) != plain_name(other)


@pytest.mark.parametrize("text", ["", ".", "..", "../..", "a/b", "/", "a\n", "Ω", "x" * 5000, "a\0b", "\ud800"])
def test_a_folder_is_one_component_whatever_the_id(text: str) -> None:
    name = plain_name(text)
    assert name not in ("", ".", "..")
    assert not set(name) & set("/\\\0\n:")
    assert name.isascii()
    assert len(name) <= 128
