"""Clauses about the actions `push` and `pull`, which are the same in every transport that has them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from galaxy_core.extension.interfaces import Completed, Outcome, Session
from galaxy_core.model.request import Action
from galaxy_core.testing.contract.bench import Bench, Stopped
from galaxy_core.testing.contract.clause import clause
from galaxy_core.testing.contract.transport_health import injected

SIZES: Final = (0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20)
#: Names that lead out of the root folder of a device, or nowhere.
OUTSIDE: Final = ("../galaxy-outside", "a/../../galaxy-outside", "/galaxy-outside", "", "a\0b", "a\nb")
BOTH: Final = ("action push", "action pull")
TARGET: Final = "galaxy-bench.bin"


class FileClauses:
    """Files that are pushed to a device and pulled from it."""

    @clause("how files are sent and read: in binary, to their last byte, with what came in counted", needs=BOTH)
    async def test_a_file_that_is_pushed_and_pulled_is_the_same(self, bench: Bench) -> None:
        async with bench.opened() as session:
            for size in SIZES:
                data = some_bytes(size)
                pushed = await push(bench, session, data)
                _is_told(pushed, data, "push")
                pulled = await pull(bench, session, TARGET)
                _is_told(pulled, data, "pull")
                assert isinstance(pulled, Completed)
                path = (pulled.files or {}).get("back.bin")
                assert path is not None, f"its file is not under files['back.bin']: {pulled!r}"
                back = Path(path).read_bytes()
                assert back == data, f"of {size} bytes {len(back)} came back, or others"

    @clause("what your session says when a file cannot be read, here or there: that, and not success", needs=BOTH)
    async def test_a_file_that_is_not_there_is_no_success(self, bench: Bench) -> None:
        async with bench.opened() as session:
            missing = bench.attempt(None).artifact_path("missing")
            is_no_success(
                await bench.outcome(session, pushing(str(missing), TARGET)), "pushing a file that is not there"
            )
            folder = bench.attempt(None).artifact_path("folder")
            folder.mkdir()
            is_no_success(await bench.outcome(session, pushing(str(folder), TARGET)), "pushing a folder")
            is_no_success(await pull(bench, session, "galaxy-no-such-file"), "pulling a file that is not there")

    @clause(
        "remote_path, windows_path and Sources of galaxy_core.extension.adapter: no name leads out of the folders",
        needs=BOTH,
    )
    async def test_no_name_leads_out_of_the_folders(self, bench: Bench) -> None:
        async with bench.opened() as session:
            for name in OUTSIDE:
                is_no_success(await push(bench, session, b"x", name), f"pushing to {name!r}")
                is_no_success(await pull(bench, session, name), f"pulling {name!r}")
            _is_told(await push(bench, session, b"x"), b"x", "push")
            is_no_success(await pull(bench, session, TARGET, "../out"), "keeping a file as '../out'")
            for source in ("/etc/passwd", "../../etc/passwd"):
                is_no_success(
                    await bench.outcome(session, pushing(source, TARGET)), f"pushing {source!r} of this machine"
                )

    @clause(
        "writing in place: a file has to be written under another name and renamed when all of it is there",
        needs=[*BOTH, "faults"],
    )
    async def test_a_broken_transfer_leaves_the_old_file_whole(self, bench: Bench) -> None:
        old, new = some_bytes(200_000), b"new" * 100_000
        async with bench.opened() as session:
            pushed = await push(bench, session, old)
            assert isinstance(pushed, Completed), f"a push was not completed: {pushed!r}"
            await injected(bench, "disconnect", "middle")
            broken = await push(bench, session, new, timeout_s=4 * bench.deadline_s)
        await bench.far.heal()
        wanted = [new] if isinstance(broken, Completed) and bench.is_success(broken) else [old, new]
        async with bench.opened() as session:
            data = await content(bench, session)
        assert data in wanted, f"{len(data)} bytes were left there, which are neither the old file nor the new one"


def some_bytes(size: int) -> bytes:
    """Some of every kind, different for each size."""
    block = bytes(range(256)) + b"\r\n\x00\x1a" + str(size).encode()
    return (block * (size // len(block) + 1))[:size]


def pushing(source: str, target: str) -> Action:
    """The request to push that file of this machine."""
    return Action("push", {"source": source, "target": target})


async def push(
    bench: Bench, session: Session, data: bytes, target: str = TARGET, timeout_s: float | None = None
) -> Outcome | Stopped:
    """How pushing a file with that content ends."""
    attempt = bench.attempt(None, timeout_s=timeout_s)
    source = attempt.artifact_path("source.bin")
    source.write_bytes(data)
    attempt.request = pushing(str(source), target)
    return (await bench.ended(session, attempt.request, timeout_s=timeout_s, attempt=attempt)).outcome


async def pull(bench: Bench, session: Session, path: str, name: str = "back.bin") -> Outcome | Stopped:
    """How pulling that file of the device ends."""
    return await bench.outcome(session, Action("pull", {"path": path, "name": name}))


async def content(bench: Bench, session: Session) -> bytes:
    """What is in the file at `TARGET`."""
    pulled = await pull(bench, session, TARGET)
    assert isinstance(pulled, Completed), f"then it could not be pulled: {pulled!r}"
    path = (pulled.files or {}).get("back.bin")
    assert path is not None, f"then nothing was pulled: {pulled!r}"
    return Path(path).read_bytes()


def _is_told(outcome: Any, data: bytes, what: str) -> None:
    assert isinstance(outcome, Completed), f"{what} was not completed: {outcome!r}"
    assert Bench.is_success(outcome), f"{what} of {len(data)} bytes failed: {outcome!r}"
    told = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    value = dict(outcome.value) if isinstance(outcome.value, dict) else {}
    assert {name: value.get(name) for name in told} == told, f"{what} told {outcome.value!r} in place of {told}"


def is_no_success(outcome: Any, what: str) -> None:
    """It has failed, in whichever way."""
    assert not (isinstance(outcome, Completed) and Bench.is_success(outcome)), f"{what} was a success: {outcome!r}"
