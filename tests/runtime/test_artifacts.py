"""Where the files of a run are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from galaxy_core import Attempt, Command, Completed, Reference, TaskStar
from galaxy_core.runtime.artifacts import plain_name

from .fakes import link, plan, rig

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


@pytest.mark.anyio
@pytest.mark.parametrize("artifacts", ["kept", Path("kept"), "../here/kept"], ids=repr)
async def test_a_folder_that_is_given_relative_is_found_from_everywhere(
    artifacts: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()

    def keeps(attempt: Attempt) -> Completed:
        path = attempt.artifact_path("x")
        path.write_text("content")
        return Completed(files={"x": str(path)})

    monkeypatch.chdir(tmp_path / "here")
    async with rig(artifacts=str(artifacts)) as house:
        house.transport.script("a", keeps)
        constellation = plan("a")
        constellation.add_task(TaskStar("b", request=Command(["cat", Reference("a", "file.x")])))
        constellation.add_dependency(link("a>b"))
        monkeypatch.chdir(tmp_path / "elsewhere")
        await house.run(constellation)
    request = house.device().attempts[1].request
    assert isinstance(request, Command)
    path = Path(str((request.argv or ())[1]))
    assert (path.is_absolute(), path.read_text()) == (True, "content")  # noqa: ASYNC240  nothing else runs any more
