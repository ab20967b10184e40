"""Output of any kind and size: passed on as it comes, kept up to a cap, never in the way of the command."""

from __future__ import annotations

import errno
import io
import os
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import Command

Execute = Callable[..., Awaitable[Any]]
Go = Callable[[], None]

pytestmark = pytest.mark.anyio


def sh(text: str, **more: Any) -> Command:
    return Command(None, text, **more)


def write(data: bytes) -> Command:
    return Command([sys.executable, "-c", f"import sys; sys.stdout.buffer.write({data!r})"])


def content(outcome: Any) -> str:
    """What the file holds that standard output was spilled to."""
    return Path(outcome.files["stdout.txt"]).read_text()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class Full(io.FileIO):
    """A file on a disk that has room for a thousand bytes."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.fixture
def go(root: Path) -> Iterator[Go]:
    """Lets a command go on that waits in ``read _ <go``."""
    os.mkfifo(root / "go")
    fd = os.open(root / "go", os.O_RDWR)

    def go() -> None:
        os.write(fd, b"\n")

    yield go
    os.close(fd)


async def test_a_hundred_megabytes_cost_no_more_memory_than_the_cap(execute: Execute) -> None:
    tracemalloc.start()
    try:
        outcome = await execute(Command(["head", "-c", "100000000", "/dev/zero"]), keep=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.exit_code == 0
    assert len(outcome.stdout) == outcome.metadata["stdout_kept_bytes"] == 1 << 20
    assert outcome.truncated
    assert outcome.metadata["stdout_bytes"] == 100_000_000
    assert outcome.files is None
    assert peak < 16 << 20


async def test_two_floods_at_once_do_not_block_each_other(execute: Execute) -> None:
    flood = "yes out | head -c 3000000 & yes err | head -c 3000000 >&2; wait"
    outcome = await execute(sh(flood), output_cap_bytes=1000, keep=False)
    assert outcome.stdout == "out\n" * 250
    assert outcome.stderr == "err\n" * 250
    assert outcome.metadata["stdout_bytes"] == outcome.metadata["stderr_bytes"] == 3_000_000


async def test_bytes_that_are_no_text_are_replaced(execute: Execute) -> None:
    outcome = await execute(write(b"a\xff\xfeb\x00c\xe2\x82"))
    assert outcome.stdout == "a��b\x00c�"
    assert not outcome.truncated


async def test_output_without_a_newline_and_with_windows_newlines_stays_as_it_is(execute: Execute) -> None:
    outcome = await execute(write(b"one\r\ntwo"))
    assert outcome.stdout == "one\r\ntwo"


async def test_a_character_that_comes_in_two_pieces_is_passed_on_whole(execute: Execute, go: Go) -> None:
    heard: list[str] = []

    def hear(_stream: str, text: str) -> None:
        heard.append(text)
        go()

    outcome = await execute(sh(r"printf 'a\342\202'; read _ <go; printf '\254z\342'"), heard=hear)
    assert outcome.stdout == "a€z�"
    assert heard == ["a", "€z", "�"]


async def test_output_is_heard_while_the_command_runs(execute: Execute, go: Go) -> None:
    heard: list[tuple[str, str]] = []

    def hear(stream: str, text: str) -> None:
        heard.append((stream, text))
        go()

    await execute(sh("echo first; read _ <go; echo second >&2; read _ <go; echo third"), heard=hear)
    assert heard == [("stdout", "first\n"), ("stderr", "second\n"), ("stdout", "third\n")]


async def test_a_cap_within_a_character_leaves_the_character_out(execute: Execute) -> None:
    outcome = await execute(write("aa€€".encode()), output_cap_bytes=7, keep=False)
    assert outcome.stdout == "aa€"
    assert outcome.truncated


async def test_output_of_exactly_the_cap_is_whole(execute: Execute) -> None:
    outcome = await execute(write(b"x" * 10), output_cap_bytes=10)
    assert (outcome.stdout, outcome.truncated, outcome.files) == ("x" * 10, False, None)


async def test_what_exceeds_the_cap_is_in_a_file_from_its_beginning(execute: Execute, artifacts: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(30_000))
    outcome = await execute(Command(["cat"], stdin=text), output_cap_bytes=1000)
    assert outcome.stdout == text[:1000]
    assert outcome.truncated
    assert outcome.files == {"stdout.txt": str(artifacts / "1" / "stdout.txt")}
    assert content(outcome) == text
    assert os.stat(outcome.files["stdout.txt"]).st_mode & 0o077 == 0
    assert outcome.metadata["stdout_file_bytes"] == len(text)


async def test_the_file_has_a_cap_too(execute: Execute) -> None:
    outcome = await execute(
        Command(["head", "-c", "1000000", "/dev/zero"]), output_cap_bytes=1000, artifact_cap_bytes=70_001
    )
    assert len(content(outcome)) == 70_001
    assert outcome.metadata["stdout_file_bytes"] == 70_001
    assert outcome.metadata["stdout_bytes"] == 1_000_000


async def test_no_file_is_made_when_none_is_wanted(execute: Execute) -> None:
    outcome = await execute(write(b"x" * 100), output_cap_bytes=10, artifact_cap_bytes=0)
    assert (outcome.truncated, outcome.files) == (True, None)


async def test_a_file_that_cannot_be_written_costs_the_file_and_not_the_command(
    execute: Execute, artifacts: Path
) -> None:
    (artifacts / "1" / "stdout.txt").mkdir(parents=True)
    outcome = await execute(write(b"x" * 100_000), output_cap_bytes=10)
    assert (outcome.exit_code, outcome.error, outcome.truncated, outcome.files) == (0, None, True, None)
    assert outcome.metadata["stdout_file_error"] == "Is a directory"


async def test_a_full_disk_costs_the_file_and_not_the_command(execute: Execute) -> None:
    outcome = await execute(write(b"x" * 100_000), output_cap_bytes=10, keep=Path("/dev/full"))
    assert (outcome.exit_code, outcome.error, outcome.truncated, outcome.files) == (0, None, True, None)
    assert outcome.metadata["stdout_file_error"] == "No space left on device"


async def test_what_a_full_disk_took_of_the_file_is_removed(
    execute: Execute, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galaxy_core.extension.adapter.output.create", lambda path: Full(path, "w"))
    outcome = await execute(write(b"x" * 100_000), output_cap_bytes=10)
    assert (outcome.exit_code, outcome.files) == (0, None)
    assert outcome.metadata["stdout_file_error"] == "No space left on device"
    assert "stdout_file_bytes" not in outcome.metadata
    assert files_below(artifacts) == []


async def test_a_link_in_the_place_of_the_file_is_not_followed(
    execute: Execute, artifacts: Path, tmp_path: Path
) -> None:
    (artifacts / "1").mkdir(parents=True)
    (artifacts / "1" / "stdout.txt").symlink_to(tmp_path / "elsewhere")
    outcome = await execute(write(b"x" * 100_000), output_cap_bytes=10)
    assert outcome.files is None
    assert not (tmp_path / "elsewhere").exists()


async def test_beyond_the_cap_only_the_last_line_of_a_piece_is_heard(execute: Execute) -> None:
    heard: list[str] = []
    text = "".join(f"line {number}\n" for number in range(100_000))
    await execute(
        Command(["cat"], stdin=text), output_cap_bytes=1000, keep=False, heard=lambda _stream, text: heard.append(text)
    )
    everything = "".join(heard)
    assert everything.startswith(text[:1000])
    assert heard[-1] == "line 99999\n"
    assert len(everything) < len(text) / 10
