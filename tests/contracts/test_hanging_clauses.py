"""A clause that hangs is named while it does; one that can be ended is ended."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest

from galaxy_core import Attempt
from galaxy_core.extension.interfaces import Outcome
from galaxy_core.testing.contract import TransportContract, clauses_of, hanging
from galaxy_core.testing.far_session import FarSession
from galaxy_core.testing.far_side import FakeFarSide
from galaxy_core.testing.virtual_time import virtual_backend

from .benches import bench_of, fake_transport

CLAUSES = {clause.name: clause for clause in clauses_of(TransportContract)}
#: A contract whose session neither ends nor lets itself be cancelled.
HANGS = """
import anyio, pytest
from galaxy_core.extension.interfaces import Completed
from galaxy_core.testing.contract import CALLS, Bench, TransportContract, hanging
from galaxy_core.testing.fakes import FakeTransport

hanging.HANGS_S = 0.2


async def swallow(attempt):
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()


class TestHangs(TransportContract):
    has_far_side = False

    @pytest.fixture
    def bench(self):
        transport = FakeTransport(requests=frozenset({"call"}), features=frozenset({"stops"}))
        transport.script("task", swallow)
        return Bench(transport, work=CALLS)
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], threading.Event]:
    """What was said of clauses that hang, and that something was."""
    said: list[str] = []
    heard = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        heard.set()

    monkeypatch.setattr(hanging, "_say", say)
    monkeypatch.setattr(hanging, "HANGS_S", 0.05)
    return said, heard


@pytest.mark.anyio
async def test_a_clause_whose_session_blocks_the_event_loop_is_named_while_it_does(
    told: tuple[list[str], threading.Event],
) -> None:
    said, heard = told

    class Blocks(FarSession):
        async def execute(self, attempt: Attempt, /) -> Outcome:
            assert heard.wait(30)
            return await super().execute(attempt)

    async with FakeFarSide() as far:
        await CLAUSES["test_exit_codes_come_back_as_they_are"].check(bench=bench_of(far, fake_transport(far, Blocks)))
    assert said[0].startswith(
        "\nnot ended after 0.05 s, and goes on:\nclause: exit codes come back as they are | seen: "
    )
    assert " | seen: an attempt | look at: where your session reads the exit status" in said[0]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_clause_that_can_be_cancelled_is_ended(backend: str) -> None:
    class NeverAnswers(FarSession):
        async def probe(self) -> dict[str, str]:
            await anyio.sleep_forever()
            raise AssertionError

    async def ask() -> None:
        async with FakeFarSide() as far:
            bench = bench_of(far, fake_transport(far, NeverAnswers))
            with pytest.raises(AssertionError, match="it had not ended after 300 s, and was cancelled") as failure:
                await CLAUSES["test_a_probe_answers_with_facts"].check(bench=bench)
            assert "clause: a probe answers with facts" in failure.value.__notes__[0]

    name, options = virtual_backend(backend, 1)
    anyio.run(ask, backend=name, backend_options=options)


@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_a_hanging_test_is_named_although_pytest_captures(capture: str, tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(HANGS, encoding="utf-8")
    chosen = ["-k", "leaves_nothing_running and trio", "-p", "no:cacheprovider", f"--capture={capture}", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *chosen],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as hangs:
        assert hangs.stderr is not None
        try:
            line = next(line for line in hangs.stderr if line.startswith("clause: "))
        finally:
            hangs.kill()
    clause, seen, look_at = line.split(" | ")
    assert clause == "clause: a cancelled attempt leaves nothing running"
    assert seen == "seen: an attempt, which was to be cancelled"
    assert look_at.startswith("look at: what your `execute` does on cancellation")
