"""What may stand below a folder of a device, and what may not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core.extension.adapter.names import no_way_up, plain_names, quoted, remote_path, windows_path


@pytest.mark.parametrize(
    "name", ["", "/", "a/../b", "..", "./a", "a//b", "a\0b", "a\nb", "/etc/passwd", "/base/../etc/x", "/based"]
)
def test_a_posix_path_that_leaves_the_root_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        remote_path("/base", name)


def test_a_posix_path_below_the_root() -> None:
    assert remote_path("/base/", "a b/c;d") == "/base/a b/c;d"
    assert remote_path("/base", "/base/a") == "/base/a"
    assert remote_path("/base", "/sdcard/x", allow_any=True) == "/sdcard/x"


def test_models_of_requests_refuse_a_way_up_before_anything_runs() -> None:
    for name in ("..", "../a", r"..\a", "a/../b", r"a\.."):
        with pytest.raises(ValueError, match=r"without '\.\.'"):
            no_way_up(name)
    for name in ("a", "/a/b", "..a", "a..", "a/...", r"C:\a"):
        assert no_way_up(name) == name


def test_people_see_paths_of_windows_as_plans_have_them() -> None:
    assert quoted(r"C:\a b") == r"'C:\a b'"
    with pytest.raises(ValueError, match=re.escape(r"'C:\Windows\x' is not below the device's root folder 'C:\r'")):
        windows_path(r"C:\r", r"C:\Windows\x")


def test_no_permission_makes_dots_safe() -> None:
    with pytest.raises(ValueError, match=r"part '\.\.'"):
        remote_path("/base", "/sdcard/../x", allow_any=True)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        r"a\..\b",
        r"\a",
        "/a",
        r"C:\Windows\x",
        "C:x",
        "a:stream",
        "NUL",
        "com1.txt",
        "dir/aux",
        "a.",
        "a ",
        "a*",
        'a"b',
        "a\0",
        r"\\host\share\x",
    ],
)
def test_a_windows_path_that_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        windows_path(r"C:\galaxy", name)


def test_a_windows_path_below_the_root() -> None:
    assert windows_path("C:\\galaxy\\", "a b/ü.txt") == "C:\\galaxy\\a b\\ü.txt"
    assert windows_path(r"C:\galaxy", r"c:\GALAXY\x") == r"c:\GALAXY\x"
    assert windows_path(r"C:\galaxy", r"D:\x", allow_any=True) == r"D:\x"


@given(st.text())
def test_what_is_let_through_is_below_the_root(name: str) -> None:
    try:
        path = remote_path("/base", name)
    except ValueError:
        return
    assert path.startswith("/base/")
    assert ".." not in path.split("/")


@given(st.lists(st.text(min_size=1), unique=True))
def test_kept_files_have_names_of_their_own(names: list[str]) -> None:
    kept = list(plain_names(names).values())
    assert len({name.casefold() for name in kept}) == len(names)
    assert not {"stdout.txt", "stderr.txt"} & {name.casefold() for name in kept}
    assert all(0 < len(name) <= 100 and "/" not in name and not name.startswith(".") for name in kept)
